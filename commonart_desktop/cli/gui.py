"""``commonart gui``: the window, as a process of its own so that the command line never imports Qt."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from commonart_desktop.core.i18n import tr
from engine.contract.paths import home
from engine.contract.python_process import python_command

GRACE = 60.0  # seconds that an interrupted window has to return its engine's work to the queue


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("gui", help=tr("open the window"), description=tr("Open the window."))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open it and wait until it is closed.

    An interrupt or SIGTERM is passed on, and the window closes as if by its button.
    """
    home()
    window = subprocess.Popen(python_command("-m", "commonart_desktop.gui"))
    try:
        return window.wait()
    except KeyboardInterrupt:
        if sys.platform != "win32":  # there, Ctrl+C has reached the window too, and terminate() would be kill()
            window.terminate()
        try:
            return window.wait(GRACE)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            window.kill()
            window.wait()
            raise KeyboardInterrupt from None
