"""Where the user's data lies, and what the program ships."""

from __future__ import annotations

import os
from pathlib import Path

from engine.contract.place import data_folder

APP = "CommonArt Desktop"


def home() -> Path:
    """The data folder; ``COMMONART_HOME`` moves it, and is set so that processes started from here agree."""
    if not os.environ.get("COMMONART_HOME"):
        try:
            import platformdirs

            folder = platformdirs.user_data_path(APP, appauthor=False)
        except ModuleNotFoundError:  # a slim installation
            folder = data_folder(APP)
        os.environ["COMMONART_HOME"] = str(folder)
    return Path(os.environ["COMMONART_HOME"])


def resources() -> Path:
    """Bundled model, icons, translations, presets."""
    return Path(__file__).resolve().parents[2] / "resources"
