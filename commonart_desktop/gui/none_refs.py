"""PySide6 6.12 is built for Pythons where None is immortal (3.12 and later), yet installs on 3.11 and takes a reference from None
with every call that returns nothing; after some 17,000 calls the interpreter aborts ("deallocating None")."""

from __future__ import annotations

import ctypes
import sys


def keep_none() -> None:
    """On such a Python give None more references than can ever be taken. Call it once, before the first window."""
    if sys.version_info < (3, 12) and sys.implementation.name == "cpython" and sys.getrefcount(None) < 1 << 40 and not hasattr(sys, "gettotalrefcount"):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 50
