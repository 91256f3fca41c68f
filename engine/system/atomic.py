"""Files that appear whole or not at all, and never over another one. POSIX and Windows differ; only this place knows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import BadValue, CommonArtError, DiskFull, OutputFolder, system_words
from engine.contract.fault_injection import fault_point

PART = ".commonart-part"


def as_our_error(error: OSError, path: Path) -> CommonArtError:
    """The system's complaint as ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(path=path)
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):  # this picture's name, not the place, is at fault
        return BadValue(name="name", value=f"…{str(path)[-40:]}", why=system_words(error))
    return OutputFolder(path=path, why=system_words(error))


def make_folder(folder: Path) -> None:
    """Raises OutputFolder, DiskFull."""
    try:
        with fault_point("mkdir"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise as_our_error(e, folder) from e


def sync_folder(folder: Path) -> None:
    """The folder's own entries outlive a power cut; Windows has no such call and needs none."""
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_aside(folder: Path, label: str, data: bytes) -> Path:
    """Write and sync ``data`` under a temporary name in ``folder``; nothing stays behind if it fails.

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


def discard(part: Path) -> None:
    """Remove a file written aside, if it is there and can be."""
    try:
        part.unlink(missing_ok=True)
    except OSError:
        pass  # its folder is gone or cannot be written, which is told elsewhere


def publish(part: Path, final: Path) -> None:
    """Give the file its name.

    Raises:
        FileExistsError: the name is taken; ``part`` is still there.
        DiskFull, OutputFolder
    """
    try:
        with fault_point("rename"):
            if os.name == "nt":
                os.rename(part, final)  # refuses to overwrite
            else:
                try:
                    os.link(part, final)  # refuses to overwrite, which rename does not
                except FileExistsError:
                    raise
                except OSError as e:
                    if e.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    if os.path.lexists(final):  # a file system without hard links: this check is all there is
                        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from e
                    os.rename(part, final)
                else:
                    discard(part)
        with fault_point("fsync folder"):
            sync_folder(final.parent)
    except FileExistsError:
        raise
    except OSError as e:
        raise as_our_error(e, final.parent) from e


def candidates(stem: Path, ending: str) -> Iterator[Path]:
    """``stem.png``, ``stem-2.png``, ... that nothing stands under yet."""
    number = 1
    while True:
        path = stem.with_name(f"{stem.name}{'' if number == 1 else f'-{number}'}{ending}")
        if not os.path.lexists(path):
            yield path
        number += 1


def sweep(folder: Path, label: str) -> None:
    """Remove what a dead worker left aside for this label, here and in the folders below."""
    for part in folder.rglob(f".{label}{PART}"):
        discard(part)
