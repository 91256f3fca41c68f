"""What the settings accept: devices, cluster addresses and output folders, checked by their form."""

from __future__ import annotations

import os
import re
from pathlib import Path

from commonart_desktop.core.i18n import tr

_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d{1,2})?")
_CLUSTER = re.compile(r"|auto|(ray://)?([\w.-]+|\[[\dA-Fa-f:.]+\]):(?P<port>\d{1,5})", re.ASCII)


def is_device(text: str) -> bool:
    """Whether a text names a device, present on this machine or not."""
    return _DEVICE.fullmatch(text) is not None


def is_cluster(text: str) -> bool:
    """Whether a text has the form of a cluster's address: nothing, auto, host:port or ray://host:port."""
    match = _CLUSTER.fullmatch(text)
    return match is not None and (match["port"] is None or 0 < int(match["port"]) < 65536)


def folder_problem(folder: str) -> str:
    """Why images cannot be written there, in the user's language; empty if they can."""
    if not folder.strip():
        return tr("it must not be empty")
    path = Path(folder).expanduser().absolute()
    try:
        while not path.exists() and path != path.parent:
            path = path.parent
        if not path.is_dir():
            return tr("it is not a folder")
    except (OSError, ValueError) as e:
        return str(e)
    return "" if os.access(path, os.W_OK) else tr("it cannot be written")
