"""An export under way, part by part in words, with the time so far and about what is left."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QGridLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.pages.export.run import ExportRun
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label

ROWS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder", "pictures", "folder")


class RunningView(QWidget):
    """Shows a run; ``stop`` is its button."""

    def __init__(self) -> None:
        super().__init__()
        self._run: ExportRun | None = None
        self.title, self.place = label(role="title"), label(role="muted")
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        self.now, self.time = label(), label(role="muted")
        self.stop = QPushButton(
            theme.icon("stop"), self.tr("Stop"), toolTip=self.tr("Stop the export; nothing of it is kept")
        )
        self._names = {
            "text_encoder": self.tr("Text encoder"),
            "transformer": self.tr("Denoiser"),
            "vae_decoder": self.tr("VAE decoder"),
            "vae_encoder": self.tr("VAE encoder"),
            "pictures": self.tr("Whole pictures"),
            "folder": self.tr("Folder"),
        }
        self._deeds = {
            "graph": self.tr("writing the graph"),
            "quantize": self.tr("turning the weights into eight bits"),
            "check": self.tr("comparing it with PyTorch"),
            "pytorch": self.tr("drawing with PyTorch"),
            "onnx": self.tr("drawing with ONNX"),
            "hash": self.tr("hashing every file"),
        }
        self.marks, self.words = {}, {}
        grid = QGridLayout(horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        grid.setColumnStretch(2, 1)
        for n, name in enumerate(ROWS):
            self.marks[name], self.words[name] = QLabel(), label(role="muted")
            title = QLabel(self._names[name])
            for at, widget in enumerate((self.marks[name], title, self.words[name])):
                grid.addWidget(widget, n, at)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["m"])
        for widget in (self.title, self.place, self.bar, self.now, self.time):
            column.addWidget(widget)
        column.addSpacing(SPACE["s"])
        column.addLayout(grid)
        column.addSpacing(SPACE["s"])
        column.addWidget(self.stop, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch()
        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._tell_time)

    def show_run(self, run: ExportRun) -> None:
        """Follow this run until it is over."""
        self._run = run
        run.moved.connect(self._show)
        run.over.connect(self._clock.stop)
        self.title.setText(
            self.tr("Exporting {model}, {precision}").format(model=run.order.name, precision=run.order.precision)
        )
        self.place.setText(run.order.out)
        if run.running:
            self._clock.start()
        self._show()

    def _show(self) -> None:
        run = self._run
        if run is None:
            return
        known = run.total == len(run.steps)
        at = min(run.done, len(run.steps) - 1)
        part, deed, _ = run.steps[at]
        for n, name in enumerate(ROWS):
            past = (known and n < ROWS.index(part)) or run.done >= run.total
            here = known and name == part and not past
            self.marks[name].setPixmap(theme.icon("done" if past else "running" if here else "waiting").pixmap(16, 16))
            self.words[name].setText(self.tr("done") if past else self._deeds[deed] if here else self.tr("waiting"))
        self.bar.setRange(0, run.total)
        self.bar.setValue(run.done)
        if run.stopping:
            self.now.setText(self.tr("Stopping; what was written so far is being removed…"))
        elif known:
            self.now.setText(self.tr("{part}: {deed}").format(part=self._names[part], deed=self._deeds[deed]))
        else:
            self.now.setText(self.tr("Step {step} of {steps}").format(step=run.done + 1, steps=run.total))
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
