"""A read-only table of short texts, as high as its rows, for reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QTableView

from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class Cell:
    """What a cell shows, its tool tip, and the name of its icon."""

    text: str
    tip: str = ""
    icon: str = ""


class CellsModel(QAbstractTableModel):
    """A header and rows of cells; the columns in ``text_columns`` are aligned left, the others, values, right."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.titles: tuple[Cell, ...] = ()
        self.rows: list[list[Cell]] = []
        self._text_columns: frozenset[int] = frozenset()

    def show_rows(
        self, titles: Sequence[Cell], rows: Sequence[Sequence[Cell]], text_columns: Sequence[int] = (0,)
    ) -> None:
        self.beginResetModel()
        self.titles, self.rows, self._text_columns = tuple(titles), [list(row) for row in rows], frozenset(text_columns)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.titles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.titles):
            return None
        return self._value(self.titles[section], section, role)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.rows):
            return None
        return self._value(self.rows[index.row()][index.column()], index.column(), role)

    def as_text(self) -> list[str]:
        """Lines with tabs, for the clipboard; none where there are no rows."""
        lines = [self.titles, *self.rows] if self.rows else []
        return ["\t".join(cell.text.replace("\n", " ") for cell in line) for line in lines]

    def _value(self, cell: Cell, column: int, role: int) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.tip or None
        if role == Qt.ItemDataRole.DecorationRole:
            return icon(cell.icon) if cell.icon else None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if column in self._text_columns else Qt.AlignmentFlag.AlignRight
            return Qt.AlignmentFlag.AlignVCenter | side
        return None


class CellsTable(QTableView):
    """As high as its rows: the page scrolls, not the table in it. Column ``stretch`` takes what the others leave.

    Without ``wrap`` each row is one line, and the stretched column is elided.
    """

    MIN_STRETCH = 60  # pixels of the stretched column

    def __init__(self, model: CellsModel, name: str, *, stretch: int = 0, wrap: bool = True) -> None:
        super().__init__(
            accessibleName=name,
            showGrid=False,
            wordWrap=wrap,
            tabKeyNavigation=False,
            cornerButtonEnabled=False,
            alternatingRowColors=wrap,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
        )
        self._stretch, self._wrap = stretch, wrap
        self.setModel(model)
        self.verticalHeader().hide()
        self.horizontalHeader().setHighlightSections(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setProperty("plain", wrap)  # cells as far from the edge as titles
        model.modelReset.connect(self.fit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit()

    def fit(self) -> None:
        """Set the widths of the columns, then the height of all rows."""
        self._share_width()
        if self._wrap:
            self.resizeRowsToContents()
        rows = 0
        for n in range(self.model().rowCount()):
            if self._wrap:
                self.setRowHeight(n, self.rowHeight(n) + SPACE["s"])
            rows += self.rowHeight(n)
        overflows = self.horizontalHeader().length() > self.viewport().width()
        bar = self.horizontalScrollBar().sizeHint().height() if overflows else 0
        self.setFixedHeight(rows + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth() + 2 + bar)

    def _share_width(self) -> None:
        header, left = self.horizontalHeader(), self.viewport().width()
        for column in range(header.count()):
            if column != self._stretch:
                width = max(self.sizeHintForColumn(column), header.sectionSizeHint(column)) + SPACE["xs"]
                header.resizeSection(column, width)
                left -= width
        if header.count():
            header.resizeSection(self._stretch, max(self.MIN_STRETCH, left))
