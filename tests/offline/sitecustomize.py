"""On the path of a test's processes: any use of the network ends in an error (Unix sockets of one's own excepted)."""

import sys


def _refuse(event: str, args: tuple) -> None:  # type: ignore[type-arg]
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise PermissionError(f"network used: {event} {args[1:]}")


sys.addaudithook(_refuse)
