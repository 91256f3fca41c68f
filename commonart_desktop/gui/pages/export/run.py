"""One export under way."""

from __future__ import annotations

import time

from commonart_desktop.gui.background.program_run import ProgramRun
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.pages.export.job import ExportRequest, export
from commonart_desktop.gui.pages.export.report import Report


class ExportRun(ProgramRun):
    """At the end there is a ``report``, an ``error``, or neither if it was stopped, and then nothing is left of it."""

    def __init__(self, notices: Notices, order: ExportRequest) -> None:
        steps = order.steps()
        super().__init__(notices, len(steps))
        self.order, self.steps = order, steps
        self.marks = [self.began]  # when each step ended
        self.begin(lambda stopper, progress: export(order, stopper, progress))

    @property
    def report(self) -> Report | None:
        return self.outcome

    def left(self) -> float | None:
        """Seconds, as a guess by what the steps done took; None while there is nothing to guess by."""
        if self.done < 2 or self.total != len(self.steps):
            return None
        costs = [cost for *_, cost in self.steps]
        pace = (self.marks[-1] - self.began) / sum(costs[: self.done])
        return max(0.0, pace * sum(costs[self.done :]) - (time.monotonic() - self.marks[-1]))

    def progress(self, done: int, total: int) -> None:
        if self.done < done <= total < 1000:
            self.done, self.total = done, total
            self.marks.append(time.monotonic())
            self.moved.emit()
