"""The thumbnail grid."""

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
from commonart_desktop.gui.pages.gallery.model import ImagesModel
from commonart_desktop.gui.pages.gallery.tile_painter import GAP, TilePainter

SIZES = (96, 256)
Index = QModelIndex | QPersistentModelIndex
Move = QAbstractItemView.CursorAction


class GalleryView(QListView):
    """Tiles in rows. ``opened`` is emitted on Enter or a double click.

    Positions are computed here: QListView's layout would visit all 50,000 items at each change. Selection, keyboard
    and accessibility are QListView's.
    """

    opened = Signal()

    def __init__(self, model: ImagesModel, thumbnails: Thumbnails, side: int) -> None:
        super().__init__()
        self._images, self._thumbnails = model, thumbnails
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
        self.setAccessibleName(self.tr("Images"))
        thumbnails.ready.connect(self._on_ready)
        model.answered.connect(self._wishing.start)
        model.dataChanged.connect(self._wishing.start)
        self.doubleClicked.connect(lambda _: self.opened.emit())

    @property
    def _cell(self) -> int:
        return self.side + GAP

    def set_side(self, side: int) -> None:
        """Set the size of the tiles in pixels; the first visible row stays at the top."""
        at = self.verticalScrollBar().value() // self._cell * self._columns
        self.side = min(SIZES[1], max(SIZES[0], side))
        self._thumbnails.set_side(self.side, self.devicePixelRatioF())
        self.updateGeometries()
        self.verticalScrollBar().setValue(at // self._columns * self._cell)
        self.viewport().update()
        self._wishing.start()

    def updateGeometries(self) -> None:
        """Distribute the remaining width over the columns."""
        width = self.viewport().width()
        self._columns = max(1, width // self._cell)
        self._width = max(self._cell, width // self._columns)
        lines = -(-len(self._images.ids) // self._columns)
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
        self.set_side(self.side)  # perhaps on another screen with another density

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
        """The row at a position; -1 where there is none."""
        column, line = at.x() // self._width, (at.y() + self.verticalOffset()) // self._cell
        row = line * self._columns + column
        return row if 0 <= column < self._columns and 0 <= row < len(self._images.ids) else -1

    def indexAt(self, at: QPoint) -> QModelIndex:
        return self._images.index(self._row_at(at))  # no index for -1

    def _range(self, area: QRect) -> tuple[int, int]:
        """First and last row of the lines that intersect an area of the viewport; last < first where there are none."""
        top, bottom = area.top() + self.verticalOffset(), area.bottom() + self.verticalOffset()
        return max(0, top // self._cell) * self._columns, min(
            len(self._images.ids), (bottom // self._cell + 1) * self._columns
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
        count = len(self._images.ids)
        if not count:
            return QModelIndex()
        row, page = self.currentIndex().row(), self._columns * max(1, self.viewport().height() // self._cell)
        if row < 0:
            return self._images.index(0)
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
        return self._images.index(min(count - 1, max(0, to)))

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """Select a rectangle when dragged, a range with Shift."""
        selection = QItemSelection()
        if self.state() == QAbstractItemView.State.DragSelectingState:
            area = rect.normalized()
            first, last = self._range(area)
            left, right = max(0, area.left() // self._width), min(self._columns - 1, area.right() // self._width)
            for line in range(first, last + 1, self._columns):
                if line + left <= last and left <= right:
                    selection.select(self._images.index(line + left), self._images.index(min(last, line + right)))
        else:
            one, two = self._row_at(rect.topLeft()), self._row_at(rect.bottomRight())
            if one >= 0 or two >= 0:
                low, high = sorted((one if one >= 0 else two, two if two >= 0 else one))
                selection.select(self._images.index(low), self._images.index(high))
        self.selectionModel().select(selection, command)

    def selectAll(self) -> None:
        """Select everything as one range: QListView would ask the model for every row."""
        if self._images.ids:
            everything = QItemSelection(self._images.index(0), self._images.index(len(self._images.ids) - 1))
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
        """The selection as ranges (first row, last row), in order."""
        return sorted((r.top(), r.bottom()) for r in self.selectionModel().selection().toList())

    def rows(self) -> list[int]:
        """The selected rows, in order."""
        return [row for first, last in self.runs() for row in range(first, last + 1)]

    def chosen(self) -> array[int]:
        """The selected ids, in order."""
        found: array[int] = array("q")
        for first, last in self.runs():
            found += self._images.ids[first : last + 1]
        return found

    def select_rows(self, rows: list[int]) -> None:
        """Select these and no others; the first becomes the current one."""
        flags, selection = QItemSelectionModel.SelectionFlag, QItemSelection()
        for row in rows:
            selection.select(self._images.index(row), self._images.index(row))
        self.selectionModel().setCurrentIndex(self._images.index(rows[0]), flags.NoUpdate)
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
            image = self._images.image(row)
            pixmap = self._thumbnails.peek(image) if image is not None else None
            broken = self._thumbnails.why_broken(image) if image is not None and pixmap is None else None
            tiles.draw(rect, image, pixmap, broken, selected=row in chosen, focus=row == current)
        if not self._band.isNull():
            option = QStyleOptionRubberBand()
            option.initFrom(self)
            option.rect = self._band.translated(0, -self.verticalOffset())
            self.style().drawControl(QStyle.ControlElement.CE_RubberBand, option, painter, self)
        painter.end()

    def _on_ready(self, came: list[int]) -> None:
        first, last = self._range(self.viewport().rect())
        shown = {one: row for row, one in enumerate(self._images.ids[first : last + 1], first)}
        for one in came:
            if one in shown:
                self.viewport().update(self._rect(shown[one]))

    def _wish(self) -> None:
        """Request the visible rows, then a page on either side, beginning in the direction of scrolling."""
        if not self._images.ids or not self.isVisible():
            return
        first, last = self._range(self.viewport().rect())
        page = last - first + 1
        self._images.fetch(first - page, last + page)
        after, before = range(last + 1, last + 1 + page), range(first - 1, first - 1 - page, -1)
        rows = [*range(first, last + 1), *(after if self._forward else before), *(before if self._forward else after)]
        images = [p for p in map(self._images.image, rows) if p is not None]
        self._thumbnails.request(images, page)
