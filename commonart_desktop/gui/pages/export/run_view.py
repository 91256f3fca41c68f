"""An export in progress, part by part."""

from __future__ import annotations

from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout

from commonart_desktop.gui.pages.export.run import ExportRun
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.run_view import RunView

ROWS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder", "pictures", "folder")


class ExportRunView(RunView):
    """A row per part: waiting, what is done with it, or done."""

    def add_rows(self, column: QVBoxLayout) -> None:
        self._names = {
            "text_encoder": self.tr("Text encoder"),
            "transformer": self.tr("Denoiser"),
            "vae_decoder": self.tr("VAE decoder"),
            "vae_encoder": self.tr("VAE encoder"),
            "pictures": self.tr("Complete images"),
            "folder": self.tr("Folder"),
        }
        self._actions = {
            "graph": self.tr("writing the graph"),
            "quantize": self.tr("quantizing the weights to eight bits"),
            "check": self.tr("comparing it with PyTorch"),
            "pytorch": self.tr("drawing with PyTorch"),
            "onnx": self.tr("drawing with ONNX"),
            "hash": self.tr("hashing every file"),
        }
        self.marks, self.states = {}, {}
        grid = QGridLayout(horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        grid.setColumnStretch(2, 1)
        for n, name in enumerate(ROWS):
            self.marks[name], self.states[name] = QLabel(), label(role="muted")
            for at, widget in enumerate((self.marks[name], QLabel(self._names[name]), self.states[name])):
                grid.addWidget(widget, n, at)
        column.addLayout(grid)
        column.addSpacing(SPACE["s"])

    def show_progress(self, run: ExportRun) -> str:
        as_planned = run.total == len(run.steps)
        part, action, _ = run.steps[min(run.done, len(run.steps) - 1)]
        for n, name in enumerate(ROWS):
            past = (as_planned and n < ROWS.index(part)) or run.done >= run.total
            here = as_planned and name == part and not past
            self.marks[name].setPixmap(theme.icon("done" if past else "running" if here else "waiting").pixmap(16, 16))
            self.states[name].setText(
                self.tr("done") if past else self._actions[action] if here else self.tr("waiting")
            )
        self.bar.setRange(0, run.total)
        self.bar.setValue(run.done)
        if run.stopping:
            return self.tr("Stopping; what was written so far is being removed…")
        if as_planned:
            return self.tr("{part}: {deed}").format(part=self._names[part], deed=self._actions[action])
        return self.tr("Step {step} of {steps}").format(step=run.done + 1, steps=run.total)
