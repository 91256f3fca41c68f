"""Python's search for unreachable cycles, in an event-loop turn of its own.

With a window full of objects a search of the oldest generation takes some 30 ms, and by itself it comes in the middle of whatever creates many objects:
opening a page, changing the language. The younger generations are left alone; they take less than a millisecond.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

EVERY = 20_000  # ms between two looks
ENOUGH = 10  # searches of the middle generation since the last whole one: Python's own measure


class GcTimer(QObject):
    """As long as it lives, whole searches are made by its timer only."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._before = gc.get_threshold()
        gc.set_threshold(*self._before[:2], 1_000_000)
        self._timer = QTimer(self, interval=EVERY)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Search if there is something to find."""
        if gc.get_count()[2] >= ENOUGH:
            gc.collect()

    def stop(self) -> None:
        """As it was before."""
        self._timer.stop()
        gc.set_threshold(*self._before)
