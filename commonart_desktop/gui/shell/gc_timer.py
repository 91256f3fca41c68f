"""Python's cyclic garbage collection of the oldest generation, in an event-loop turn of its own.

With a window full of objects a full collection takes some 30 ms, and by default it happens amid whatever creates many
objects: opening a page, changing the language. The younger generations are left to Python; they take less than a
millisecond.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

INTERVAL = 20_000  # ms between two checks
THRESHOLD = 10  # collections of the middle generation since the last full one: Python's own default


class GcTimer(QObject):
    """As long as it exists, full collections are started by its timer only."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._before = gc.get_threshold()
        gc.set_threshold(*self._before[:2], 1_000_000)
        self._timer = QTimer(self, interval=INTERVAL)
        self._timer.timeout.connect(self.check)
        self._timer.start()

    def check(self) -> None:
        """Collect if Python would."""
        if gc.get_count()[2] >= THRESHOLD:
            gc.collect()

    def stop(self) -> None:
        """Restore Python's thresholds."""
        self._timer.stop()
        gc.set_threshold(*self._before)
