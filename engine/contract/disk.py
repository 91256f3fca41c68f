"""Disk usage of a folder."""

from __future__ import annotations

import os
from pathlib import Path


def bytes_in(folder: Path) -> int:
    """Bytes of the files in it and below; links are not followed, files that disappear meanwhile are not counted."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(where, name).lstat().st_size
            except OSError:
                pass  # gone meanwhile
    return total
