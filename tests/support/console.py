"""The installed console script, as a person starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

CLOSES_WITHIN = 90.0  # seconds, on a slow and busy machine


def script(name: str = "commonart") -> str:
    """The script that the installation wrote beside this Python."""
    path = Path(sys.executable).with_name(name + (".exe" if sys.platform == "win32" else ""))
    assert path.is_file(), f"{path} is not there: install the project"
    return str(path)


def open_and_close_window(folder: Path, home: Path, changes: Mapping[str, str]) -> None:
    """``commonart gui`` in ``folder``: it comes up, stays, and closes politely when it is asked to end."""
    environment = os.environ | {"COMMONART_HOME": str(home), "COMMONART_LANG": "en"} | changes
    started = subprocess.Popen(
        [script(), "gui"], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + CLOSES_WITHIN
        while not (home / "queue.db").exists() and started.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(3)
        assert started.poll() is None, f"it did not stay: {started.communicate()[1]}"
        started.terminate()
        _, errors = started.communicate(timeout=CLOSES_WITHIN)
    finally:
        if started.poll() is None:
            started.kill()
            started.communicate()
    assert started.returncode == 0 and "Traceback" not in errors, errors
    assert (home / "window.ini").is_file(), "it ended without keeping the window's state"
