"""What keeps the window from opening is said before Qt ends the process for it."""

from __future__ import annotations

import ctypes
import sys

import pytest

from commonart_desktop.core import display
from engine.contract.errors import MissingLibrary, NoDisplay

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("platform", ["", "xcb", "wayland"])
def test_no_display(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", platform)
    assert isinstance(display.what_is_missing(), NoDisplay)


@pytest.mark.parametrize("platform", ["offscreen", "minimal", "vnc:size=800x600"])
def test_other_platforms_need_none(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", platform)
    assert display.what_is_missing() is None


def test_wayland_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert display.what_is_missing() is None


def test_a_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    here = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name: here(None) if name in display.LIBRARIES else here(name))
    try:
        here("libxcb.so.1")
    except OSError:
        pytest.skip("libxcb is not here")
    told = display.what_is_missing()
    assert isinstance(told, NoDisplay) and ":987" in str(told)


def test_libraries_of_the_x11_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")

    here, gone = ctypes.CDLL, ("libxcb-cursor.so.0", "libxcb-keysyms.so.1")

    def load(name: str) -> ctypes.CDLL:
        if name in gone:
            raise OSError(name)
        return here(None)

    monkeypatch.setattr(ctypes, "CDLL", load)
    told = display.what_is_missing()
    assert isinstance(told, MissingLibrary) and "libxcb-cursor.so.0, libxcb-keysyms.so.1" in str(told)
    assert told.advice.endswith("sudo apt install libxcb-cursor0 libxcb-keysyms1")
