"""``commonart``: from the arguments to a command."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    from commonart_desktop.cli import run

    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
