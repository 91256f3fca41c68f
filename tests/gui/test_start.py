"""``commonart gui`` through the console script, offscreen. On a real display: test_display.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.console import open_and_close_window


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
def test_the_window_opens_stays_and_closes_politely(tmp_path: Path) -> None:
    open_and_close_window(tmp_path, tmp_path / "home", {"QT_QPA_PLATFORM": "offscreen"})
