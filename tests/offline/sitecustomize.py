"""On the path of a test's processes: any use of the network ends in an error (Unix sockets of one's own excepted).

``COMMONART_TRIED`` is a file that every attempt is written into: a library may swallow the error, and the test must
know all the same. ``COMMONART_WRITTEN`` is a file into which every path goes that the process creates, writes, renames
or removes.
"""

import os
import sys

_TRIED, _WRITTEN = os.environ.get("COMMONART_TRIED"), os.environ.get("COMMONART_WRITTEN")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_PATHS = {
    "os.mkdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.utime": (0,),
    "shutil.rmtree": (0,),
    "shutil.move": (0, 1),
    "shutil.copyfile": (1,),
    "sqlite3.connect": (0,),
    "tempfile.mkstemp": (0,),
}
_busy: "list[int]" = []


def _note(file: str, text: str) -> None:
    """One line, whole: several processes write there."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, (text.replace("\n", "?") + "\n").encode("utf-8", "backslashreplace"))
    finally:
        os.close(fd)


def _refuse(event: str, args: tuple) -> None:  # type: ignore[type-arg]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        import _socket

        if args[0].family == getattr(_socket, "AF_UNIX", None):
            return  # a pipe between processes of this machine
        if event == "socket.bind" and isinstance(args[1], tuple) and args[1][0] in ("127.0.0.1", "::1", "localhost"):
            return  # urllib3 asks so at its import whether there is IPv6: nothing is sent, and nobody else can connect
    elif event not in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        return
    if _TRIED:
        _note(_TRIED, f"{sys.argv!r}: {event} {args[1:]!r}")
    raise PermissionError(f"network used: {event} {args[1:]}")


def _watch(event: str, args: tuple) -> None:  # type: ignore[type-arg]
    if _busy or (event not in _PATHS and event != "open"):
        return
    _busy.append(1)
    try:
        if event in ("os.remove", "os.rmdir") and args[1] >= 0:
            return  # by a folder's number: a part of a shutil.rmtree, which has been noted
        if event != "open":
            paths = [args[n] for n in _PATHS[event]]
        elif (isinstance(args[1], str) and set(args[1]) & set("wax+")) or (
            isinstance(args[2], int) and args[2] & _WRITING
        ):
            paths = [args[0]]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)) and _WRITTEN:
                # a link is judged by whoever reads this
                _note(_WRITTEN, f"{event}\t{os.path.abspath(os.fsdecode(path))}")  # noqa: PTH100
    finally:
        _busy.clear()


sys.addaudithook(_refuse)
if _WRITTEN:
    sys.addaudithook(_watch)
