"""The Evaluation page: what to evaluate on the left; on the right what the page is for, the evaluation under way, or what it found."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task, pending_tasks
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.evaluate.form import EvaluateForm
from commonart_desktop.gui.pages.evaluate.report import NAME, Result, read_result
from commonart_desktop.gui.pages.evaluate.report_view import ResultView
from commonart_desktop.gui.pages.evaluate.run import EvaluateRun, RunningView
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

SPLITTER = "evaluate/splitter"  # in context.state


class EvaluatePage(StagedPage):
    """An evaluation goes on while other pages are shown, and when the pages are built anew; it ends with the program, and can be gone on with."""

    opened = Signal()  # a result is shown

    def make(self, context: Context) -> Steps:
        self._context = context
        self.run: EvaluateRun | None = None
        self._reading = False
        self.form = EvaluateForm(context, in_turns=True)
        yield from self.form.making
        yield
        self.running = RunningView()
        yield
        self.result = ResultView()
        yield
        self.go, self.open = QPushButton(self.tr("Evaluate")), QPushButton(self.tr("Open a result…"))
        self.go.setProperty("main", True)
        self.go.setProperty(KEYS, "Ctrl+Return")
        self.go.setToolTip(self.tr("Evaluate ({keys})").format(keys=native("Ctrl+Return")))
        self.open.setProperty(KEYS, "Ctrl+O")
        self.open.setToolTip(self.tr("Show the result of an earlier evaluation ({keys})").format(keys=native("Ctrl+O")))
        self.running.stop.setProperty(KEYS, "Ctrl+.")
        self.running.stop.setToolTip(
            self.tr(
                "Stop; what was drawn is kept, and the next evaluation of the same goes on from there ({keys})"
            ).format(keys=native("Ctrl+."))
        )
        for keys, do in (
            ("Ctrl+Return", self.start),
            ("Ctrl+Enter", self.start),
            ("Ctrl+O", self._choose_result),
            ("Ctrl+.", self.stop),
        ):
            QShortcut(QKeySequence(keys), self, autoRepeat=False).activated.connect(do)
        self.go.clicked.connect(self.start)
        self.open.clicked.connect(self._choose_result)
        self.running.stop.clicked.connect(self.stop)
        self.form.changed.connect(self._on_form)
        self.result.said.connect(context.notices.say)
        yield
        yield from self._lay_out()
        yield
        state = context.state.value(SPLITTER)
        if state is not None:
            self.splitter.restoreState(state)
        self._resume()
        self._on_form()

    def _lay_out(self) -> Steps:
        self._scroll = FormScroll(self.form, widest=520)
        actions = QHBoxLayout(spacing=SPACE["s"])
        actions.setContentsMargins(SPACE["l"], SPACE["s"], SPACE["l"], SPACE["m"])
        actions.addWidget(self.go, 1)
        actions.addWidget(self.open)
        left = QWidget(minimumWidth=360)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._scroll, 1)
        column.addLayout(actions)
        yield
        empty, self.told = QWidget(), label(role="muted")
        about = QVBoxLayout(empty)
        about.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        about.setSpacing(SPACE["s"])
        about.addWidget(label(self.tr("The results will appear here"), "section"))
        for text in (
            self.tr(
                "Every prompt is drawn from a fixed seed, the same in both languages, and measured in one table: Japanese, English, and both."
            ),
            self.tr(
                "Press Evaluate to see whether the model draws what it is told; no encoder and no prompts file are needed for the bundled model. "
                "With encoders there are scores for any prompt, with a reference folder distances to real pictures."
            ),
            self.tr("Open a result to look at an earlier evaluation, or choose one on the left to compare with."),
        ):
            about.addWidget(label(text, "muted"))
        about.addSpacing(SPACE["s"])
        about.addWidget(self.told)
        about.addStretch()
        self._places: dict[str, QWidget] = {
            "empty": FormScroll(empty, widest=900),
            "running": FormScroll(self.running, widest=900),
            "result": self.result,
        }
        yield
        self.stack = QStackedWidget()
        for place in self._places.values():
            self.stack.addWidget(place)
        yield
        self.splitter = QSplitter(childrenCollapsible=False, handleWidth=SPACE["xs"])
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.stack)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([380, 800])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)

    def _show(self, name: str) -> None:
        self.stack.setCurrentWidget(self._places[name])
        if name == "result":
            self.result.fit()

    def shown(self) -> str:
        """Which of the three is on the right: empty, running or result."""
        return next(name for name, place in self._places.items() if place is self.stack.currentWidget())

    def keep(self) -> None:
        """Store the fields and the sizes."""
        self.form.keep()
        self._context.state.setValue(SPLITTER, self.splitter.saveState())

    def busy(self) -> bool:
        """Whether something is still being looked at, for the screenshots."""
        return pending_tasks(self) > 0 or self._reading or self.result.pictures.pairs.pending()

    # evaluating -------------------------------------------------------------------------------------------------------

    def _on_form(self) -> None:
        self.go.setEnabled(self.run is None and self.form.ready())
        self.open.setEnabled(self.run is None)

    def start(self) -> None:
        """Begin, if all fields are right; else go to the one that is not."""
        if self.run is not None:
            return
        if not self.form.ready():
            field = self.form.first_problem()
            if field is not None:
                field.setFocus()
            return
        if self.form.missing() is not None:
            return
        EvaluateRun.forget(self._context.notices)
        self.form.keep()
        self._follow(EvaluateRun(self._context.notices, self.form.order()))
        self.running.stop.setFocus()

    def _follow(self, run: EvaluateRun) -> None:
        self.run = run
        run.over.connect(self._on_over)
        self.running.show_run(run)
        self.form.setEnabled(False)
        self._show("running")
        self._on_form()

    def stop(self) -> None:
        if self.run is not None:
            self.run.stop()

    def _resume(self) -> None:
        """An evaluation that outlived the last building of the pages, under way or over."""
        run = EvaluateRun.last(self._context.notices)
        self._show("empty")
        if run is not None and run.running:
            self._follow(run)
        elif run is not None:
            self._end(run, news=False)

    def _on_over(self) -> None:
        run, self.run = self.run, None
        assert run is not None
        self.form.setEnabled(True)
        self._end(run)
        self._on_form()
        if run.error is not None and self.isVisible() and self.form.refuse(run.error):
            return
        if self.isVisible():
            (self.result.copy if run.result or run.error else self.go).setFocus()
        elif not run.stopping:
            text = self.tr("{model} is evaluated.") if run.result else self.tr("The evaluation of {model} failed.")
            self._context.notices.say(
                text.format(model=run.order.name), "", self.tr("Show"), lambda: self._context.go_to("evaluate")
            )

    def _end(self, run: EvaluateRun, news: bool = True) -> None:
        """Show what came of it."""
        if run.result is not None:
            self.result.show_result(run.result)
            self._show("result")
        elif run.error is not None:
            self.result.show_failure(run.error, run.order.name, str(run.order.folder()))
            self._show("result")
        else:
            text = self.tr(
                "The evaluation of {model} was stopped. What was drawn is kept; Evaluate goes on from there."
            ).format(model=run.order.name)
            self.told.setText(text)
            self._show("empty")
            if news:
                self._context.notices.say(text)

    # results ----------------------------------------------------------------------------------------------------------

    def _choose_result(self) -> None:
        if self.run is not None:
            return
        dialog = QFileDialog(self, self.tr("Open a result"), str(self._context.out / "evaluation"), f"{NAME} (*.json)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.open_result)
        dialog.open()

    def open_result(self, path: str) -> None:
        """Show an earlier evaluation."""
        self._reading = True
        Task(
            self,
            lambda task: read_result(path),
            done=lambda result: self._on_read(path, result),
            failed=self._on_unread,
        )

    def _on_read(self, path: str, result: Result) -> None:
        self._reading = False
        if self.run is not None:
            return
        if not result.known:
            self._context.notices.say(self.tr("{path} is no result of an evaluation.").format(path=path))
            return
        self.result.show_result(result)
        self._show("result")
        self.opened.emit()

    def _on_unread(self, error: CommonArtError) -> None:
        self._reading = False
        self._context.notices.complain(error)
