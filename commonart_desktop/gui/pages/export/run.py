"""One export in progress."""

from __future__ import annotations

import time

from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.pages.export.job import ExportRequest, export
from commonart_desktop.gui.widgets.run_view import RequestRun


class ExportRun(RequestRun):
    """At the end there is a ``Report``, an ``error``, or neither if it was stopped, and then nothing is left of it."""

    request: ExportRequest

    def __init__(self, notices: Notices, request: ExportRequest) -> None:
        self.steps = request.steps()
        super().__init__(notices, request, len(self.steps))
        self._ended_at = self.began  # when the last step ended
        self.begin(lambda stopper, progress: export(request, stopper, progress))

    def left(self) -> float | None:
        """Estimated seconds, from the time that the finished steps took; None while there is nothing to base it on."""
        if self.done < 2 or self.total != len(self.steps):
            return None
        costs = [cost for *_, cost in self.steps]
        pace = (self._ended_at - self.began) / sum(costs[: self.done])
        return max(0.0, pace * sum(costs[self.done :]) - (time.monotonic() - self._ended_at))

    def progress(self, done: int, total: int) -> None:
        if self.done < done <= total < 1000:
            self.done, self.total = done, total
            self._ended_at = time.monotonic()
            self.moved.emit()
