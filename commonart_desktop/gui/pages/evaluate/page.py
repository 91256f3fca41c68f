"""The Evaluation page: what to evaluate on the left; on the right an introduction, the evaluation in progress, or its result."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.evaluate.form import EvaluateForm
from commonart_desktop.gui.pages.evaluate.report import NAME, Report, read_report
from commonart_desktop.gui.pages.evaluate.report_view import EvaluationReportView
from commonart_desktop.gui.pages.evaluate.run import EvaluateRun
from commonart_desktop.gui.pages.evaluate.run_view import EvaluateRunView
from commonart_desktop.gui.widgets.report_page import ReportPage, ReportPageTexts


class EvaluatePage(ReportPage):
    """Evaluates a model; one that was stopped continues where it was."""

    NAME = "evaluate"
    RUN = EvaluateRun
    form: EvaluateForm
    running: EvaluateRunView
    report: EvaluationReportView

    def create_parts(self, context: Context) -> Steps:
        self.form = EvaluateForm(context, in_turns=True)
        yield from self.form.making
        yield
        self.running = EvaluateRunView()
        yield
        self.report = EvaluationReportView()

    def texts(self) -> ReportPageTexts:
        return ReportPageTexts(
            start=self.tr("Evaluate"),
            start_tip=self.tr("Evaluate ({keys})"),
            open=self.tr("Open a result…"),
            open_tip=self.tr("Show the result of an earlier evaluation ({keys})"),
            stop_tip=self.tr(
                "Stop; what was drawn is kept, and the next evaluation of the same goes on from there ({keys})"
            ),
            empty=self.tr("The results will appear here"),
            introduction=(
                self.tr(
                    "Every prompt is drawn from a fixed seed, the same in both languages, and measured in one table: "
                    "Japanese, English, and both."
                ),
                self.tr(
                    "Press Evaluate to see whether the model draws what the prompt says; no encoder and no prompts "
                    "file are needed for the bundled model. With encoders there are scores for any prompt, with a "
                    "reference folder distances to real images."
                ),
                self.tr("Open a result to look at an earlier evaluation, or choose one on the left to compare with."),
            ),
            open_title=self.tr("Open a result"),
            open_filter=f"{NAME} (*.json)",
            not_a_report=self.tr("{path} is no result of an evaluation."),
            finished=self.tr("{model} is evaluated."),
            failed=self.tr("The evaluation of {model} failed."),
            stopped=self.tr(
                "The evaluation of {model} was stopped. What was drawn is kept; Evaluate goes on from there."
            ),
        )

    def report_area(self) -> QWidget:
        return self.report  # it scrolls by itself

    def reports_folder(self) -> Path:
        return self._context.out / "evaluation"

    def read_report(self, path: str) -> Report | None:
        report = read_report(path)
        return report if report.valid else None

    def show_run(self, run: EvaluateRun) -> None:
        title = self.tr("Evaluating {model}").format(model=run.request.name)
        self.running.show_run(run, title, str(run.request.folder()))

    def show_report(self, report: Report, run: EvaluateRun | None = None) -> None:
        self.report.show_report(report)

    def show_failure(self, run: EvaluateRun) -> None:
        assert run.error is not None
        self.report.show_failure(run.error, run.request.name, str(run.request.folder()))

    def focus_after(self, run: EvaluateRun) -> QWidget:
        return self.go if run.outcome is None and run.error is None else self.report.copy
