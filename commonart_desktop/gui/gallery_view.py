"""The wall of small pictures."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from commonart_desktop.gui import theme
from commonart_desktop.gui.gallery_index import Picture
from commonart_desktop.gui.gallery_model import PICTURE, PicturesModel
from commonart_desktop.gui.thumbnails import Thumbnails
from commonart_desktop.gui.tokens import FONT, RADIUS, SPACE

SIZES = (96, 256)
_STAR = [(0, -5.0), (1.5, -1.6), (5.0, -1.4), (2.3, 0.9), (3.1, 4.3), (0, 2.4), (-3.1, 4.3), (-2.3, 0.9), (-5.0, -1.4), (-1.5, -1.6)]


def star_shape(centre: QPointF) -> QPolygonF:
    """A star ten pixels wide."""
    return QPolygonF([centre + QPointF(x, y) for x, y in _STAR])


class TileDelegate(QStyledItemDelegate):
    """One picture: itself, a frame when selected, and a badge when starred or rated."""

    def __init__(self, thumbnails: Thumbnails, side: int) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self.side = side

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(self.side + SPACE["m"], self.side + SPACE["m"])

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        picture = index.data(PICTURE)
        if not isinstance(picture, Picture):
            return
        colours = theme.colours()
        cell: QRect = option.rect.adjusted(2, 2, -2, -2)
        painter.save()
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(Qt.PenStyle.NoPen)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.setBrush(QColor(colours.selection))
            painter.drawRoundedRect(cell, RADIUS, RADIUS)
        room = cell.adjusted(4, 4, -4, -4)
        pixmap = self._thumbnails.get(picture)
        place = room
        if pixmap is not None:
            size = pixmap.size()  # as a rule made for this side, and drawn as it is
            if max(size.width(), size.height()) > self.side:
                size = size.scaled(self.side, self.side, Qt.AspectRatioMode.KeepAspectRatio)
            place = QRect(QPoint(room.x() + (room.width() - size.width()) // 2, room.y() + (room.height() - size.height()) // 2), size)
            painter.drawPixmap(place, pixmap)
        else:
            painter.setBrush(QColor(colours.raised))
            painter.drawRoundedRect(room, RADIUS, RADIUS)
            if self._thumbnails.is_broken(picture):
                painter.setPen(QColor(colours.muted))
                font = painter.font()
                font.setPixelSize(FONT["small"])
                painter.setFont(font)
                painter.drawText(room.adjusted(4, 4, -4, -4), int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap),
                                 self.tr("! This picture cannot be read"))
        if picture.starred or picture.rating:
            self._badge(painter, place, picture)
        if selected or option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(colours.accent), 2 if option.state & QStyle.StateFlag.State_HasFocus else 1))
            painter.drawRoundedRect(QRectF(cell).adjusted(1, 1, -1, -1), RADIUS, RADIUS)
        painter.restore()

    def _badge(self, painter: QPainter, place: QRect, picture: Picture) -> None:
        """A star, and the rating as so many of five dots."""
        colours = theme.colours()
        width = (16 if picture.starred else 0) + (44 if picture.rating else 0) + 6
        back = QRectF(place.x() + 4, place.bottom() - 19, width, 16)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colours.panel))
        painter.drawRoundedRect(back, 8, 8)
        x, y = back.x() + 4, back.center().y()
        painter.setBrush(QColor(colours.text))
        if picture.starred:
            painter.drawPolygon(star_shape(QPointF(x + 7, y)))
            x += 16
        painter.setPen(QPen(QColor(colours.text), 1))
        for n in range(5 if picture.rating else 0):
            painter.setBrush(QColor(colours.text) if n < picture.rating else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(x + 4 + n * 8, y), 2.5, 2.5)


class GalleryView(QListView):
    """Tiles in rows. ``opened`` on Enter or a double click."""

    opened = Signal()

    def __init__(self, model: PicturesModel, thumbnails: Thumbnails, side: int) -> None:
        super().__init__()
        self._thumbnails = thumbnails
        self._tiles = TileDelegate(thumbnails, side)
        # list mode that wraps lays out 50,000 tiles by arithmetic; icon mode would make an object for each
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionRectVisible(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setItemDelegate(self._tiles)
        self.setModel(model)
        self.set_side(side)
        self.setAccessibleName(self.tr("Pictures"))
        thumbnails.ready.connect(lambda _: self.viewport().update())
        self.verticalScrollBar().valueChanged.connect(self._moved)
        self.doubleClicked.connect(lambda _: self.opened.emit())

    @property
    def side(self) -> int:
        return self._tiles.side

    def set_side(self, side: int) -> None:
        """How large the tiles are, in pixels."""
        self._tiles.side = min(SIZES[1], max(SIZES[0], side))
        self._thumbnails.side = self._tiles.side
        self._fill_width()
        self._moved()

    def _fill_width(self) -> None:
        """Spread what is left of the width over the columns, so that nothing is ragged at the right."""
        cell = self._tiles.side + SPACE["m"]
        width = self.viewport().width() - 2
        columns = max(1, width // cell)
        grid = QSize(max(cell, width // columns), cell)
        if grid != self.gridSize():
            self.setGridSize(grid)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fill_width()

    def _moved(self) -> None:
        self._thumbnails.forget_wanted()
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.opened.emit()
            return
        super().keyPressEvent(event)

    def rows(self) -> list[int]:
        """The selected rows, in order."""
        return sorted(i.row() for i in self.selectionModel().selectedIndexes())
