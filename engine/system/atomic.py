"""Publishing an output file: complete or not at all, and never over an existing one (``engine.contract.files``
replaces).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from engine.contract.fault_injection import fault_point
from engine.contract.files import PART, as_our_error, discard, rename, sync_folder


def write_aside(folder: Path, label: str, data: bytes) -> Path:
    """Write and sync ``data`` under a temporary name in ``folder``; no file is left behind if it fails.

    Raises:
        DiskFull, OutputFolder
    """
    part = folder / f".{label}{PART}"
    try:
        with fault_point("write"), part.open("wb") as f:
            f.write(data)
            f.flush()
            with fault_point("fsync"):
                os.fsync(f.fileno())
    except OSError as e:
        discard(part)
        raise as_our_error(e, folder) from e
    return part


def publish(part: Path, final: Path) -> None:
    """Rename the temporary file to its final name.

    Raises:
        FileExistsError: the name is taken; ``part`` is still there.
        DiskFull, OutputFolder
    """
    try:
        with fault_point("rename"):
            if os.name == "nt":
                rename(part, final)  # refuses to overwrite
            else:
                try:
                    os.link(part, final)  # refuses to overwrite, which rename does not
                except FileExistsError:
                    raise
                except OSError as e:
                    if e.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    if os.path.lexists(final):  # a file system without hard links: no atomic check is possible
                        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from e
                    rename(part, final)
                else:
                    discard(part)
        with fault_point("fsync folder"):
            sync_folder(final.parent)
    except FileExistsError:
        raise
    except OSError as e:
        raise as_our_error(e, final.parent) from e


def candidates(stem: Path, ending: str) -> Iterator[Path]:
    """``stem.png``, ``stem-2.png``, ... that do not exist yet."""
    number = 1
    while True:
        path = stem.with_name(f"{stem.name}{'' if number == 1 else f'-{number}'}{ending}")
        if not os.path.lexists(path):
            yield path
        number += 1


def sweep(folder: Path, label: str) -> None:
    """Remove temporary files of a dead worker with this label, here and in subfolders."""
    for part in folder.rglob(f".{label}{PART}"):
        discard(part)
