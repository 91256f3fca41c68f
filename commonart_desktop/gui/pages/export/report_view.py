"""The report of an export: the verdict, what can be done now, every value, and the images of both sides."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout

from commonart_desktop.core.i18n import say, sentence
from commonart_desktop.gui.pages.export.image_pairs import PairList
from commonart_desktop.gui.pages.export.job import ExportRequest
from commonart_desktop.gui.pages.export.report import Report, missed
from commonart_desktop.gui.pages.export.tables import SHAPES, TEXT_COLUMNS, CaseLabels, figure
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.cell_table import CellsModel, CellsTable
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.report_view import ReportView
from engine.contract.errors import CommonArtError, ParityMissed, Phrase


class ExportReportView(ReportView):
    """``use(folder)`` when new images are to be made with the exported model."""

    use = Signal(str)
    report: Report | None

    def __init__(self) -> None:
        super().__init__(self.tr("Copy report"), self.tr("The report is on the clipboard."))
        self.labels = CaseLabels()
        self.make = QPushButton(
            theme.icon("make"),
            self.tr("Use for making images"),
            clicked=lambda: self.report and self.use.emit(self.report.folder),
        )
        self.model = CellsModel(self)
        self.table = CellsTable(self.model, self.tr("Graphs compared with PyTorch"), stretch=SHAPES, wrap=False)
        self.graphs = label(self.tr("Graphs compared with PyTorch"), "section")
        self.images_title, self.changed_share = label(role="section"), label(role="muted")
        self.pairs = PairList()
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["s"])
        self.add_head(column, self.make, self.folder, self.copy)
        column.insertWidget(2, self.summary)
        column.insertWidget(3, self.advice)
        column.addSpacing(SPACE["s"])
        for widget in (self.graphs, self.table, self.images_title, self.changed_share, self.pairs):
            column.addWidget(widget)
        column.addStretch()

    def pending(self) -> bool:
        return self.pairs.pending()

    # showing ----------------------------------------------------------------------------------------------------------

    def show_report(self, report: Report, name: str) -> None:
        """The report of an export that exists."""
        self.error = None
        title = self.tr("{name}: proved") if report.good else self.tr("{name}: not proved")
        self._show(report, title.format(name=name), report.folder, self._summary(report), "")

    def show_failure(self, error: CommonArtError, request: ExportRequest) -> None:
        """An export that failed; nothing of it is left."""
        self.error = error
        text, hint = sentence(error)
        report = Report(False, request.dtype, request.quantize)
        if isinstance(error, ParityMissed):
            report = missed(error, request.dtype, request.quantize)
            fields = error.fields
            part = str(fields.get("part", ""))
            text = self.tr(
                "The export was removed: {part} does not give what PyTorch gives. Found was {found}, the bound is "
                "{bound}."
            ).format(
                part=self.tr("the images") if part == "pictures" else self.labels.part(part),
                found=self._measured(fields.get("found", "–")),
                bound=fields.get("bound", "–"),
            )
            hint = (
                self.tr("Choose fp32 and export again; it takes more space but rounds less.")
                if request.precision != "fp32"
                else self.tr(
                    "Report it with the model's name: the exporter does not understand this model. Copy report has "
                    "the details."
                )
            )
        elif error.kind == "too-little-memory":
            hint = self.tr("Close other programs, or export on a machine with more memory.")
        self._show(report, self.tr("{name}: not exported").format(name=request.name), request.out, text, hint)

    def _measured(self, value: object) -> str:
        number = str(value).removeprefix("relative RMS error ")
        if number != str(value):
            return self.tr("a relative RMS error of {value}").format(value=number)
        return say(value) if isinstance(value, Phrase) else str(value)

    def _summary(self, report: Report) -> str:
        parts = []
        worst = max((c for c in report.cases if c.rms is not None), key=lambda c: c.rms or 0.0, default=None)
        if worst is not None:
            parts.append(
                self.tr("The largest error of a graph is {error} (RMS, {part}).").format(
                    error=figure(worst.rms), part=self.labels.part(worst.part)
                )
            )
        if report.min_psnr is not None:
            parts.append(
                self.tr("{count} complete images reach at least {psnr} dB.").format(
                    count=len(report.pairs), psnr=f"{report.min_psnr:.1f}"
                )
            )
        missed_by = [c for c in report.cases if c.good is False]
        if missed_by:
            parts.append(self.tr("{part} missed its bound.").format(part=self.labels.part(missed_by[0].part)))
        return " ".join(parts)

    def _show(self, report: Report, title: str, location: str, summary: str, advice: str) -> None:
        self.show_head(report, "done" if report.good else "failed", title, location, summary, advice)
        self.make.setVisible(bool(report.folder))
        self.make.setEnabled(report.good)
        self.model.show_rows(*self.labels.table(report), text_columns=TEXT_COLUMNS)
        self.pairs.show_report(report)
        for widget in (self.graphs, self.table):
            widget.setVisible(bool(report.cases))
        self.images_title.setText(
            self.tr("Images from the same noise, at least {bound} dB required").format(bound=f"{report.bound_psnr:.0f}")
            if report.bound_psnr is not None
            else self.tr("Images from the same noise")
        )
        self.changed_share.setText(self._changed_share(report))
        for widget in (self.images_title, self.pairs):
            widget.setVisible(bool(report.pairs))
        self.changed_share.setVisible(bool(self.changed_share.text()))

    def _changed_share(self, report: Report) -> str:
        if report.precision != "int8" or not report.pairs:
            return ""
        return self.tr(
            "With int8 {changed} of {count} images ({share} %) show another concept than PyTorch's: they are nearer "
            "to the image of another prompt than to their own."
        ).format(changed=report.changed, count=len(report.pairs), share=round(100 * report.changed / len(report.pairs)))

    def fit(self) -> None:
        self.table.fit()

    # copying ----------------------------------------------------------------------------------------------------------

    def body(self) -> list[str]:
        report = self.report
        if report is None:
            return []
        lines = ["", *self.model.as_text()] if report.cases else []
        if report.pairs:
            lines += ["", self.images_title.text(), *filter(None, (self.changed_share.text(),))]
            lines += [f"{'–' if p.psnr is None else f'{p.psnr:.1f}'} dB\t{p.seed}\t{p.prompt}" for p in report.pairs]
        if report.libraries:
            lines += ["", ", ".join(f"{k} {v}" for k, v in report.libraries.items())]
        return lines
