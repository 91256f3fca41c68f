"""Where user data lies on a machine without platformdirs: a slim installation that only draws with an exported model."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def given_folder() -> Path | None:
    """The folder that ``COMMONART_HOME`` names, which may begin with ``~``; None where it is not set."""
    given = os.environ.get("COMMONART_HOME")
    if not given:
        return None
    try:
        return Path(given).expanduser()
    except RuntimeError:  # ~ of somebody unknown: a folder of that name
        return Path(given)


def data_folder(app: str) -> Path:
    """The folder that ``platformdirs.user_data_path(app, appauthor=False)`` gives."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / app
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / app
    given = os.environ.get("XDG_DATA_HOME", "").strip()
    return (Path(given) if given else Path.home() / ".local" / "share") / app
