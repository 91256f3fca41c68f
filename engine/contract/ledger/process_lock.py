"""A lock that a process holds for its lifetime: the lease of a worker.

The operating system releases it whatever ends the process, so it survives kill -9, sleep, and changes of the clock.
The differences between POSIX and Windows are handled here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class ProcessLock:
    """An exclusive, non-blocking lock on a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> bool:
        """Try to acquire it; true if this process holds it now."""
        if self._fd is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(fd)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def drop(self, *, remove: bool = False) -> None:
        """Release it; ``remove`` also deletes the file."""
        if self._fd is None:
            return
        if remove and sys.platform != "win32":  # Windows cannot delete what is open; there it is deleted below
            self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None
        if remove and sys.platform == "win32":
            self._path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a running process holds the lock on ``path``."""
    if not path.exists():
        return False
    probe = ProcessLock(path)
    if probe.take():
        probe.drop(remove=True)
        return False
    return True
