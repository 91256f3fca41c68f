"""Building pages incrementally: one step per event-loop turn, so that the window stays responsive.

The steps are a generator that yields where a turn may end. ``at_once`` runs it to the end synchronously.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from commonart_desktop.gui.background.tasks import Task

Steps = Iterator[Any]  # of Task, for whose end the next step waits, or None
_TURN = 1  # ms: an interval of 0 would starve other timers
_POLL = 5  # ms between two checks of a task that is waited for


def at_once(steps: Steps) -> None:
    """Run all steps in this turn."""
    for task in steps:
        if task is not None:
            task.join()


class IncrementalBuild(QObject):
    """Runs ``steps``, one per event-loop turn beginning with the next, and emits ``over`` after the last."""

    over = Signal()

    def __init__(self, steps: Steps, parent: QObject) -> None:
        super().__init__(parent)
        self._steps = steps
        self._task: Task | None = None
        self._busy = False
        self._timer = QTimer(self, interval=_TURN)
        self._timer.timeout.connect(self._turn)
        self._timer.start()

    def finish(self) -> None:
        """Run the remaining steps now; does nothing when called from within a step."""
        if not self._busy:
            while self._timer.isActive():
                if self._task is not None:
                    self._task.join()
                self._turn()

    def _turn(self) -> None:
        if self._busy:
            return  # a step that processes events is not entered again
        if self._task is not None:
            if not self._task.join(0.001):  # most have ended by now
                self._timer.setInterval(_POLL)
                return
            self._task = None
            self._timer.setInterval(_TURN)
        self._busy = True
        try:
            self._task = next(self._steps)
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
