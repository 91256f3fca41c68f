"""Drawing one tile of the wall: the picture, a frame when selected, and a badge when starred or rated."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPixmap, QPolygonF

from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.picture import Picture
from commonart_desktop.gui.images.reader import LoadedImage
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import FONT, RADIUS, SPACE

GAP = SPACE["m"]  # between two pictures
_STAR = [
    (0, -5.0),
    (1.5, -1.6),
    (5.0, -1.4),
    (2.3, 0.9),
    (3.1, 4.3),
    (0, 2.4),
    (-3.1, 4.3),
    (-2.3, 0.9),
    (-5.0, -1.4),
    (-1.5, -1.6),
]


def star_shape(centre: QPointF) -> QPolygonF:
    """A star ten pixels wide."""
    return QPolygonF([centre + QPointF(x, y) for x, y in _STAR])


class TilePainter:
    """Colours and pens looked up once for all tiles of one drawing."""

    def __init__(self, painter: QPainter, side: int) -> None:
        colours = theme.colours()
        self._painter, self.side = painter, side
        self._selection, self._raised, self._muted = (
            QColor(colours.selection),
            QColor(colours.raised),
            QColor(colours.muted),
        )
        self._panel, self._text = QColor(colours.panel), QColor(colours.text)
        self._frame, self._focus = QPen(QColor(colours.accent), 1), QPen(QColor(colours.accent), 2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)

    def draw(
        self,
        cell: QRect,
        picture: Picture | None,
        pixmap: QPixmap | None,
        broken: LoadedImage | None,
        *,
        selected: bool,
        focus: bool,
    ) -> None:
        """One tile in its cell. ``broken``: see ``Thumbnails.why_broken``."""
        painter, side = self._painter, self.side
        room = QRect(cell.x() + (cell.width() - side) // 2, cell.y() + (cell.height() - side) // 2, side, side)
        back = room.adjusted(-4, -4, 4, 4)
        if selected:
            painter.setBrush(self._selection)
            painter.drawRoundedRect(back, RADIUS, RADIUS)
        place = room
        if pixmap is not None:
            size = pixmap.deviceIndependentSize().toSize()  # as a rule made for this side, and drawn as it is
            if fits := max(size.width(), size.height()) <= side:
                place = QRect(
                    room.x() + (side - size.width()) // 2,
                    room.y() + (side - size.height()) // 2,
                    size.width(),
                    size.height(),
                )
                painter.drawPixmap(place.topLeft(), pixmap)
            if not fits:
                size = size.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio)
                place = QRect(
                    QPoint(room.x() + (side - size.width()) // 2, room.y() + (side - size.height()) // 2), size
                )
                painter.drawPixmap(place, pixmap)
        else:
            painter.setBrush(self._raised)
            painter.drawRoundedRect(room, RADIUS, RADIUS)
            if broken is not None:
                self._tell(room, problem_text(broken))
        if picture is not None and (picture.starred or picture.rating):
            self._badge(place, picture)
        if selected or focus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self._focus if focus else self._frame)
            painter.drawRoundedRect(QRectF(back).adjusted(1, 1, -1, -1), RADIUS, RADIUS)
            painter.setPen(Qt.PenStyle.NoPen)

    def _tell(self, room: QRect, text: str) -> None:
        font = QFont(self._painter.font())
        font.setPixelSize(FONT["small"])
        self._painter.setFont(font)
        self._painter.setPen(self._muted)
        self._painter.drawText(
            room.adjusted(4, 4, -4, -4), int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), text
        )
        self._painter.setPen(Qt.PenStyle.NoPen)

    def _badge(self, place: QRect, picture: Picture) -> None:
        """A star, and the rating as so many of five dots."""
        painter = self._painter
        width = (16 if picture.starred else 0) + (44 if picture.rating else 0) + 6
        back = QRectF(place.x() + 4, place.bottom() - 19, width, 16)
        painter.setBrush(self._panel)
        painter.drawRoundedRect(back, 8, 8)
        x, y = back.x() + 4, back.center().y()
        painter.setBrush(self._text)
        if picture.starred:
            painter.drawPolygon(star_shape(QPointF(x + 7, y)))
            x += 16
        painter.setPen(self._text)
        for n in range(5 if picture.rating else 0):
            painter.setBrush(self._text if n < picture.rating else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(x + 4 + n * 8, y), 2.5, 2.5)
        painter.setPen(Qt.PenStyle.NoPen)
