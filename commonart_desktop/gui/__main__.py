"""``python -m commonart_desktop.gui``, and ``commonart-desktop``, which opens no console on Windows."""

from __future__ import annotations

import sys

from commonart_desktop.core.display import what_is_missing
from commonart_desktop.core.i18n import sentence
from engine.contract.paths import home


def main() -> None:
    """Open the window; returns when it is closed."""
    home()
    missing = what_is_missing()
    if missing is not None:
        text, hint = sentence(missing)
        print(f"commonart: {text}\n  {hint}", file=sys.stderr)
        raise SystemExit(1)
    from commonart_desktop.gui.app import main

    raise SystemExit(main(sys.argv[1:]))


if __name__ == "__main__":
    main()
