"""``python -m commonart_desktop.gui``."""

from __future__ import annotations

import sys

from commonart_desktop.core.home import home

if __name__ == "__main__":
    home()
    from commonart_desktop.gui.app import main

    raise SystemExit(main(sys.argv[1:]))
