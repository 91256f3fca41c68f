"""Graphs against PyTorch as rows of a table: a row a graph and set of shapes."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from commonart_desktop.gui.pages.export.report import Case, Report
from commonart_desktop.gui.style.theme import icon

Index = QModelIndex | QPersistentModelIndex
PART, SHAPES, MOST, RMS, BOUNDS, RESULT = range(6)


def figure(value: float | None) -> str:
    """An error as people compare them: 3.2e-06. Something immense stands for no comparison at all."""
    return "–" if value is None else "∞" if value >= 1e9 else f"{value:.1e}" if value else "0"


class CasesModel(QAbstractTableModel):
    """The cases of a report."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cases: tuple[Case, ...] = ()
        self.titles = (
            self.tr("Part"),
            self.tr("Shapes"),
            self.tr("Largest"),
            self.tr("RMS"),
            self.tr("Bounds"),
            self.tr("Result"),
        )
        self._parts = {
            "text_encoder": self.tr("Text encoder"),
            "transformer": self.tr("Denoiser"),
            "vae_decoder": self.tr("VAE decoder"),
            "vae_encoder": self.tr("VAE encoder"),
        }
        self._words = {True: self.tr("within"), False: self.tr("missed"), None: self.tr("not reached")}
        self._tips = {
            MOST: self.tr("Largest error, relative to the largest number"),
            RMS: self.tr("RMS error, relative to the RMS of PyTorch's numbers"),
            BOUNDS: self.tr("What the largest and the RMS error may be at most"),
        }

    def show_report(self, report: Report | None) -> None:
        self.beginResetModel()
        self.cases = report.cases if report else ()
        self.endResetModel()

    def part_name(self, part: str) -> str:
        return self._parts.get(part, part)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.cases)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.titles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.titles):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(section)
        return (
            self.titles[section]
            if role == Qt.ItemDataRole.DisplayRole
            else self._tips.get(section)
            if role == Qt.ItemDataRole.ToolTipRole
            else None
        )

    def _alignment(self, column: int) -> Qt.AlignmentFlag:
        return Qt.AlignmentFlag.AlignVCenter | (
            Qt.AlignmentFlag.AlignRight if column in (MOST, RMS, BOUNDS) else Qt.AlignmentFlag.AlignLeft
        )

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        case = self.cases[row]
        if column == PART:
            mixed = len({c.dtype for c in self.cases if c.dtype}) > 1
            return f"{self.part_name(case.part)} {case.dtype}".strip() if mixed else self.part_name(case.part)
        if column == SHAPES:
            return "  ".join("×".join(map(str, sides)) for _, sides in case.shapes) or "–"
        if column == BOUNDS:
            return (
                "–"
                if case.bound_rms is None or case.bound_most is None
                else f"{case.bound_most:.0e} / {case.bound_rms:.0e}"
            )
        return figure(case.most) if column == MOST else figure(case.rms) if column == RMS else self._words[case.good]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.cases):
            return None
        case, column = self.cases[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(index.row(), column)
        if role == Qt.ItemDataRole.DecorationRole and column == RESULT:
            return icon("done" if case.good else "waiting" if case.good is None else "failed")
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                "\n".join(f"{name}: {' × '.join(map(str, sides))}" for name, sides in case.shapes)
                if column == SHAPES
                else self._tips.get(column)
            )
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(column)
        return None
