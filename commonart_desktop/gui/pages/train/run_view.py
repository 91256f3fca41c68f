"""One training run: its progress, curve, previews and notes, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QLocale, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from commonart_desktop.core.i18n import sentence
from commonart_desktop.core.runs import Run
from commonart_desktop.core.training_story import Snapshot
from commonart_desktop.gui.background.training_runs import LEAVE, TrainingRuns
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.train.labels import duration, number, phase_word, state_word, why
from commonart_desktop.gui.pages.train.loss_plot import LossPlot
from commonart_desktop.gui.pages.train.preview_strip import PreviewStrip
from commonart_desktop.gui.pages.train.result_installer import ResultInstaller
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint
from engine.contract.errors import CommonArtError, from_wire

LOG = "train/log_scale"  # in context.state


class RunView(QWidget):
    """``use_wanted`` (dict): values for the form of the Make page. ``start_wanted`` (run): the page starts it."""

    use_wanted = Signal(object)
    start_wanted = Signal(object)

    def __init__(self, context: Context, trainings: TrainingRuns) -> None:
        super().__init__()
        self._context, self._trainings = context, trainings
        self.run: Run | None = None
        self.now = Snapshot()
        self.installer = ResultInstaller(self, trainings, context.notices)
        self.title = QLabel(textFormat=Qt.TextFormat.PlainText, wordWrap=True)
        self.title.setProperty("role", "section")
        self.line = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        self.problem = FieldHint()
        self.log = QCheckBox(self.tr("Logarithmic"), checked=str(context.state.value(LOG, "false")) == "true")
        self.plot, self.strip = LossPlot(), PreviewStrip()
        self.plot.set_log(self.log.isChecked())
        self.notes = QPlainTextEdit(readOnly=True, accessibleName=self.tr("Notes"), tabChangesFocus=True)
        self.notes.setFixedHeight(self.notes.fontMetrics().lineSpacing() * 3 + SPACE["l"])
        self.pause = QPushButton(icon("pause"), self.tr("Pause"), clicked=self._pause)
        self.save = QPushButton(
            icon("save"),
            self.tr("Save now"),
            clicked=lambda: self._send("save", self.tr("A checkpoint follows after this step.")),
        )
        self.sample = QPushButton(
            icon("pictures"),
            self.tr("Sample now"),
            clicked=lambda: self._send("sample", self.tr("Previews follow after this step.")),
        )
        self.stop = QPushButton(
            icon("stop"), self.tr("Stop"), toolTip=self.tr("Save, then stop; it can go on later"), clicked=self._stop
        )
        self.start = QPushButton(
            icon("play"), self.tr("Start"), clicked=lambda: self.run and self.start_wanted.emit(self.run)
        )
        self.start.setProperty("main", True)
        self.unqueue = QPushButton(
            self.tr("Do not start"), clicked=lambda: self.run and self._guarded(lambda run: trainings.dequeue(run))
        )
        self.use = QPushButton(icon("make"), self.tr("Use for making images"), clicked=self._use)
        self.use.setProperty("main", True)
        self.report = QPushButton(
            self.tr("Open the report"), clicked=lambda: self._open(str(self.now.end.get("report") or ""))
        )
        self.folder = QToolButton(
            icon=icon("folder"),
            accessibleName=self.tr("Open the run's folder"),
            toolTip=self.tr("Open the run's folder"),
            clicked=lambda: self.run and self._open(str(self.run.folder)),
        )
        self.config = QToolButton(
            icon=icon("make"),
            accessibleName=self.tr("Open the config"),
            toolTip=self.tr("Open the config"),
            clicked=lambda: self.run and self._open(str(self.run.config)),
        )
        self.remove = QToolButton(
            icon=icon("trash"),
            accessibleName=self.tr("Remove from the list"),
            clicked=self._remove,
            toolTip=self.tr("Remove from the list; its files stay"),
        )
        self.leave = QCheckBox(
            self.tr("Continue training when the window is closed"),
            checked=str(context.state.value(LEAVE, "true")) == "true",
        )
        self.leave.toggled.connect(lambda on: context.state.setValue(LEAVE, "true" if on else "false"))
        self.log.toggled.connect(self._on_log)
        self._lay_out()
        trainings.news.connect(self._on_news)
        trainings.changed.connect(self._refresh)
        self.show_run(None)

    def _lay_out(self) -> None:
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.title, 1)
        for widget in (self.config, self.folder, self.remove):
            head.addWidget(widget)
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for widget in (self.start, self.use, self.unqueue, self.pause, self.save, self.sample, self.stop, self.report):
            buttons.addWidget(widget)
        buttons.addStretch()
        options = QHBoxLayout(spacing=SPACE["l"])
        options.addWidget(self.leave)
        options.addStretch()
        options.addWidget(self.log)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(SPACE["s"])
        outer.addLayout(head)
        for widget in (self.line, self.bar, self.problem):
            outer.addWidget(widget)
        outer.addLayout(buttons)
        outer.addLayout(options)
        outer.addWidget(self.plot, 1)
        outer.addWidget(self.strip)
        outer.addWidget(self.notes)
        outer.addStretch()

    def busy(self) -> bool:
        return self.installer.busy() or self.strip.previews.busy()

    # showing ------------------------------------------------------------------------------------------------------

    def show_run(self, run: Run | None) -> None:
        """Show another run, or none."""
        self.run = run
        self.now = self._trainings.follow(run) if run is not None else Snapshot()
        self.setVisible(run is not None)
        self._refresh()

    def _on_news(self, run: Run, snapshot: Snapshot) -> None:
        if self.run is not None and run.folder == self.run.folder:
            self.now = snapshot
            self._refresh()

    def _refresh(self) -> None:
        run, now = self.run, self.now
        if run is None:
            return
        state = self._trainings.state(run)
        active = state in ("running", "paused")
        learning = active and now.phase == "learning"
        self.title.setText(f"{run.name}  ·  {state_word(state)}")
        self.line.setText(self._progress(state))
        self.line.setVisible(bool(self.line.text()))
        self.bar.setVisible(active)
        if active:
            total_done = (now.steps, now.step) if now.phase == "learning" else (now.total, now.done)
            self.bar.setRange(0, total_done[0])
            self.bar.setValue(total_done[1])
        self.problem.tell(self._problem_text(state))
        self.start.setVisible(state in ("draft", "stopped", "failed", "broken-off"))
        resumes = state != "draft" and run.begun
        self.start.setText(
            self.tr("Resume") if resumes else self.tr("Start") if state == "draft" else self.tr("Try again")
        )
        self.unqueue.setVisible(state == "waiting")
        self.pause.setVisible(active)
        self.pause.setText(self.tr("Resume") if state == "paused" else self.tr("Pause"))
        self.pause.setIcon(icon("play" if state == "paused" else "pause"))
        for button in (self.save, self.sample, self.stop):
            button.setVisible(active)
        for button in (self.pause, self.save):
            button.setEnabled(learning)
        self.sample.setEnabled(learning and bool(run.plan.get("prompts", True)))
        done = state == "done"
        self.use.setVisible(done)
        self.report.setVisible(done and bool(now.end.get("report")))
        self.remove.setVisible(not active)
        self.leave.setVisible(active or state == "waiting")
        has_curve = bool(now.train or now.held)
        self.plot.setVisible(has_curve or active)
        self.log.setVisible(has_curve or active)
        self.plot.show_curves(now.train, now.smooth, now.held, now.steps)
        self.strip.setVisible(bool(now.previews))
        self.strip.show_previews(list(now.previews))
        notes = "\n".join(self._note(n) for n in reversed(now.notes))
        self.notes.setVisible(bool(notes))
        if notes != self.notes.toPlainText():
            self.notes.setPlainText(notes)

    def _note(self, note: dict[str, Any]) -> str:
        return f"{QLocale().toString(int(note['step']))}: {why(note)}"

    def _progress(self, state: str) -> str:
        now, parts = self.now, []
        if state == "waiting":
            return (
                self.tr("It starts when the queue is empty.")
                if self.run and self.run.plan.get("after_queue")
                else self.tr("It starts after the one that is running.")
            )
        if state in ("running", "paused"):
            if now.phase != "learning":
                return phase_word(now.phase) + (f"  {number(now.done)} / {number(now.total)}" if now.total else "…")
            parts.append(self.tr("step {step} of {steps}").format(step=number(now.step), steps=number(now.steps)))
            if now.speed:
                parts.append(self.tr("{count} images/s").format(count=QLocale().toString(now.speed, "f", 1)))
            if now.eta and state == "running":
                parts.append(self.tr("about {time} left").format(time=duration(now.eta)))
        elif now.step:
            parts.append(self.tr("step {step} of {steps}").format(step=number(now.step), steps=number(now.steps)))
        if now.started:
            parts.append(
                self.tr("{count} images, {held} held out").format(
                    count=number(now.started.get("pictures", 0)), held=number(now.started.get("heldout", 0))
                )
            )
            parts.append(f"{now.started.get('device', '')} {now.started.get('dtype', '')}".strip())
        return "  ·  ".join(parts)

    def _problem_text(self, state: str) -> str:
        if state == "failed" and self.now.end.get("event") == "broken":
            return " ".join(filter(None, sentence(from_wire(self.now.end["error"]))))
        if state == "broken-off":
            text = self.tr("The training's process ended without an error message. What it had saved is there.")
            return f"{text} {self.run.folder / 'trainer.log'}" if self.run else text
        return ""

    # commands --------------------------------------------------------------------------------------------------------

    def _guarded(self, command: Callable[[Run | None], None]) -> None:
        try:
            command(self.run)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _send(self, command: str, message: str) -> None:
        if self.run is not None:
            self._trainings.send(self.run, command)
            if message:
                self._context.notices.say(message)

    def _pause(self) -> None:
        if self.run is not None:
            self._send("resume" if self._trainings.state(self.run) == "paused" else "pause", "")

    def _stop(self) -> None:
        if self.run is not None:
            self._guarded(self._trainings.stop)
            self._context.notices.say(self.tr("The training saves, then stops."))

    def _remove(self) -> None:
        run = self.run
        if run is None:
            return
        self._trainings.change(run, removed=True, state="off")
        self._trainings.refresh()
        trainings = self._trainings

        def undo() -> None:
            if isValid(trainings):  # the notice may outlive this page
                trainings.change(run, removed=False)
                trainings.refresh()

        self._context.notices.say(
            self.tr("“{name}” is no longer listed; its files stay.").format(name=run.name), "", self.tr("Undo"), undo
        )

    def _on_log(self, on: bool) -> None:
        self._context.state.setValue(LOG, "true" if on else "false")
        self.plot.set_log(on)

    @staticmethod
    def _open(path: str) -> None:
        if path:
            QDesktopServices.openUrl(QUrl.fromLocalFile(path))

    def _use(self) -> None:
        run = self.run
        if run is not None and self.now.end:
            self.installer.install(run, self.now.end, lambda path: self.use_wanted.emit(self.values_for(run, path)))

    @staticmethod
    def values_for(run: Run, path: str) -> dict[str, Any]:
        """For the form of the Make page: the LoRA and its base model, or the model."""
        if not path.endswith(".safetensors"):
            return {"model": path, "loras": []}
        return {"loras": [[path, 1.0]]} | ({"model": run.plan["model"]} if run.plan.get("model") else {})
