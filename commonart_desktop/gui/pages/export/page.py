"""The Export page: what to export on the left; on the right an introduction, the export in progress, or its proof."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.export.form import ExportForm
from commonart_desktop.gui.pages.export.report import NAME, Report, read_report
from commonart_desktop.gui.pages.export.report_view import ExportReportView
from commonart_desktop.gui.pages.export.run import ExportRun
from commonart_desktop.gui.pages.export.run_view import ExportRunView
from commonart_desktop.gui.widgets.report_page import ReportPage, ReportPageTexts
from engine.contract.errors import CommonArtError

INTERRUPTED = "export/cut"  # in context.state: the folder of the export that ran when the window was last stored


class ExportPage(ReportPage):
    """Exports a model as ONNX; nothing is left of an export that was stopped."""

    use_values = Signal(object)  # dict: values for the form of the Make page

    NAME = "export"
    RUN = ExportRun
    form: ExportForm
    running: ExportRunView
    report: ExportReportView

    def create_parts(self, context: Context) -> Steps:
        self.form = ExportForm(context, in_turns=True)
        yield from self.form.making
        yield
        self.running = ExportRunView()
        yield
        self.report = ExportReportView()
        self.report.use.connect(self.use)

    def texts(self) -> ReportPageTexts:
        return ReportPageTexts(
            start=self.tr("Export"),
            start_tip=self.tr("Export ({keys})"),
            open=self.tr("Open a report…"),
            open_tip=self.tr("Show the proof of an earlier export ({keys})"),
            stop_tip=self.tr("Stop the export; nothing of it is kept ({keys})"),
            empty=self.tr("The report will appear here"),
            introduction=(
                self.tr(
                    "Every graph is compared with PyTorch on several shapes, then complete images from the same noise. "
                    "An export that misses its bound is removed."
                ),
                self.tr(
                    "What comes out is a folder that this program, and other tools for ONNX, can use on machines "
                    "without PyTorch."
                ),
            ),
            open_title=self.tr("Open a report"),
            open_filter=f"{NAME} ({NAME})",
            not_a_report=self.tr("{path} is no report of an export."),
            finished=self.tr("{model} is exported and proved."),
            failed=self.tr("The export of {model} failed."),
            stopped=self.tr("The export of {model} was stopped; nothing of it was kept."),
        )

    def keep(self) -> None:
        """Store also what is being exported: the window may be about to close over it."""
        super().keep()
        if self.run is not None and self.run.running:
            self._context.state.setValue(INTERRUPTED, self.run.request.out)

    def resume(self) -> None:
        """Report also an export that did not outlive the program."""
        interrupted = str(self._context.state.value(INTERRUPTED, ""))
        self._context.state.remove(INTERRUPTED)
        super().resume()
        if interrupted and ExportRun.last(self._context.notices) is None:
            text = self.tr(
                "The export to {folder} was stopped when the window was closed; nothing of it was kept."
            ).format(folder=interrupted)
            self.message.setText(text)
            self._context.notices.say(text)

    def _on_over(self) -> None:
        self._context.state.remove(INTERRUPTED)
        super()._on_over()

    def read_report(self, path: str) -> Report | None:
        report = read_report(path)
        return report if report.cases or report.pairs else None

    def show_run(self, run: ExportRun) -> None:
        request = run.request
        title = self.tr("Exporting {model}, {precision}").format(model=request.name, precision=request.precision)
        self.running.show_run(run, title, request.out)

    def show_report(self, report: Report, run: ExportRun | None = None) -> None:
        self.report.show_report(report, run.request.name if run is not None else Path(report.folder).name)

    def show_failure(self, run: ExportRun) -> None:
        assert run.error is not None
        self.report.show_failure(run.error, run.request)

    def focus_after(self, run: ExportRun) -> QWidget:
        return self.report.make if run.outcome is not None else self.report.copy if run.error is not None else self.open

    # using ------------------------------------------------------------------------------------------------------------

    def use(self, folder: str) -> None:
        """Make the exported folder the model of the Make page, built already or later, and of new images."""
        context, before = self._context, self._context.settings.now.model
        if not self._set_model(folder):
            return

        def undo() -> None:
            if isValid(self):
                self._set_model(before)

        context.go_to("make")
        context.notices.say(
            self.tr("New images are made with {name}.").format(name=Path(folder).name), "", self.tr("Undo"), undo
        )

    def _set_model(self, model: str) -> bool:
        """In the settings, and in the form of the Make page."""
        try:
            self._context.settings.put(model=model)
        except CommonArtError as e:
            self._context.notices.complain(e)
            return False
        self.use_values.emit({"model": model})
        return True
