"""An audit hook that notes what a reader of other people's files must never do."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ALWAYS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pickle.find_class",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "socket.bind",
    "webbrowser.open",
    "ftplib.connect",
    "urllib.Request",
)
_PATHS = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.link": (0, 1),
    "os.symlink": (1,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
    "shutil.copyfile": (1,),
    "sqlite3.connect": (0,),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_now: dict[str, Any] = {}  # empty while nothing is watched: an audit hook cannot be taken away again
_added: list[bool] = []


def writes(event: str, args: tuple[Any, ...]) -> Iterator[Any]:
    """The paths that an audit event changes."""
    if event == "open":
        mode, flags = args[1], args[2]
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITING):
            yield args[0]
    for place in _PATHS.get(event, ()):
        yield args[place]


def inside(path: Any, root: str) -> bool:
    """Whether a path that may be bytes, a number or relative lies under ``root``."""
    if isinstance(path, int):
        return True  # a file that was opened before
    text = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else ""
    return text == root or text.startswith(root + os.sep)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _now or _now.get("busy"):
        return
    _now["busy"] = True
    try:
        if event in _ALWAYS and event not in _now["allowed"]:
            _now["seen"].append(f"{event} {args!r:.200}")
        # os.remove by a folder's number is a part of a shutil.rmtree, which has an event of its own
        for path in () if event in ("os.remove", "os.rmdir") and args[1] >= 0 else writes(event, args):
            # a module that is imported for the first time writes its bytecode beside itself
            if (
                not any(inside(path, root) for root in _now["roots"])
                and "__pycache__" not in str(path)
                and str(path) not in (os.devnull, ":memory:")
            ):
                _now["seen"].append(f"{event} {path!r}")
    finally:
        _now["busy"] = False


@contextmanager
def within(root: Path, allowed: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Watch this block. The list fills with what was done outside ``root`` (the system's own temporary files aside), or
    at all.
    """
    if not _added:
        sys.addaudithook(_hook)
        _added.append(True)
    seen: list[str] = []
    roots = [os.path.realpath(root)]
    if not roots[0].startswith(os.path.realpath(tempfile.gettempdir()) + os.sep):
        roots.append(os.path.realpath(tempfile.gettempdir()))
    _now.update(roots=roots, allowed=allowed, seen=seen, busy=False)
    try:
        yield seen
    finally:
        _now.clear()
