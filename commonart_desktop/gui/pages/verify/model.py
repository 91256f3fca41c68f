"""Model and delegate of the Verify page: files with their reports."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.pages.verify.job import File, named
from commonart_desktop.gui.pages.verify.labels import ICONS, kind_of, word_of
from commonart_desktop.gui.style.theme import ICON_SIZE, icon
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
KIND, IMAGE, BAD = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1, Qt.ItemDataRole.UserRole + 2
SIDE = 44  # of the thumbnail in a row


@dataclass
class Row:
    """A file and, once it was checked, its report."""

    number: int  # never reused: it identifies the thumbnail
    file: File
    report: dict[str, Any] | None = None


class VerifyModel(QAbstractListModel):
    """Each file once, in the order it was added. ``BAD`` is "bad" for one that is not intact, for the filter."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self._at: dict[str, int] = {}
        self._count = 0

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.rows):
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return named(row.file.path)
        if role == Qt.ItemDataRole.ToolTipRole:
            return html.escape(row.file.path)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{named(row.file.path)}, {word_of(kind_of(row.report))}"
        if role == KIND:
            return kind_of(row.report)
        if role == IMAGE:
            return GalleryImage(row.number, row.file.path, row.file.mtime, row.file.size, 0, False, "")
        if role == BAD:
            return "bad" if row.report is not None and not row.report["intact"] else ""
        return None

    def add(self, files: Sequence[File]) -> list[int]:
        """Append files; those already there are to be checked again. Returns their rows."""
        fresh: list[File] = []
        rows: list[int] = []
        for file in files:
            at = self._at.get(file.path)
            if at is None:
                at = self._at[file.path] = len(self.rows) + len(fresh)
                fresh.append(file)
            elif at < len(self.rows):
                if self.rows[at].file != file:
                    self.rows[at].file = file
                self.rows[at].report = None
            rows.append(at)
        if fresh:
            first = len(self.rows)
            self.beginInsertRows(QModelIndex(), first, first + len(fresh) - 1)
            for file in fresh:
                self._count += 1
                self.rows.append(Row(self._count, file))
            self.endInsertRows()
        self._changed(r for r in rows)
        return rows

    def tell(self, reports: Iterable[dict[str, Any]]) -> None:
        """Set reports; those of files that were removed from the list are dropped."""
        touched = []
        for report in reports:
            at = self._at.get(report["path"])
            if at is not None:
                self.rows[at].report = report
                touched.append(at)
        self._changed(touched)

    def forget(self, rows: Sequence[int]) -> set[str]:
        """Remove rows; returns their paths."""
        paths = set()
        for first, last in _runs(sorted(set(rows), reverse=True)):
            self.beginRemoveRows(QModelIndex(), first, last)
            paths |= {r.file.path for r in self.rows[first : last + 1]}
            del self.rows[first : last + 1]
            self._at = {r.file.path: n for n, r in enumerate(self.rows)}
            self.endRemoveRows()
        return paths

    def reports(self, rows: Iterable[int] | None = None) -> list[dict[str, Any]]:
        """The reports of these rows, or of all, without those that are missing."""
        found = (self.rows[n].report for n in rows) if rows is not None else (r.report for r in self.rows)
        return [r for r in found if r is not None]

    def row_of(self, path: str) -> int:
        """The row of a path, or -1."""
        return self._at.get(path, -1)

    def _changed(self, rows: Iterable[int]) -> None:
        """Emit one signal for all rows: a view queries only those it shows."""
        numbers = list(rows)
        if numbers:
            self.dataChanged.emit(self.index(min(numbers), 0), self.index(max(numbers), 0))


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive rows as (first, last), the last first; ``numbers`` descend."""
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][0] == n + 1:
            runs[-1] = (n, runs[-1][1])
        else:
            runs.append((n, n))
    return runs


class RowPainter(QStyledItemDelegate):
    """Thumbnail, name, and below it icon and name of the state."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._icons = {kind: icon(name) for kind, name in ICONS.items()}

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, max(SIDE, 2 * option.fontMetrics.height() + SPACE["xs"]) + SPACE["s"])

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        painter.save()
        rect = option.rect.adjusted(SPACE["s"], 0, -SPACE["s"], 0)
        square = QRect(rect.left(), rect.center().y() - SIDE // 2, SIDE, SIDE)
        small = self._thumbnails.peek(index.data(IMAGE))
        if small is not None and not small.isNull():
            size = small.deviceIndependentSize().scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio).toSize()
            target = QRect(0, 0, size.width(), size.height())
            target.moveCenter(square.center())
            painter.drawPixmap(target, small)
        else:
            painter.setPen(option.palette.color(option.palette.ColorRole.Mid))
            painter.drawRect(square.adjusted(0, 0, -1, -1))
        left, width = square.right() + SPACE["m"], rect.right() - square.right() - SPACE["m"]
        high = option.fontMetrics.height()
        top = rect.center().y() - high - SPACE["xs"] // 2
        painter.setFont(option.font)
        painter.setPen(option.palette.color(option.palette.ColorRole.Text))
        name = option.fontMetrics.elidedText(str(index.data()), Qt.TextElideMode.ElideMiddle, width)
        painter.drawText(
            QRect(left, top, width, high), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, name
        )
        kind, below = index.data(KIND), top + high + SPACE["xs"]
        mark = min(ICON_SIZE, high)
        self._icons[kind].paint(painter, QRect(left - 2, below, mark, high))
        painter.setPen(
            option.palette.color(
                option.palette.ColorRole.PlaceholderText
                if kind in ("valid", "waiting")
                else option.palette.ColorRole.Text
            )
        )
        painter.drawText(
            QRect(left + mark + SPACE["xs"], below, width - mark, high),
            Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
            word_of(kind),
        )
        painter.restore()
