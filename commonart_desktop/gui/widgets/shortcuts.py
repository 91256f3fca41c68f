"""Keyboard shortcuts, in the form the platform shows them."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence

KEYS = "keys"  # a button's property: the shortcut that does the same, where it is no shortcut of the button itself


def native(keys: str | QKeySequence) -> str:
    """A shortcut as people read it on this system."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)
