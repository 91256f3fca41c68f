"""Where the user's data lies, and what the program ships."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.contract.errors import DataFolder, DiskFull, system_words
from engine.contract.place import data_folder, given_folder

APP = "CommonArt Desktop"


def home() -> Path:
    """The data folder; ``COMMONART_HOME`` moves it, and is set so that processes started from here agree."""
    folder = given_folder()
    if folder is None:
        try:
            import platformdirs

            folder = platformdirs.user_data_path(APP, appauthor=False)
        except ModuleNotFoundError:  # a slim installation
            folder = data_folder(APP)
    os.environ["COMMONART_HOME"] = str(folder)
    return folder


@contextmanager
def writing_home() -> Iterator[None]:
    """Around what writes into the data folder.

    Raises:
        DataFolder, DiskFull: it could not.
    """
    try:
        yield
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise DiskFull(path=home()) from e
        raise DataFolder(path=home(), why=system_words(e)) from e


def resources() -> Path:
    """Bundled model, icons, translations, presets."""
    return Path(__file__).resolve().parents[2] / "resources"
