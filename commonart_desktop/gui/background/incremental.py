"""Making things in parts, one part an event-loop turn, so that the window answers in between.

What is made so is a generator: it yields where a turn may end. ``at_once`` runs it through, for whoever cannot wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

Steps = Iterator[Any]  # a thread that is waited for before the next part, or None; mypy refuses a bare yield of an Optional
_TURN = 1  # ms: other timers are not overtaken, as they would be by one of no time at all
_LOOK = 5  # ms between two looks at a thread that is waited for


def at_once(steps: Steps) -> None:
    """All parts in this turn."""
    for thread in steps:
        if thread is not None:
            thread.join()


class IncrementalBuild(QObject):
    """Runs ``steps``, a part a turn from the next turn on, until they are ``over``. Goes with its parent."""

    over = Signal()

    def __init__(self, steps: Steps, parent: QObject) -> None:
        super().__init__(parent)
        self._steps = steps
        self._thread: threading.Thread | None = None
        self._busy = False
        self._timer = QTimer(self, interval=_TURN)
        self._timer.timeout.connect(self._turn)
        self._timer.start()

    def finish(self) -> None:
        """Do the rest now; nothing while one of the parts itself asks for it."""
        if not self._busy:
            while self._timer.isActive():
                if self._thread is not None:
                    self._thread.join()
                self._turn()

    def _turn(self) -> None:
        if self._busy:
            return  # a part that lets events in is not entered again
        if self._thread is not None:
            self._thread.join(0.001)  # most have ended by now
            if self._thread.is_alive():
                self._timer.setInterval(_LOOK)
                return
            self._thread = None
            self._timer.setInterval(_TURN)
        self._busy = True
        try:
            self._thread = next(self._steps)
        except StopIteration:
            self._timer.stop()
            self._busy = False
            self.over.emit()
            self.deleteLater()
        except BaseException:
            self._timer.stop()
            raise
        finally:
            self._busy = False
