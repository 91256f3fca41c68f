"""The report of an export: the verdict, what can be done now, every figure, and the pictures of both sides."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QLabel, QPushButton, QTableView, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import say, sentence
from commonart_desktop.gui.notices import details
from commonart_desktop.gui.pages.export.image_pairs import PairList
from commonart_desktop.gui.pages.export.job import ExportRequest
from commonart_desktop.gui.pages.export.report import Report, missed
from commonart_desktop.gui.pages.export.tables import SHAPES, CasesModel, figure
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError, ParityMissed, Phrase


class CasesTable(QTableView):
    """Every column as wide as its words; the shapes take what is left, and are elided first."""

    LEAST = 44  # pixels of the shapes

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.share()

    def share(self) -> None:
        """Give each column its width."""
        header, left = self.horizontalHeader(), self.viewport().width()
        for column in range(header.count()):
            if column != SHAPES:
                width = max(self.sizeHintForColumn(column), header.sectionSizeHint(column)) + SPACE["xs"]
                header.resizeSection(column, width)
                left -= width
        header.resizeSection(SHAPES, max(self.LEAST, left))


class ReportView(QWidget):
    """``use(folder)`` when its pictures are wanted; ``said(text)`` is news for the quiet bar."""

    use = Signal(str)
    said = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.report: Report | None = None
        self._error: CommonArtError | None = None
        self.mark, self.title, self.place = QLabel(), label(role="title"), label(role="muted")
        self.summary, self.advice = label(), label(role="hint")
        self.folder = QPushButton(theme.icon("folder"), self.tr("Open folder"), clicked=self._open)
        self.make = QPushButton(
            theme.icon("make"),
            self.tr("Use for making pictures"),
            clicked=lambda: self.report and self.use.emit(self.report.folder),
        )
        self.copy = QPushButton(theme.icon("copy"), self.tr("Copy report"), clicked=self._copy)
        self.model = CasesModel(self)
        self.table = CasesTable(
            accessibleName=self.tr("Graphs compared with PyTorch"),
            showGrid=False,
            wordWrap=False,
            tabKeyNavigation=False,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            cornerButtonEnabled=False,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
        )
        self.table.setModel(self.model)
        self.table.verticalHeader().hide()
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        self.graphs, self.pictures, self.share = (
            label(self.tr("Graphs compared with PyTorch"), "section"),
            label(role="section"),
            label(role="muted"),
        )
        self.pairs = PairList()
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.title, 1)
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for button in (self.make, self.folder, self.copy):
            buttons.addWidget(button)
        buttons.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["s"])
        column.addLayout(head)
        for widget in (self.place, self.summary, self.advice):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addSpacing(SPACE["s"])
        for widget in (self.graphs, self.table, self.pictures, self.share, self.pairs):
            column.addWidget(widget)
        column.addStretch()

    # showing ------------------------------------------------------------------------------------------------------

    def show_report(self, report: Report, name: str) -> None:
        """A proof that is there."""
        self._error = None
        self._show(
            report,
            self.tr("{name}: proved").format(name=name)
            if report.good
            else self.tr("{name}: not proved").format(name=name),
            report.folder,
            self._sum(report),
            "",
        )

    def show_failure(self, error: CommonArtError, order: ExportRequest) -> None:
        """An export that did not come about; nothing of it is there."""
        self._error = error
        text, hint = sentence(error)
        report = Report(False, order.dtype, order.quantize)
        if isinstance(error, ParityMissed):
            report = missed(error, order.dtype, order.quantize)
            fields = error.fields
            part = str(fields.get("part", ""))
            text = self.tr(
                "The export was removed: {part} does not give what PyTorch gives. Found was {found}, the bound is {bound}."
            ).format(
                part=self.tr("the pictures") if part == "pictures" else self.model.part_name(part),
                found=self._found(fields.get("found", "–")),
                bound=fields.get("bound", "–"),
            )
            hint = (
                self.tr("Choose fp32 and export again; it takes more space but rounds less.")
                if order.precision != "fp32"
                else self.tr(
                    "Report it with the model's name: the exporter does not understand this model. Copy report holds what is known."
                )
            )
        elif error.kind == "too-little-memory":
            hint = self.tr("Close other programs, or export on a machine with more memory.")
        self._show(report, self.tr("{name}: not exported").format(name=order.name), order.out, text, hint)

    def _found(self, found: object) -> str:
        number = str(found).removeprefix("relative RMS error ")
        if number != str(found):
            return self.tr("a relative RMS error of {value}").format(value=number)
        return say(found) if isinstance(found, Phrase) else str(found)

    def _sum(self, report: Report) -> str:
        told = []
        worst = max((c for c in report.cases if c.rms is not None), key=lambda c: c.rms or 0.0, default=None)
        if worst is not None:
            told.append(
                self.tr("The largest error of a graph is {error} (RMS, {part}).").format(
                    error=figure(worst.rms), part=self.model.part_name(worst.part)
                )
            )
        if report.least_psnr is not None:
            told.append(
                self.tr("{count} whole pictures reach at least {psnr} dB.").format(
                    count=len(report.pairs), psnr=f"{report.least_psnr:.1f}"
                )
            )
        missed_by = [c for c in report.cases if c.good is False]
        if missed_by:
            told.append(self.tr("{part} missed its bound.").format(part=self.model.part_name(missed_by[0].part)))
        return " ".join(told)

    def _show(self, report: Report, title: str, place: str, summary: str, advice: str) -> None:
        self.report = report
        self.mark.setPixmap(theme.icon("done" if report.good else "failed").pixmap(20, 20))
        self.title.setText(title)
        for widget, text in ((self.place, place), (self.summary, summary), (self.advice, advice)):
            widget.setText(text)
            widget.setVisible(bool(text))
        for button in (self.folder, self.make):
            button.setVisible(bool(report.folder))
        self.make.setEnabled(report.good)
        self.model.show_report(report)
        self.pairs.show_report(report)
        self._fit()
        for widget in (self.graphs, self.table):
            widget.setVisible(bool(report.cases))
        self.pictures.setText(
            self.tr("Pictures from the same noise, at least {bound} dB asked").format(bound=f"{report.bound_psnr:.0f}")
            if report.bound_psnr is not None
            else self.tr("Pictures from the same noise")
        )
        self.share.setText(self._share(report))
        for widget, shown in (
            (self.pictures, bool(report.pairs)),
            (self.pairs, bool(report.pairs)),
            (self.share, bool(self.share.text())),
        ):
            widget.setVisible(shown)

    def _share(self, report: Report) -> str:
        if report.precision != "int8" or not report.pairs:
            return ""
        return self.tr(
            "With int8 {changed} of {count} pictures ({share} %) show another concept than PyTorch's: they are nearer to the picture of "
            "another prompt than to their own."
        ).format(changed=report.changed, count=len(report.pairs), share=round(100 * report.changed / len(report.pairs)))

    def _fit(self) -> None:
        """As high as its rows: the whole report scrolls, not the table in it."""
        self.table.share()
        rows = sum(self.table.rowHeight(n) for n in range(self.model.rowCount()))
        self.table.setFixedHeight(
            rows + self.table.horizontalHeader().sizeHint().height() + 2 * self.table.frameWidth() + 2
        )

    # doing --------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The report as text to pass on."""
        lines = [self.title.text(), *filter(None, (self.place.text(), self.summary.text(), self.advice.text()))]
        if self.report is not None and self.report.cases:
            lines += ["", "\t".join(self.model.titles)]
            lines += [
                "\t".join(self.model.text(n, c) for c in range(len(self.model.titles)))
                for n in range(len(self.report.cases))
            ]
        if self.report is not None and self.report.pairs:
            lines += ["", self.pictures.text(), *filter(None, (self.share.text(),))]
            lines += [
                f"{'–' if p.psnr is None else f'{p.psnr:.1f}'} dB\t{p.seed}\t{p.prompt}" for p in self.report.pairs
            ]
        if self.report is not None and self.report.libraries:
            lines += ["", ", ".join(f"{k} {v}" for k, v in self.report.libraries.items())]
        if self._error is not None:
            lines += ["", details(self._error)]
        return "\n".join(lines)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text())
        self.said.emit(self.tr("The report is on the clipboard."))

    def _open(self) -> None:
        if self.report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.report.folder))
