"""The Export page: what to export on the left; on the right what the page is for, the export under way, or its proof."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QSplitter, QStackedWidget, QVBoxLayout, QWidget
from shiboken6 import isValid

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task, pending_tasks
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.export.form import ExportForm
from commonart_desktop.gui.pages.export.report import NAME, Report, read_report
from commonart_desktop.gui.pages.export.report_view import ReportView
from commonart_desktop.gui.pages.export.run import ExportRun
from commonart_desktop.gui.pages.export.run_view import RunningView
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

SPLITTER, CUT = (
    "export/splitter",
    "export/cut",
)  # in context.state; CUT: what was being exported when the window was last kept


class ExportPage(StagedPage):
    """An export goes on while other pages are shown, and when the pages are built anew; it ends with the program."""

    opened = Signal()  # a report is shown
    use_values = Signal(object)  # dict: values for the form of the Make page

    def make(self, context: Context) -> Steps:
        self._context = context
        self.run: ExportRun | None = None
        self._reading = False
        self.form = ExportForm(context)
        yield
        self.running, self.report = RunningView(), ReportView()
        yield
        self.go, self.open = QPushButton(self.tr("Export")), QPushButton(self.tr("Open a report…"))
        self.go.setProperty("main", True)
        self.go.setProperty(KEYS, "Ctrl+Return")
        self.go.setToolTip(self.tr("Export ({keys})").format(keys=native("Ctrl+Return")))
        self.open.setProperty(KEYS, "Ctrl+O")
        self.open.setToolTip(self.tr("Show the proof of an export made before ({keys})").format(keys=native("Ctrl+O")))
        self.running.stop.setProperty(KEYS, "Ctrl+.")
        self.running.stop.setToolTip(
            self.tr("Stop the export; nothing of it is kept ({keys})").format(keys=native("Ctrl+."))
        )
        for keys, do in (
            ("Ctrl+Return", self.start),
            ("Ctrl+Enter", self.start),
            ("Ctrl+O", self._choose_report),
            ("Ctrl+.", self.stop),
        ):
            QShortcut(QKeySequence(keys), self, autoRepeat=False).activated.connect(do)
        self.go.clicked.connect(self.start)
        self.open.clicked.connect(self._choose_report)
        self.running.stop.clicked.connect(self.stop)
        self.form.changed.connect(self._on_form)
        self.report.use.connect(self.use)
        self.report.said.connect(context.notices.say)
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
        self.empty, self.told = QWidget(), label(role="muted")
        about = QVBoxLayout(self.empty)
        about.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        about.setSpacing(SPACE["s"])
        about.addWidget(label(self.tr("The report will appear here"), "section"))
        for text in (
            self.tr(
                "Every graph is compared with PyTorch on several shapes, then whole pictures from the same noise. An export that misses its "
                "bound is removed."
            ),
            self.tr(
                "What comes out is a folder that this program, and other tools for ONNX, can use on machines without PyTorch."
            ),
        ):
            about.addWidget(label(text, "muted"))
        about.addSpacing(SPACE["s"])
        about.addWidget(self.told)
        about.addStretch()
        yield
        self.stack = QStackedWidget()
        self._places = {
            name: FormScroll(widget, widest=900)
            for name, widget in (("empty", self.empty), ("running", self.running), ("report", self.report))
        }
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
        self._places[name].verticalScrollBar().setValue(0)

    def shown(self) -> str:
        """Which of the three is on the right: empty, running or report."""
        return next(name for name, place in self._places.items() if place is self.stack.currentWidget())

    def keep(self) -> None:
        """Store the fields, the sizes, and what is being exported: the window may be about to close over it."""
        self.form.keep()
        self._context.state.setValue(SPLITTER, self.splitter.saveState())
        if self.run is not None and self.run.running:
            self._context.state.setValue(CUT, self.run.order.out)

    def busy(self) -> bool:
        """Whether something is still being looked at, for the screenshots."""
        return pending_tasks(self) > 0 or self.form.place is None or self._reading or self.report.pairs.pending()

    # exporting --------------------------------------------------------------------------------------------------------

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
        ExportRun.forget(self._context.notices)
        self.form.keep()
        self._follow(ExportRun(self._context.notices, self.form.order()))
        self.running.stop.setFocus()

    def _follow(self, run: ExportRun) -> None:
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
        """An export that outlived the last building of the pages; or word of one that did not outlive the program."""
        run = ExportRun.last(self._context.notices)
        cut = str(self._context.state.value(CUT, ""))
        self._context.state.remove(CUT)
        self._show("empty")
        if run is not None and run.running:
            self._follow(run)
        elif run is not None:
            self._end(run)
        elif cut:
            text = self.tr(
                "The export to {folder} was stopped when the window was closed; nothing of it was kept."
            ).format(folder=cut)
            self.told.setText(text)
            self._context.notices.say(text)

    def _on_over(self) -> None:
        run, self.run = self.run, None
        assert run is not None
        self._context.state.remove(CUT)
        self.form.setEnabled(True)
        self._end(run)
        self.form.renew()
        if self.isVisible():
            (self.report.make if run.report else self.report.copy if run.error else self.open).setFocus()
        if not run.stopping and not self.isVisible():
            text = (
                self.tr("{model} is exported and proved.") if run.report else self.tr("The export of {model} failed.")
            )
            self._context.notices.say(
                text.format(model=run.order.name), "", self.tr("Show"), lambda: self._context.go_to("export")
            )

    def _end(self, run: ExportRun) -> None:
        """Show what came of it."""
        if run.report is not None:
            self.report.show_report(run.report, run.order.name)
            self._show("report")
        elif run.error is not None:
            self.report.show_failure(run.error, run.order)
            self._show("report")
        else:
            text = self.tr("The export of {model} was stopped; nothing of it was kept.").format(model=run.order.name)
            self.told.setText(text)
            self._show("empty")
            self._context.notices.say(text)

    # reports ----------------------------------------------------------------------------------------------------------

    def _choose_report(self) -> None:
        if self.run is not None:
            return
        dialog = QFileDialog(self, self.tr("Open a report"), str(self._context.out), f"{NAME} ({NAME})")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.open_report)
        dialog.open()

    def open_report(self, path: str) -> None:
        """Show the proof that lies in an exported folder."""
        self._reading = True
        Task(
            self,
            lambda task: read_report(path),
            done=lambda report: self._on_read(path, report),
            failed=self._on_unread,
        )

    def _on_read(self, path: str, report: Report) -> None:
        self._reading = False
        if self.run is not None:
            return
        if not report.cases and not report.pairs:
            self._context.notices.say(self.tr("{path} is no report of an export.").format(path=path))
            return
        self.report.show_report(report, Path(report.folder).name)
        self._show("report")
        self.opened.emit()

    def _on_unread(self, error: CommonArtError) -> None:
        self._reading = False
        self._context.notices.complain(error)

    # using ------------------------------------------------------------------------------------------------------------

    def use(self, folder: str) -> None:
        """The exported folder becomes the model of the Make page, there already or built later, and of new pictures."""
        context, before = self._context, self._context.settings.now.model
        if not self._put(folder):
            return

        def undo() -> None:
            if isValid(self):
                self._put(before)

        context.go_to("make")
        context.notices.say(
            self.tr("New pictures are made with {name}.").format(name=Path(folder).name), "", self.tr("Undo"), undo
        )

    def _put(self, model: str) -> bool:
        """Make it the model of new images: in the settings, and in the form of the Make page."""
        try:
            self._context.settings.put(model=model)
        except CommonArtError as e:
            self._context.notices.complain(e)
            return False
        self.use_values.emit({"model": model})
        return True
