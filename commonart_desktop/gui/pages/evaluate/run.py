"""One evaluation under way, and how it is shown."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.background.program_run import ProgramRun
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.pages.evaluate.job import EvaluationRequest, evaluate
from commonart_desktop.gui.pages.evaluate.report import Result
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label


class EvaluateRun(ProgramRun):
    """At the end there is a ``result``, an ``error``, or neither if it was stopped. ``total`` 0: not known yet."""

    def __init__(self, notices: Notices, order: EvaluationRequest) -> None:
        super().__init__(notices)
        self.order = order
        self._first: tuple[float, int] | None = None  # when something was first told, and how much was done then
        self._last = self.began
        self.begin(lambda stopper, progress: evaluate(order, stopper, progress))

    @property
    def result(self) -> Result | None:
        return self.outcome

    def left(self) -> float | None:
        """Seconds, as a guess by the pace since the first news (what was drawn before came all at once); None while there is nothing to guess by."""
        if self._first is None or self.done <= self._first[1]:
            return None
        pace = (self._last - self._first[0]) / (self.done - self._first[1])
        return max(0.0, pace * (self.total - self.done) - (time.monotonic() - self._last))

    def progress(self, done: int, total: int) -> None:
        if not (isinstance(done, int) and isinstance(total, int) and 0 <= done <= total < 2**31):
            return
        self._last = time.monotonic()
        if self._first is None or total != self.total:  # more to do became known: another kind of work begins
            self._first = (self._last, done)
        self.done, self.total = done, total
        self.moved.emit()


class RunningView(QWidget):
    """Shows a run; ``stop`` is its button."""

    def __init__(self) -> None:
        super().__init__()
        self._run: EvaluateRun | None = None
        self.title, self.place = label(role="title"), label(role="muted")
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        self.now, self.time = label(), label(role="muted")
        self.stop = QPushButton(theme.icon("stop"), self.tr("Stop"))
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["m"])
        for widget in (self.title, self.place, self.bar, self.now, self.time):
            column.addWidget(widget)
        column.addSpacing(SPACE["s"])
        column.addWidget(self.stop, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch()
        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._tell_time)

    def show_run(self, run: EvaluateRun) -> None:
        """Follow this run until it is over."""
        self._run = run
        run.moved.connect(self._show)
        run.over.connect(self._clock.stop)
        self.title.setText(self.tr("Evaluating {model}").format(model=run.order.name))
        self.place.setText(str(run.order.folder()))
        if run.running:
            self._clock.start()
        self._show()

    def _show(self) -> None:
        run = self._run
        if run is None:
            return
        self.bar.setVisible(run.total > 0)  # progress that is not known is no bar
        self.bar.setRange(0, max(1, run.total))
        self.bar.setValue(run.done)
        if run.stopping:
            self.now.setText(self.tr("Stopping; what was drawn is kept…"))
        elif not run.total:
            self.now.setText(self.tr("Reading the model and what it is compared with…"))
        elif run.done < run.total:
            self.now.setText(
                self.tr("{done} of {total} pictures drawn or looked at").format(done=run.done, total=run.total)
            )
        else:
            self.now.setText(self.tr("Putting it into figures and writing the report…"))
        self.stop.setEnabled(not run.stopping)
        self._tell_time()

    def _tell_time(self) -> None:
        run = self._run
        if run is None:
            return
        told = [self.tr("{time} so far").format(time=self._words(time.monotonic() - run.began))]
        left = None if run.stopping else run.left()
        if left:  # nothing is told once the guess has run out
            told.append(self.tr("about {time} left").format(time=self._words(5 * math.ceil(left / 5))))
        self.time.setText(" · ".join(told))

    def _words(self, seconds: float) -> str:
        if seconds < 90:
            return self.tr("{n} s").format(n=int(seconds))
        if seconds < 5400:
            return self.tr("{n} min").format(n=round(seconds / 60))
        return self.tr("{h} h {n} min").format(h=int(seconds // 3600), n=round(seconds % 3600 / 60))
