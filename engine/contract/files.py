"""Writing files so that they appear complete or not at all: a temporary file, a sync, a rename.

All of the program writes its own files with ``replacing`` and moves files and folders with ``rename``: on Windows a
    virus
scanner, a search indexer or another program may have a file open for a moment, and only this module waits for it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from engine.contract.errors import BadValue, CommonArtError, DiskFull, OutputFile, OutputFolder, system_words
from engine.contract.fault_injection import fault_point

#: Ending of temporary files; their names begin with a dot.
PART = ".commonart-part"
#: ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION of Windows: another program has the file open.
BUSY = (5, 32, 33)
#: Seconds to wait before each new try of a rename that Windows refused with one of ``BUSY``; five in all.
DELAYS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.2, 1.3)
#: Seconds after which a temporary file that nobody has written to belongs to a process that was killed.
ABANDONED = 3600.0


def as_our_error(error: OSError, path: Path) -> CommonArtError:
    """What went wrong when writing below the folder ``path``, as one of our errors."""
    return _converted(error, path, OutputFolder)


def _converted(error: OSError, path: Path, default: type[OutputFolder]) -> CommonArtError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(path=path)
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):  # the name is at fault, not its folder
        return BadValue(name="name", value=f"…{str(path)[-40:]}", why=system_words(error))
    return default(path=path, why=system_words(error))


def make_folder(folder: Path) -> None:
    """Create a folder and those above it. Raises OutputFolder, DiskFull."""
    try:
        with fault_point("mkdir"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise as_our_error(e, folder) from e


def sync_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut; Windows has no such call and needs none. Raises OSError."""
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def discard(part: Path) -> None:
    """Remove a temporary file, if it exists and can be removed."""
    try:
        part.unlink(missing_ok=True)
    except OSError:
        pass  # its folder is gone or read-only, which is reported elsewhere


def rename(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """Rename a file or folder, waiting some seconds where Windows says that another program has it open.

    Without ``overwrite`` Windows refuses a name that is taken; POSIX refuses only a folder that is not empty.

    Raises:
        OSError
    """
    move: Callable[[Path, Path], None] = os.replace if overwrite else os.rename
    for delay in (*DELAYS, None):
        try:
            move(source, target)
            return
        except PermissionError as e:
            if delay is None or getattr(e, "winerror", None) not in BUSY:
                raise
            time.sleep(delay)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write that replaces ``path`` when the block ends well; otherwise ``path`` stays as it was.

    Several processes may write the same ``path`` at once: each replaces it with a complete file. With ``durable`` the
        file
    and its name survive a power cut; caches need not.

    Raises:
        OutputFile, DiskFull, BadValue: from OSError, also of the block.
    """
    part: Path | None = None
    try:
        with fault_point("write"):
            part, file = _open_part(path)
            with file:
                yield file
                file.flush()
                if durable:
                    with fault_point("fsync"):
                        os.fsync(file.fileno())
        with fault_point("rename"):
            rename(part, path, overwrite=True)
        if durable:
            with fault_point("fsync folder"):
                sync_folder(path.parent)
    except BaseException as e:
        if part is not None:
            discard(part)
        if isinstance(e, OSError):
            raise _converted(e, path, OutputFile) from e
        raise


def _open_part(path: Path) -> tuple[Path, IO[bytes]]:
    """A new temporary file beside ``path``, of a name that no other process uses."""
    part = path.with_name(f".{path.name}{PART}")
    while True:
        try:
            return part, part.open("xb")
        except FileExistsError:
            if time.time() - part.stat().st_mtime > ABANDONED:
                discard(part)
            part = path.with_name(f".{path.name}.{os.urandom(4).hex()}{PART}")
