"""Draws one tile of the thumbnail grid: the image, a frame when selected, and a badge when starred or rated."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPixmap, QPolygonF

from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import FONT, RADIUS, SPACE

GAP = SPACE["m"]  # between two images
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
    """Colours and pens, looked up once for all tiles of a paint event."""

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
        image: GalleryImage | None,
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
        target = room
        if pixmap is not None:
            size = pixmap.deviceIndependentSize().toSize()  # usually created for this size, and drawn unscaled
            if fits := max(size.width(), size.height()) <= side:
                target = QRect(
                    room.x() + (side - size.width()) // 2,
                    room.y() + (side - size.height()) // 2,
                    size.width(),
                    size.height(),
                )
                painter.drawPixmap(target.topLeft(), pixmap)
            if not fits:
                size = size.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio)
                target = QRect(
                    QPoint(room.x() + (side - size.width()) // 2, room.y() + (side - size.height()) // 2), size
                )
                painter.drawPixmap(target, pixmap)
        else:
            painter.setBrush(self._raised)
            painter.drawRoundedRect(room, RADIUS, RADIUS)
            if broken is not None:
                self._draw_message(room, problem_text(broken))
        if image is not None and (image.starred or image.rating):
            self._badge(target, image)
        if selected or focus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self._focus if focus else self._frame)
            painter.drawRoundedRect(QRectF(back).adjusted(1, 1, -1, -1), RADIUS, RADIUS)
            painter.setPen(Qt.PenStyle.NoPen)

    def _draw_message(self, room: QRect, text: str) -> None:
        font = QFont(self._painter.font())
        font.setPixelSize(FONT["small"])
        self._painter.setFont(font)
        self._painter.setPen(self._muted)
        self._painter.drawText(
            room.adjusted(4, 4, -4, -4), int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), text
        )
        self._painter.setPen(Qt.PenStyle.NoPen)

    def _badge(self, target: QRect, image: GalleryImage) -> None:
        """A star, and the rating as filled dots, of five."""
        painter = self._painter
        width = (16 if image.starred else 0) + (44 if image.rating else 0) + 6
        back = QRectF(target.x() + 4, target.bottom() - 19, width, 16)
        painter.setBrush(self._panel)
        painter.drawRoundedRect(back, 8, 8)
        x, y = back.x() + 4, back.center().y()
        painter.setBrush(self._text)
        if image.starred:
            painter.drawPolygon(star_shape(QPointF(x + 7, y)))
            x += 16
        painter.setPen(self._text)
        for n in range(5 if image.rating else 0):
            painter.setBrush(self._text if n < image.rating else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(x + 4 + n * 8, y), 2.5, 2.5)
        painter.setPen(Qt.PenStyle.NoPen)
