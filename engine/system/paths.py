"""Where the user's data lies: ``COMMONART_HOME``, else the platform's data folder."""

from __future__ import annotations

from pathlib import Path

from engine.contract.place import data_folder, given_folder

APP = "CommonArt Desktop"


def home() -> Path:
    """The data folder; not created here."""
    given = given_folder()
    if given is not None:
        return given
    try:
        import platformdirs
    except ModuleNotFoundError:  # a slim installation
        return data_folder(APP)
    return platformdirs.user_data_path(APP, appauthor=False)


def resources() -> Path:
    """Bundled model, icons, translations, presets."""
    return Path(__file__).resolve().parents[2] / "resources"
