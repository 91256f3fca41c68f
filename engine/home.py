"""Where the user's data lies: ``COMMONART_HOME``, else the platform's data folder."""

from __future__ import annotations

import os
from pathlib import Path

APP = "CommonArt Desktop"


def home() -> Path:
    """The data folder; not created here."""
    given = os.environ.get("COMMONART_HOME")
    if given:
        return Path(given)
    import platformdirs

    return platformdirs.user_data_path(APP, appauthor=False)


def resources() -> Path:
    """Bundled model, icons, translations, presets."""
    return Path(__file__).resolve().parent.parent / "resources"
