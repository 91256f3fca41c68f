"""Labels, and sizes in bytes for people."""

from __future__ import annotations

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import (
    QLabel,
)


def size(count: float | None) -> str:
    """Bytes for a person, as the locale writes them."""
    return "–" if count is None else QLocale().formattedDataSize(int(count), 1, QLocale.DataSizeFormat.DataSizeSIFormat)


def label(text: str = "", role: str = "") -> QLabel:
    """Text that wraps and can be copied."""
    made = QLabel(
        text,
        wordWrap=True,
        textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse
        | Qt.TextInteractionFlag.TextSelectableByKeyboard,
    )
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        made.setProperty("role", role)
    return made
