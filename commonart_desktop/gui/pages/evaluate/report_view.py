"""What an evaluation found: the two-language table with notes and comparison, and on a second sheet the pictures."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.notices import details
from commonart_desktop.gui.pages.evaluate.image_pairs import PairsTable
from commonart_desktop.gui.pages.evaluate.report import Result
from commonart_desktop.gui.pages.evaluate.tables import CellsModel, CellsTable, MetricLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError

MOST_MISSED = 40  # prompts that are told; the report has them all


class ResultView(QWidget):
    """``said(text)`` is news for the quiet bar."""

    said = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.result: Result | None = None
        self._error: CommonArtError | None = None
        self.words = MetricLabels()
        self.mark, self.title, self.place = QLabel(), label(role="title"), label(role="muted")
        self.summary, self.advice = label(), label(role="hint")
        self.page = QPushButton(
            theme.icon("right"),
            self.tr("Open report"),
            toolTip=self.tr("The whole report with plots, in the browser"),
            clicked=self._open_page,
        )
        self.folder = QPushButton(theme.icon("folder"), self.tr("Open folder"), clicked=self._open_folder)
        self.copy = QPushButton(theme.icon("copy"), self.tr("Copy figures"), clicked=self._copy)
        self.figures, self.differences = CellsModel(self), CellsModel(self)
        self.table = CellsTable(self.figures, self.tr("Figures in both languages"))
        self.compared, self.compare_table = label(role="section"), CellsTable(self.differences, self.tr("Differences"))
        self.notes_title, self.notes = label(self.tr("Notes"), "section"), label()
        self.pictures = PairsTable(self.tr("Pictures by prompt"))
        self.tabs, self.stack = (
            QTabBar(expanding=False, drawBase=False, accessibleName=self.tr("Figures or pictures")),
            QStackedWidget(),
        )
        self._lay_out()

    def _lay_out(self) -> None:
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.title, 1)
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for button in (self.page, self.folder, self.copy):
            buttons.addWidget(button)
        buttons.addStretch()
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
        for place, text in ((self._sheet, self.tr("Figures")), (self.pictures, self.tr("Pictures"))):
            self.stack.addWidget(place)
            self.tabs.addTab(text)
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["s"])
        whole.setSpacing(SPACE["s"])
        whole.addLayout(head)
        whole.addWidget(self.place)
        whole.addLayout(buttons)
        whole.addWidget(self.tabs)
        whole.addWidget(self.stack, 1)

    # showing ----------------------------------------------------------------------------------------------------------

    def show_result(self, result: Result) -> None:
        """An evaluation that is there."""
        self._error = None
        self._show(
            result, "done", result.model or self.tr("An evaluation"), result.folder, self._conditions(result), ""
        )

    def show_failure(self, error: CommonArtError, name: str, place: str) -> None:
        """An evaluation that did not come about."""
        self._error = error
        text, hint = sentence(error)
        hints = {
            "nothing-to-evaluate": self.tr("Choose a prompts file on the left."),
            "too-few-to-compare": self.tr("Choose a folder of more pictures, or leave the reference folder empty."),
        }
        self._show(
            Result(""),
            "failed",
            self.tr("{name}: not evaluated").format(name=name),
            place,
            text,
            hints.get(error.kind, hint),
        )

    def _conditions(self, result: Result) -> str:
        names = {
            "steps": self.tr("steps"),
            "guidance": self.tr("guidance"),
            "sampler": self.tr("sampler"),
            "seed": self.tr("seed"),
            "copies": self.tr("pictures per prompt"),
            "dtype": self.tr("numbers"),
            "negative": self.tr("negative prompt"),
        }
        recipe = dict(result.recipe)
        told = [f"{recipe['width']} × {recipe['height']}"] if "width" in recipe and "height" in recipe else []
        told += [f"{names[k]} {v}" for k, v in result.recipe if k in names and v]
        if result.encoders:
            told.append(self.tr("encoders: {names}").format(names=", ".join(result.encoders)))
        if result.reference:
            told.append(
                self.tr("compared with {name}, {count} pictures").format(
                    name=result.reference[0], count=result.reference[1]
                )
            )
        return " · ".join(told)

    def _notes(self, result: Result) -> list[str]:
        told = [*self.words.refusals(result), *result.notes]
        if result.skipped:
            told.append(
                self.tr("{count} picture(s) could not be read and were left out, the first: {file}").format(
                    count=len(result.skipped), file=result.skipped[0]
                )
            )
        for lang, prompts in result.missed:
            more = " …" if len(prompts) > MOST_MISSED else ""
            told.append(
                self.tr("{language}, not among the nearest five ({count}): {prompts}").format(
                    language=self.words.langs[lang], count=len(prompts), prompts=", ".join(prompts[:MOST_MISSED]) + more
                )
            )
        if result.figures:
            told.append(
                self.tr(
                    "Brackets are 95 % bootstrap intervals; n is how many pictures a figure is of. They tell of chance in prompts and "
                    "seeds only."
                )
            )
        return told

    def _show(self, result: Result, mark: str, title: str, place: str, summary: str, advice: str) -> None:
        self.result = result
        self.mark.setPixmap(theme.icon(mark).pixmap(20, 20))
        self.title.setText(title)
        for widget, text in (
            (self.place, place),
            (self.summary, summary),
            (self.advice, advice),
            (self.notes, "\n".join(self._notes(result))),
            (
                self.compared,
                self.tr("Difference from {other}").format(other=result.against) if result.differences else "",
            ),
        ):
            widget.setText(text)
            widget.setVisible(bool(text))
        self.notes_title.setVisible(bool(self.notes.text()))
        self.figures.show_rows(*self.words.table(result))
        self.differences.show_rows(*self.words.differences(result), words=(0, 1, 5))
        self.table.setVisible(bool(self.figures.rows))
        self.compare_table.setVisible(bool(self.differences.rows))
        self.pictures.pairs.show_result(result)
        self.page.setVisible(bool(result.page))
        self.folder.setVisible(bool(result.folder))
        self.tabs.setVisible(bool(result.pairs))
        self.tabs.setCurrentIndex(0)

    def fit(self) -> None:
        """The tables as high as their rows, once they have their width."""
        for table in (self.table, self.compare_table):
            table.fit()

    # doing ------------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The figures as text to pass on."""
        lines = [
            self.title.text(),
            *filter(None, (self.place.text(), self.summary.text(), self.advice.text())),
            "",
            *self.figures.as_text(),
        ]
        if self.differences.rows:
            lines += ["", self.compared.text(), *self.differences.as_text()]
        lines += ["", self.notes.text()] if self.notes.text() else []
        if self._error is not None:
            lines += ["", details(self._error)]
        return "\n".join(lines)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text())
        self.said.emit(self.tr("The figures are on the clipboard."))

    def _open_page(self) -> None:
        if self.result is not None and self.result.page:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.result.page))

    def _open_folder(self) -> None:
        if self.result is not None and Path(self.result.folder).is_dir():
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.result.folder))
