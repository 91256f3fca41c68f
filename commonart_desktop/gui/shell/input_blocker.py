"""Blocks the user's input while a window is replaced."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject


class InputBlocker(QObject):
    """Drops keys and clicks of a window that is about to be replaced: its state is stored already."""

    _EVENTS = frozenset(
        (
            QEvent.Type.KeyPress,
            QEvent.Type.KeyRelease,
            QEvent.Type.Shortcut,
            QEvent.Type.ShortcutOverride,
            QEvent.Type.InputMethod,
            QEvent.Type.MouseButtonPress,
            QEvent.Type.MouseButtonRelease,
            QEvent.Type.MouseButtonDblClick,
            QEvent.Type.Wheel,
            QEvent.Type.Drop,
            QEvent.Type.ContextMenu,
        )
    )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        return event.type() in self._EVENTS
