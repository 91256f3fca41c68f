"""An evaluation's figures as tables: the two-language table, and the differences from an earlier result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView

from commonart_desktop.gui.pages.evaluate.report import Figure, Result
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
WORSE_HIGH = ("kid", "cmmd", "fid")


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what it tells when the pointer rests on it."""

    text: str
    tip: str = ""


class CellsModel(QAbstractTableModel):
    """Titles and rows of cells; the columns not in ``words`` are numbers."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.titles: tuple[str, ...] = ()
        self.rows: list[list[Cell]] = []
        self._left: frozenset[int] = frozenset()

    def show_rows(self, titles: Sequence[str], rows: Sequence[Sequence[Cell]], words: Sequence[int] = (0,)) -> None:
        self.beginResetModel()
        self.titles, self.rows, self._left = tuple(titles), [list(row) for row in rows], frozenset(words)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.titles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.titles):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(section)
        return self.titles[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.rows):
            return None
        cell = self.rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.tip or None
        return self._alignment(index.column()) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def as_text(self) -> list[str]:
        """Lines with tabs, to pass on."""
        return (
            ["\t".join(self.titles), *("\t".join(c.text.replace("\n", " ") for c in row) for row in self.rows)]
            if self.rows
            else []
        )

    def _alignment(self, column: int) -> Qt.AlignmentFlag:
        return Qt.AlignmentFlag.AlignVCenter | (
            Qt.AlignmentFlag.AlignLeft if column in self._left else Qt.AlignmentFlag.AlignRight
        )


class CellsTable(QTableView):
    """As high as its rows: the page scrolls, not the table in it. The first column takes what the others leave."""

    LEAST = 60  # pixels of the first column

    def __init__(self, model: CellsModel, name: str) -> None:
        super().__init__(
            accessibleName=name,
            showGrid=False,
            wordWrap=True,
            tabKeyNavigation=False,
            cornerButtonEnabled=False,
            alternatingRowColors=True,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
        )
        self.setModel(model)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setProperty("plain", True)  # cells as far from the edge as titles
        model.modelReset.connect(self.fit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit()

    def _share(self) -> None:
        header, left = self.horizontalHeader(), self.viewport().width()
        for column in range(1, header.count()):
            width = max(self.sizeHintForColumn(column), header.sectionSizeHint(column)) + SPACE["xs"]
            header.resizeSection(column, width)
            left -= width
        if header.count():
            header.resizeSection(0, max(self.LEAST, left))

    def fit(self) -> None:
        """Take the height of all rows."""
        self._share()
        self.resizeRowsToContents()
        rows = 0
        for n in range(self.model().rowCount()):
            self.setRowHeight(n, self.rowHeight(n) + SPACE["s"])
            rows += self.rowHeight(n)
        bar = (
            self.horizontalScrollBar().sizeHint().height()
            if self.horizontalHeader().length() > self.viewport().width()
            else 0
        )
        self.setFixedHeight(rows + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth() + 2 + bar)


class MetricLabels(QObject):
    """Names and meanings of the measures in the language in force."""

    def __init__(self) -> None:
        super().__init__()
        self.langs = {"ja": self.tr("Japanese"), "en": self.tr("English"), "both": self.tr("Both")}
        self._names = {
            "top1": self.tr("Top-1"),
            "top5": self.tr("Top-5"),
            "clipscore": "CLIPScore",
            "cosine": self.tr("Cosine"),
        }
        self.meanings = {
            "top1": self.tr(
                "Share of prompts naming one known thing whose picture is nearest to a true drawing of that thing. More is better. "
                "It says nothing of other things."
            ),
            "top5": self.tr("Share of prompts whose thing is among the five nearest. More is better."),
            "clipscore": self.tr(
                "How well picture and prompt agree for this encoder, 2.5 times the cosine. More is better. "
                "Scores of different encoders cannot be compared."
            ),
            "cosine": self.tr("The agreement of picture and prompt itself, from -1 to 1. More is better."),
            "kid": self.tr(
                "Distance to your reference pictures in this encoder, without bias. 0 is none; less is better."
            ),
            "cmmd": self.tr(
                "Distance to your reference pictures in this encoder, with fewer assumptions than FID. 0 is none; less is better."
            ),
            "fid": self.tr(
                "An older distance to your reference pictures that depends on how many there are. Less is better."
            ),
        }

    def measure(self, name: str, encoder: str) -> str:
        return self._names.get(name, name.upper()) + (f" [{encoder}]" if encoder else "")

    @staticmethod
    def figure(measure: str, value: float) -> str:
        """Shares in per cent, the rest with as many digits as mean something."""
        return (
            f"{100 * value:.1f} %"
            if measure in ("top1", "top5")
            else f"{value:.5f}"
            if measure == "kid"
            else f"{value:.3f}"
        )

    def interval(self, measure: str, low: float | None, high: float | None) -> str:
        if low is None or high is None:
            return "–"
        return f"{self.figure(measure, low).removesuffix(' %')} – {self.figure(measure, high)}"

    def cell(self, figure: Figure | None) -> Cell:
        if figure is None:
            return Cell("–")
        if figure.refused or figure.value is None:
            return Cell("–", figure.refused)
        number = f"{figure.n} / {figure.reference}" if figure.reference else str(figure.n)
        tip = self.tr("95 % interval over prompts and seeds: {interval}. From {n} pictures.").format(
            interval=self.interval(figure.measure, figure.low, figure.high), n=figure.n
        )
        if figure.reference:
            tip = self.tr(
                "95 % interval over prompts and seeds: {interval}. From {n} pictures against {reference}."
            ).format(
                interval=self.interval(figure.measure, figure.low, figure.high), n=figure.n, reference=figure.reference
            )
        return Cell(
            f"{self.figure(figure.measure, figure.value)}\n({self.interval(figure.measure, figure.low, figure.high)})\nn {number}",
            tip,
        )

    def table(self, result: Result) -> tuple[list[str], list[list[Cell]]]:
        """Titles and rows of the two-language table."""
        by = {(f.measure, f.encoder, f.lang): f for f in result.figures}
        keys = dict.fromkeys((f.measure, f.encoder) for f in result.figures)
        rows = [
            [Cell(self.measure(m, e), self.meanings[m]), *(self.cell(by.get((m, e, x))) for x in result.langs())]
            for m, e in keys
        ]
        return [self.tr("Figure"), *(self.langs[x] for x in result.langs())], rows

    def differences(self, result: Result) -> tuple[list[str], list[list[Cell]]]:
        """Titles and rows of the comparison."""
        tip = self.tr(
            "How often chance alone would give a difference this large. Below 0.05 is called significant; of twenty, one is so by chance."
        )
        rows = []
        for d in result.differences:
            good = (d.value < 0) if d.measure in WORSE_HIGH else (d.value > 0)
            means = self.tr("no clear difference") if d.p >= 0.05 else self.tr("better") if good else self.tr("worse")
            interval = f"\n({self.interval(d.measure, d.low, d.high)})" if d.low is not None else ""
            rows.append(
                [
                    Cell(self.measure(d.measure, d.encoder), self.meanings[d.measure]),
                    Cell(self.langs[d.lang]),
                    Cell(self.figure(d.measure, d.value) + interval),
                    Cell(f"{d.p:.4f}", tip),
                    Cell(str(d.n)),
                    Cell(means),
                ]
            )
        return [self.tr("Figure"), self.tr("Language"), self.tr("Difference"), "p", "n", self.tr("Verdict")], rows

    def refusals(self, result: Result) -> list[str]:
        """What could not be measured and why, each once."""
        last = result.langs()[-1] if result.langs() else ""
        return list(
            dict.fromkeys(
                self.tr("No {measure}: {why}.").format(measure=self.measure(f.measure, f.encoder), why=f.refused)
                for f in result.figures
                if f.refused and f.lang == last
            )
        )
