"""Where the user's data lies: ``COMMONART_HOME``, else the platform's data folder."""

from __future__ import annotations

import os
from pathlib import Path

from engine.contract.place import data_folder

APP = "CommonArt Desktop"


def home() -> Path:
    """The data folder; not created here."""
    given = os.environ.get("COMMONART_HOME")
    if given:
        return Path(given)
    try:
        import platformdirs
    except ModuleNotFoundError:  # a slim installation
        return data_folder(APP)
    return platformdirs.user_data_path(APP, appauthor=False)


def resources() -> Path:
    """Bundled model, icons, translations, presets."""
    return Path(__file__).resolve().parents[2] / "resources"
