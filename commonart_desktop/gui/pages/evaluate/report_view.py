"""The result of an evaluation: the two-language table with notes and comparison, and on a second sheet the images."""

from __future__ import annotations

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QPushButton, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.pages.evaluate.image_pairs import PairsTable
from commonart_desktop.gui.pages.evaluate.report import Report
from commonart_desktop.gui.pages.evaluate.tables import MetricLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.cell_table import CellsModel, CellsTable
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.report_view import ReportView
from engine.contract.errors import CommonArtError

MAX_MISSED = 40  # prompts that are listed; the report has them all


class EvaluationReportView(ReportView):
    """Figures and images on two sheets."""

    report: Report | None

    def __init__(self) -> None:
        super().__init__(self.tr("Copy figures"), self.tr("The figures are on the clipboard."))
        self.labels = MetricLabels()
        self.page = QPushButton(
            theme.icon("right"),
            self.tr("Open report"),
            toolTip=self.tr("The complete report with plots, in the browser"),
            clicked=self._open_page,
        )
        self.figures, self.differences = CellsModel(self), CellsModel(self)
        self.table = CellsTable(self.figures, self.tr("Figures in both languages"))
        self.compared, self.compare_table = label(role="section"), CellsTable(self.differences, self.tr("Differences"))
        self.notes_title, self.notes = label(self.tr("Notes"), "section"), label()
        self.images = PairsTable(self.tr("Images by prompt"))
        self.tabs = QTabBar(expanding=False, drawBase=False, accessibleName=self.tr("Figures or images"))
        self.stack = QStackedWidget()
        self._lay_out()

    def _lay_out(self) -> None:
        sheet = QWidget()
        column = QVBoxLayout(sheet)
        column.setContentsMargins(0, SPACE["s"], 0, SPACE["l"])
        column.setSpacing(SPACE["s"])
        for widget in (
            self.summary,
            self.advice,
            self.table,
            self.compared,
            self.compare_table,
            self.notes_title,
            self.notes,
        ):
            column.addWidget(widget)
        column.addStretch()
        self._sheet = FormScroll(sheet, widest=900)
        for tab, text in ((self._sheet, self.tr("Figures")), (self.images, self.tr("Images"))):
            self.stack.addWidget(tab)
            self.tabs.addTab(text)
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["s"])
        outer.setSpacing(SPACE["s"])
        self.add_head(outer, self.page, self.folder, self.copy)
        outer.addWidget(self.tabs)
        outer.addWidget(self.stack, 1)

    # showing ----------------------------------------------------------------------------------------------------------

    def pending(self) -> bool:
        return self.images.pairs.pending()

    def show_report(self, report: Report) -> None:
        """The report of an evaluation that exists."""
        self.error = None
        self.show_head(
            report, "done", report.model or self.tr("An evaluation"), report.folder, self._conditions(report)
        )
        self._show(report)

    def show_failure(self, error: CommonArtError, name: str, location: str) -> None:
        """An evaluation that failed."""
        self.error = error
        text, hint = sentence(error)
        hints = {
            "nothing-to-evaluate": self.tr("Choose a prompts file on the left."),
            "too-few-to-compare": self.tr("Choose a folder of more images, or leave the reference folder empty."),
        }
        report, title = Report(""), self.tr("{name}: not evaluated").format(name=name)
        self.show_head(report, "failed", title, location, text, hints.get(error.kind, hint))
        self._show(report)

    def _conditions(self, report: Report) -> str:
        names = {
            "steps": self.tr("steps"),
            "guidance": self.tr("guidance"),
            "sampler": self.tr("sampler"),
            "seed": self.tr("seed"),
            "copies": self.tr("images per prompt"),
            "dtype": self.tr("precision"),
            "negative": self.tr("negative prompt"),
        }
        recipe = dict(report.recipe)
        parts = [f"{recipe['width']} × {recipe['height']}"] if "width" in recipe and "height" in recipe else []
        parts += [f"{names[k]} {v}" for k, v in report.recipe if k in names and v]
        if report.encoders:
            parts.append(self.tr("encoders: {names}").format(names=", ".join(report.encoders)))
        if report.reference:
            parts.append(
                self.tr("compared with {name}, {count} images").format(
                    name=report.reference[0], count=report.reference[1]
                )
            )
        return " · ".join(parts)

    def _notes(self, report: Report) -> list[str]:
        notes = [*self.labels.refusals(report), *report.notes]
        if report.skipped:
            notes.append(
                self.tr("{count} image(s) could not be read and were left out, the first: {file}").format(
                    count=len(report.skipped), file=report.skipped[0]
                )
            )
        for lang, prompts in report.missed:
            more = " …" if len(prompts) > MAX_MISSED else ""
            notes.append(
                self.tr("{language}, not among the nearest five ({count}): {prompts}").format(
                    language=self.labels.langs[lang], count=len(prompts), prompts=", ".join(prompts[:MAX_MISSED]) + more
                )
            )
        if report.figures:
            notes.append(
                self.tr(
                    "Brackets are 95 % bootstrap intervals; n is how many images a figure is of. They cover chance in prompts "
                    "and seeds only."
                )
            )
        return notes

    def _show(self, report: Report) -> None:
        for widget, text in (
            (self.notes, "\n".join(self._notes(report))),
            (
                self.compared,
                self.tr("Difference from {other}").format(other=report.against) if report.differences else "",
            ),
        ):
            widget.setText(text)
            widget.setVisible(bool(text))
        self.notes_title.setVisible(bool(self.notes.text()))
        self.figures.show_rows(*self.labels.table(report))
        self.differences.show_rows(*self.labels.differences(report), text_columns=(0, 1, 5))
        self.table.setVisible(bool(self.figures.rows))
        self.compare_table.setVisible(bool(self.differences.rows))
        self.images.pairs.show_report(report)
        self.page.setVisible(bool(report.page))
        self.tabs.setVisible(bool(report.pairs))
        self.tabs.setCurrentIndex(0)

    def fit(self) -> None:
        for table in (self.table, self.compare_table):
            table.fit()

    # copying and opening ----------------------------------------------------------------------------------------------

    def body(self) -> list[str]:
        lines = ["", *self.figures.as_text()]
        if self.differences.rows:
            lines += ["", self.compared.text(), *self.differences.as_text()]
        return lines + (["", self.notes.text()] if self.notes.text() else [])

    def _open_page(self) -> None:
        if self.report is not None and self.report.page:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.report.page))
