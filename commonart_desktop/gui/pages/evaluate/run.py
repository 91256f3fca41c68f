"""One evaluation in progress."""

from __future__ import annotations

import time

from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.pages.evaluate.job import EvaluationRequest, evaluate
from commonart_desktop.gui.widgets.run_view import RequestRun


class EvaluateRun(RequestRun):
    """At the end there is a ``Report``, an ``error``, or neither if it was stopped. ``total`` 0: not known yet."""

    request: EvaluationRequest

    def __init__(self, notices: Notices, request: EvaluationRequest) -> None:
        super().__init__(notices, request)
        self._first: tuple[float, int] | None = None  # time of the first progress report, and how much was done then
        self._last = self.began
        self.begin(lambda stopper, progress: evaluate(request, stopper, progress))

    def left(self) -> float | None:
        """Estimated seconds, from the pace since the first report; None while there is nothing to base it on.

        Images of an earlier run are reported at once, so the first report does not count.
        """
        if self._first is None or self.done <= self._first[1]:
            return None
        pace = (self._last - self._first[0]) / (self.done - self._first[1])
        return max(0.0, pace * (self.total - self.done) - (time.monotonic() - self._last))

    def progress(self, done: int, total: int) -> None:
        if not (isinstance(done, int) and isinstance(total, int) and 0 <= done <= total < 2**31):
            return
        self._last = time.monotonic()
        if self._first is None or total != self.total:  # the total changed: another kind of work begins
            self._first = (self._last, done)
        self.done, self.total = done, total
        self.moved.emit()
