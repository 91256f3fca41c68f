"""Whether a window can open here, asked before Qt is: where it cannot, Qt ends the whole process with a core dump."""

from __future__ import annotations

import ctypes
import os
import sys

from engine.contract.errors import CommonArtError, MissingLibrary, NoDisplay, Phrase

INSTALL = "sudo apt install libxcb-cursor0"  # on Debian and Ubuntu


def what_is_missing() -> CommonArtError | None:
    """On Linux: a display, one that answers, or the library of Qt's X11 plug-in. None where nothing is known to be missing."""
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0].partition(";")[0]
    if not sys.platform.startswith("linux") or platform not in ("", "xcb", "wayland"):
        return None
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if platform == "wayland" or (wayland and not platform):
        return None if wayland else NoDisplay(why=Phrase("{variable} is not set", variable="WAYLAND_DISPLAY"))
    if not x11:
        return NoDisplay(why=Phrase("there is no display; neither DISPLAY nor WAYLAND_DISPLAY is set"))
    try:
        ctypes.CDLL("libxcb-cursor.so.0")
    except OSError:
        return MissingLibrary(name="libxcb-cursor", command=INSTALL)
    return None if _answers() else NoDisplay(why=Phrase("the display {name} does not answer", name=x11))


def _answers() -> bool:
    """Whether the X server that ``DISPLAY`` names takes a connection."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # Qt knows better
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    try:
        return not xcb.xcb_connection_has_error(connection)
    finally:
        xcb.xcb_disconnect(connection)
