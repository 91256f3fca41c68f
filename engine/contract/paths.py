"""Where the user's data is stored and what the program ships: the one place that knows, for all its processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from engine.contract.errors import DataFolder, DiskFull, system_words

APP = "CommonArt Desktop"
#: Names another data folder; it may begin with ``~``.
VARIABLE = "COMMONART_HOME"


def home() -> Path:
    """The data folder, absolute; not created here."""
    given = os.environ.get(VARIABLE)
    if not given:
        return platformdirs.user_data_path(APP, appauthor=False)
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError:  # ~ of an unknown user: a folder of that name
        return Path(given).absolute()


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
