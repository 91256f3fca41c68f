"""A program run in progress: what it does, how far it is, the time so far and an estimate of what is left."""

from __future__ import annotations

import math
import time
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.background.program_run import ProgramRun
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label


class RequestRun(ProgramRun):
    """A run of a ``request``, which has a ``name`` for people."""

    def __init__(self, notices: Notices, request: Any, total: int = 0) -> None:
        super().__init__(notices, total)
        self.request = request


class RunView(QWidget):
    """Shows one run; ``stop`` is its button. Subclasses say what the run does, with ``show_progress``."""

    def __init__(self) -> None:
        super().__init__()
        self._run: RequestRun | None = None
        self.title, self.location = label(role="title"), label(role="muted")
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        self.now, self.time = label(), label(role="muted")
        self.stop = QPushButton(theme.icon("stop"), self.tr("Stop"))
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["m"])
        for widget in (self.title, self.location, self.bar, self.now, self.time):
            column.addWidget(widget)
        column.addSpacing(SPACE["s"])
        self.add_rows(column)
        column.addWidget(self.stop, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch()
        self._timer = QTimer(self, interval=1000)
        self._timer.timeout.connect(self._show_time)

    # for subclasses ---------------------------------------------------------------------------------------------------

    def add_rows(self, column: QVBoxLayout) -> None:
        """Add further widgets above the button."""

    def show_progress(self, run: Any) -> str:
        """Update the widgets of the subclass and the bar; returns what is being done, for the line ``now``."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------------------------

    def show_run(self, run: RequestRun, title: str, location: str) -> None:
        """Follow this run until it is over."""
        self._run = run
        run.moved.connect(self._update)
        run.over.connect(self._timer.stop)
        self.title.setText(title)
        self.location.setText(location)
        if run.running:
            self._timer.start()
        self._update()

    def _update(self) -> None:
        run = self._run
        if run is None:
            return
        self.now.setText(self.show_progress(run))
        self.stop.setEnabled(not run.stopping)
        self._show_time()

    def _show_time(self) -> None:
        run = self._run
        if run is None:
            return
        parts = [self.tr("{time} so far").format(time=self._duration(time.monotonic() - run.began))]
        left = None if run.stopping else run.left()
        if left:  # nothing is shown once the estimate has run out
            parts.append(self.tr("about {time} left").format(time=self._duration(5 * math.ceil(left / 5))))
        self.time.setText(" · ".join(parts))

    def _duration(self, seconds: float) -> str:
        if seconds < 90:
            return self.tr("{n} s").format(n=int(seconds))
        if seconds < 5400:
            return self.tr("{n} min").format(n=round(seconds / 60))
        return self.tr("{h} h {n} min").format(h=int(seconds // 3600), n=round(seconds % 3600 / 60))
