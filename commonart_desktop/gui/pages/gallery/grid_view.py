"""The wall of small pictures."""

from __future__ import annotations

from array import array

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QRegion, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyleOptionRubberBand

from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.pages.gallery.model import PicturesModel
from commonart_desktop.gui.pages.gallery.tile_painter import GAP, TilePainter

SIZES = (96, 256)
Index = QModelIndex | QPersistentModelIndex
Move = QAbstractItemView.CursorAction


class GalleryView(QListView):
    """Tiles in rows. ``opened`` on Enter or a double click.

    Where a tile stands is arithmetic, here: a QListView's own layout would walk over all 50,000 at each change. The rest (selecting, the
    keyboard, screen readers) is QListView's.
    """

    opened = Signal()

    def __init__(self, model: PicturesModel, thumbnails: Thumbnails, side: int) -> None:
        super().__init__()
        self._pictures, self._thumbnails = model, thumbnails
        self.side, self._columns, self._width = side, 1, side + GAP
        self._pressed: QPoint | None = None
        self._band = QRect()
        self._forward = True
        self._wishing = QTimer(self, singleShot=True, interval=0)
        self._wishing.timeout.connect(self._wish)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setModel(model)
        self.set_side(side)
        self.setAccessibleName(self.tr("Pictures"))
        thumbnails.ready.connect(self._on_ready)
        model.answered.connect(self._wishing.start)
        model.dataChanged.connect(self._wishing.start)
        self.doubleClicked.connect(lambda _: self.opened.emit())

    @property
    def _cell(self) -> int:
        return self.side + GAP

    def set_side(self, side: int) -> None:
        """How large the tiles are, in pixels; what is at the top stays at the top."""
        at = self.verticalScrollBar().value() // self._cell * self._columns
        self.side = min(SIZES[1], max(SIZES[0], side))
        self._thumbnails.set_side(self.side, self.devicePixelRatioF())
        self.updateGeometries()
        self.verticalScrollBar().setValue(at // self._columns * self._cell)
        self.viewport().update()
        self._wishing.start()

    def updateGeometries(self) -> None:
        """Spread what is left of the width over the columns, so that nothing is ragged at the right."""
        width = self.viewport().width()
        self._columns = max(1, width // self._cell)
        self._width = max(self._cell, width // self._columns)
        lines = -(-len(self._pictures.ids) // self._columns)
        bar = self.verticalScrollBar()
        bar.setSingleStep(max(1, self._cell // 3))
        bar.setPageStep(max(self._cell, self.viewport().height() // self._cell * self._cell))
        bar.setRange(0, max(0, lines * self._cell - self.viewport().height()))

    def doItemsLayout(self) -> None:
        QAbstractItemView.doItemsLayout(self)  # not QListView's

    def resizeEvent(self, event: QResizeEvent) -> None:
        at = self.verticalScrollBar().value() // self._cell * self._columns
        old = self._columns
        self.updateGeometries()
        if self._columns != old:
            self.verticalScrollBar().setValue(at // self._columns * self._cell)
        self.viewport().update()
        self._wishing.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.set_side(self.side)  # perhaps on another screen

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        self._forward = dy <= 0
        self.viewport().scroll(0, dy)
        if not self._band.isNull():
            self.viewport().update()
        self._wishing.start()

    def _rect(self, row: int) -> QRect:
        return QRect(
            row % self._columns * self._width,
            row // self._columns * self._cell - self.verticalOffset(),
            self._width,
            self._cell,
        )

    def visualRect(self, index: Index) -> QRect:
        return self._rect(index.row()) if index.isValid() else QRect()

    def _row_at(self, at: QPoint) -> int:
        """-1 where there is none."""
        column, line = at.x() // self._width, (at.y() + self.verticalOffset()) // self._cell
        row = line * self._columns + column
        return row if 0 <= column < self._columns and 0 <= row < len(self._pictures.ids) else -1

    def indexAt(self, at: QPoint) -> QModelIndex:
        return self._pictures.index(self._row_at(at))  # no index for -1

    def _range(self, area: QRect) -> tuple[int, int]:
        """First and last row of the lines that an area of the viewport touches; last < first where there are none."""
        top, bottom = area.top() + self.verticalOffset(), area.bottom() + self.verticalOffset()
        return max(0, top // self._cell) * self._columns, min(
            len(self._pictures.ids), (bottom // self._cell + 1) * self._columns
        ) - 1

    def scrollTo(
        self, index: Index, hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible
    ) -> None:
        if not index.isValid():
            return
        rect, height, bar = self.visualRect(index), self.viewport().height(), self.verticalScrollBar()
        if hint == QAbstractItemView.ScrollHint.PositionAtCenter:
            bar.setValue(bar.value() + rect.center().y() - height // 2)
        elif rect.top() < 0 or hint == QAbstractItemView.ScrollHint.PositionAtTop:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() >= height or hint == QAbstractItemView.ScrollHint.PositionAtBottom:
            bar.setValue(bar.value() + rect.bottom() + 1 - height)

    # keyboard and mouse -----------------------------------------------------------------------------------------------

    def moveCursor(self, action: Move, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        count = len(self._pictures.ids)
        if not count:
            return QModelIndex()
        row, page = self.currentIndex().row(), self._columns * max(1, self.viewport().height() // self._cell)
        if row < 0:
            return self._pictures.index(0)
        by = {
            Move.MoveLeft: -1,
            Move.MovePrevious: -1,
            Move.MoveRight: 1,
            Move.MoveNext: 1,
            Move.MoveUp: -self._columns,
            Move.MoveDown: self._columns,
            Move.MovePageUp: -page,
            Move.MovePageDown: page,
            Move.MoveHome: -row,
            Move.MoveEnd: count - 1 - row,
        }.get(action, 0)
        to = row + by
        if (action == Move.MoveUp and to < 0) or (
            action == Move.MoveDown and to >= count and row // self._columns == (count - 1) // self._columns
        ):
            to = row
        return self._pictures.index(min(count - 1, max(0, to)))

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """A rectangle when dragged, a run of pictures by Shift."""
        selection = QItemSelection()
        if self.state() == QAbstractItemView.State.DragSelectingState:
            area = rect.normalized()
            first, last = self._range(area)
            left, right = max(0, area.left() // self._width), min(self._columns - 1, area.right() // self._width)
            for line in range(first, last + 1, self._columns):
                if line + left <= last and left <= right:
                    selection.select(self._pictures.index(line + left), self._pictures.index(min(last, line + right)))
        else:
            one, two = self._row_at(rect.topLeft()), self._row_at(rect.bottomRight())
            if one >= 0 or two >= 0:
                low, high = sorted((one if one >= 0 else two, two if two >= 0 else one))
                selection.select(self._pictures.index(low), self._pictures.index(high))
        self.selectionModel().select(selection, command)

    def selectAll(self) -> None:
        """As one run: QListView asks the model for every row."""
        if self._pictures.ids:
            everything = QItemSelection(self._pictures.index(0), self._pictures.index(len(self._pictures.ids) - 1))
            self.selectionModel().select(everything, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = (
            event.position().toPoint() + QPoint(0, self.verticalOffset())
            if self._row_at(event.position().toPoint()) < 0
            else None
        )
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        if self._pressed is not None and self.state() == QAbstractItemView.State.DragSelectingState:
            self._band = QRect(
                self._pressed, event.position().toPoint() + QPoint(0, self.verticalOffset())
            ).normalized()
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._pressed, self._band = None, QRect()
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit()
            return
        super().keyPressEvent(event)

    def runs(self) -> list[tuple[int, int]]:
        """First and last row of what is selected, in order: few numbers, also for 50,000 pictures."""
        return sorted((r.top(), r.bottom()) for r in self.selectionModel().selection())

    def rows(self) -> list[int]:
        """The selected rows, in order."""
        return [row for first, last in self.runs() for row in range(first, last + 1)]

    def chosen(self) -> array[int]:
        """The selected ids, in order."""
        found: array[int] = array("q")
        for first, last in self.runs():
            found += self._pictures.ids[first : last + 1]
        return found

    def select_rows(self, rows: list[int]) -> None:
        """Select these and no others; the first becomes the current one."""
        flags, selection = QItemSelectionModel.SelectionFlag, QItemSelection()
        for row in rows:
            selection.select(self._pictures.index(row), self._pictures.index(row))
        self.selectionModel().setCurrentIndex(self._pictures.index(rows[0]), flags.NoUpdate)
        self.selectionModel().select(selection, flags.ClearAndSelect)

    # drawing ----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        tiles = TilePainter(painter, self.side)
        first, last = self._range(event.rect())
        chosen = {row for a, b in self.runs() for row in range(max(a, first), min(b, last) + 1)}
        current = self.currentIndex().row() if self.hasFocus() else -1
        for row in range(first, last + 1):
            rect = self._rect(row)
            if not event.region().intersects(rect):
                continue
            picture = self._pictures.picture(row)
            pixmap = self._thumbnails.peek(picture) if picture is not None else None
            broken = self._thumbnails.why_broken(picture) if picture is not None and pixmap is None else None
            tiles.draw(rect, picture, pixmap, broken, selected=row in chosen, focus=row == current)
        if not self._band.isNull():
            option = QStyleOptionRubberBand()
            option.initFrom(self)
            option.rect = self._band.translated(0, -self.verticalOffset())
            self.style().drawControl(QStyle.ControlElement.CE_RubberBand, option, painter, self)
        painter.end()

    def _on_ready(self, came: list[int]) -> None:
        first, last = self._range(self.viewport().rect())
        shown = {one: row for row, one in enumerate(self._pictures.ids[first : last + 1], first)}
        for one in came:
            if one in shown:
                self.viewport().update(self._rect(shown[one]))

    def _wish(self) -> None:
        """Ask for what is in sight, and after it for a page on either side, the way it moves first."""
        if not self._pictures.ids or not self.isVisible():
            return
        first, last = self._range(self.viewport().rect())
        page = last - first + 1
        self._pictures.fetch(first - page, last + page)
        after, before = range(last + 1, last + 1 + page), range(first - 1, first - 1 - page, -1)
        rows = [*range(first, last + 1), *(after if self._forward else before), *(before if self._forward else after)]
        pictures = [p for p in map(self._pictures.picture, rows) if p is not None]
        self._thumbnails.want(pictures, page)
