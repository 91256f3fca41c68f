"""One export under way. It hangs on the notices, which outlive the pages: a change of language builds those anew."""

from __future__ import annotations

import time

from PySide6.QtCore import QCoreApplication, QObject, Signal

from commonart_desktop.gui.context import Notices
from commonart_desktop.gui.export_report import Report
from commonart_desktop.gui.export_work import Order, Stopper, export
from commonart_desktop.gui.tasks import Task
from engine.contract.errors import CommonArtError


class ExportRun(QObject):
    """``moved`` with every step, ``over`` at the end: then ``report``, ``error``, or neither if it was stopped."""

    moved = Signal()
    over = Signal()

    def __init__(self, notices: Notices, order: Order) -> None:
        super().__init__(notices)
        self.order = order
        self.steps = order.steps()
        self.began = time.monotonic()
        self.done, self.total = 0, len(self.steps)
        self.marks = [self.began]  # when each step ended
        self.report: Report | None = None
        self.error: CommonArtError | None = None
        self.running, self.stopping = True, False
        stopper = self._stopper = Stopper()
        self.destroyed.connect(stopper.stop)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(stopper.stop)
        self._task = Task(self, lambda task: export(order, stopper, task.progress), done=self._on_done, failed=self._on_failed, progress=self._on_progress)

    def stop(self) -> None:
        """Ask it to end; ``over`` tells when it has, and nothing is left of it."""
        if self.running and not self.stopping:
            self.stopping = True
            self._stopper.stop()
            self.moved.emit()

    def left(self) -> float | None:
        """Seconds, as a guess by what the steps done took; None while there is nothing to guess by."""
        if self.done < 2 or self.total != len(self.steps):
            return None
        costs = [cost for *_, cost in self.steps]
        pace = (self.marks[-1] - self.began) / sum(costs[:self.done])
        return max(0.0, pace * sum(costs[self.done:]) - (time.monotonic() - self.marks[-1]))

    def _on_progress(self, done: int, total: int) -> None:
        if self.done < done <= total < 1000:
            self.done, self.total = done, total
            self.marks.append(time.monotonic())
            self.moved.emit()

    def _on_done(self, report: Report | None) -> None:
        self.report = report
        self._end()

    def _on_failed(self, error: CommonArtError) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self.running = False
        self.over.emit()
