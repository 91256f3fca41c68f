"""Whether a window can open here, checked before Qt starts: where it cannot, Qt aborts the process with a core dump."""

from __future__ import annotations

import ctypes
import os
import sys

from engine.contract.errors import CommonArtError, MissingLibrary, NoDisplay, Phrase

#: libraries that Qt's X11 plug-in needs and the wheel lacks -> package on Debian and Ubuntu
LIBRARIES = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}


def what_is_missing() -> CommonArtError | None:
    """On Linux: a display, one that answers, or libraries of Qt's X11 plug-in.

    None if nothing is known to be missing.
    """
    platform = os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0].partition(";")[0]
    if not sys.platform.startswith("linux") or platform not in ("", "xcb", "wayland"):
        return None
    wayland, x11 = os.environ.get("WAYLAND_DISPLAY"), os.environ.get("DISPLAY")
    if platform == "wayland" or (wayland and not platform):
        return None if wayland else NoDisplay(why=Phrase("{variable} is not set", variable="WAYLAND_DISPLAY"))
    if not x11:
        return NoDisplay(why=Phrase("there is no display; neither DISPLAY nor WAYLAND_DISPLAY is set"))
    missing = [name for name in LIBRARIES if not _loads(name)]
    if missing:
        packages = " ".join(LIBRARIES[name] for name in missing)
        return MissingLibrary(name=", ".join(missing), command=f"sudo apt install {packages}")
    return None if _answers() else NoDisplay(why=Phrase("the display {name} does not answer", name=x11))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _answers() -> bool:
    """Whether the X server of ``DISPLAY`` accepts a connection."""
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
