"""``python -m commonart_desktop.gui``, and ``commonart-desktop``, which opens no console on Windows."""

from __future__ import annotations

import sys

from commonart_desktop.core.home import home


def main() -> None:
    """Open the window; returns when it is closed."""
    home()
    from commonart_desktop.gui.app import main

    raise SystemExit(main(sys.argv[1:]))


if __name__ == "__main__":
    main()
