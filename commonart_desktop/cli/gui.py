"""``commonart gui``: the window, as a process of its own so that the command line never imports Qt."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from commonart_desktop.core.home import home
from commonart_desktop.core.i18n import tr


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("gui", help=tr("open the window"), description=tr("Open the window."))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open it and wait until it is closed."""
    home()
    return subprocess.run([sys.executable, "-m", "commonart_desktop.gui"], check=False).returncode
