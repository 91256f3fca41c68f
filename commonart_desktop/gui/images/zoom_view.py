"""One image large: fit, 100 %, zoom, drag. Two of them side by side move together (``gallery.viewer``)."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPixmap, QWheelEvent
from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.images.loader import ImageLoader
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage, kept_full
from commonart_desktop.gui.style import theme

ZOOM = (0.02, 32.0)
FIT = 0.0
FIRST = 2048  # pixels: a larger image is first shown scaled down to this
HUGE = 4096  # pixels: of one that is too large to be kept at full size


def _first_box(size: QSize) -> int:
    return FIRST if kept_full(size) else HUGE


class ZoomView(QWidget):
    """One image. ``look`` is (zoom, centre x, centre y): zoom 0 fits; the centre is a fraction of the image's size.

    Zoom is in screen pixels per image pixel, so that 100 % is exact on high-density screens too.
    """

    position_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.position: tuple[float, float, float] = (FIT, 0.5, 0.5)
        self.path = ""
        self.broken = False
        self.size_ = QSize()  # the image's own
        self.full_size = False  # it is loaded at full size
        self._first = QImage()  # scaled down, to show all of a large one
        self._full = QImage()
        self._small = QPixmap()  # shown until the image is loaded
        self.problem = LoadedImage()
        self._grabbed: QPointF | None = None
        self._loader = ImageLoader(self)
        self.setMinimumSize(120, 120)
        self.setSizePolicy(self.sizePolicy().Policy.Expanding, self.sizePolicy().Policy.Expanding)

    def stop(self) -> None:
        self._loader.stop()

    def show_image(self, path: str, small: QPixmap | None, name: str) -> None:
        self.path, self._small, self.size_, self.broken, self.full_size = (
            path,
            small or QPixmap(),
            QSize(),
            False,
            False,
        )
        self._first, self._full = QImage(), QImage()
        self.setAccessibleName(name)
        self._loader.replace(path, self._on_first, box=_first_box)
        self.update()

    @property
    def loaded(self) -> bool:
        return not self._full.isNull() or not self._first.isNull()

    def _on_first(self, loaded: LoadedImage) -> None:
        """The image, scaled down if it is large; at full size it follows, unless that would be too large to keep."""
        self.size_ = loaded.size
        if loaded.full_size:
            self._full, self.full_size = loaded.image, True
        elif not loaded.image.isNull():
            self._first = loaded.image
            if kept_full(loaded.size):
                self._loader.load(self.path, self._on_full)
        self.broken, self.problem = loaded.image.isNull(), loaded
        self.update()
        self.position_changed.emit()

    def _on_full(self, loaded: LoadedImage) -> None:
        if loaded.full_size:
            self._full, self.full_size = loaded.image, True
            self.update()
            self.position_changed.emit()

    def zoom(self) -> float:
        """Screen pixels per image pixel, also while it is fitted."""
        if self.position[0] != FIT or not self.loaded:
            return self.position[0] or 1.0
        ratio = self.devicePixelRatioF()
        return min(1.0, self.width() * ratio / self.size_.width(), self.height() * ratio / self.size_.height())

    def set_position(self, position: tuple[float, float, float], *, notify: bool = True) -> None:
        zoom, x, y = position
        self.position = (
            zoom if zoom == FIT else min(ZOOM[1], max(ZOOM[0], zoom)),
            min(1.0, max(0.0, x)),
            min(1.0, max(0.0, y)),
        )
        self.update()
        if notify:
            self.position_changed.emit()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom around the point ``at``, in the widget's coordinates."""
        if not self.loaded:
            return
        ratio = self.devicePixelRatioF()
        old = self.zoom()
        new = min(ZOOM[1], max(ZOOM[0], old * factor))
        _, x, y = self.position if self.position[0] != FIT else (FIT, 0.5, 0.5)
        off = (
            (at or QPointF(self.width() / 2, self.height() / 2)) - QPointF(self.width() / 2, self.height() / 2)
        ) * ratio
        x += off.x() * (1 / old - 1 / new) / self.size_.width()
        y += off.y() * (1 / old - 1 / new) / self.size_.height()
        self.set_position((new, x, y))

    def _target(self) -> QRectF:
        """The rectangle of the entire image, in the widget's coordinates."""
        zoom = self.zoom() / self.devicePixelRatioF()
        w, h = self.size_.width() * zoom, self.size_.height() * zoom
        if self.position[0] == FIT:
            return QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)
        return QRectF(self.width() / 2 - self.position[1] * w, self.height() / 2 - self.position[2] * h, w, h)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colours = theme.colours()
        painter.fillRect(self.rect(), QColor(colours.field))
        if self.loaded:
            enough = self._first.width() / self.size_.width() if not self._first.isNull() else 0.0
            image = self._first if self._full.isNull() or self.zoom() <= enough else self._full
            painter.setRenderHint(
                QPainter.RenderHint.SmoothPixmapTransform, self.zoom() < 2
            )  # enlarged pixels stay sharp
            self._draw(painter, image)
        elif self.broken:
            painter.setPen(QColor(colours.muted))
            painter.drawText(
                self.rect(),
                int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap),
                problem_text(self.problem),
            )
        elif not self._small.isNull():
            size = self._small.deviceIndependentSize()
            painter.drawPixmap(
                QPointF((self.width() - size.width()) / 2, (self.height() - size.height()) / 2), self._small
            )

    def _draw(self, painter: QPainter, image: QImage) -> None:
        """Draw only the visible part: the painter would convert all of an image in an unusual pixel format."""
        target = self._target()
        seen = target.intersected(QRectF(self.rect()))
        x, y = image.width() / target.width(), image.height() / target.height()
        part = QRectF((seen.x() - target.x()) * x, (seen.y() - target.y()) * y, seen.width() * x, seen.height() * y)
        painter.drawImage(seen, image, part)

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom_by(1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._grabbed = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grabbed is not None and self.loaded:
            by, zoom = (event.position() - self._grabbed) * self.devicePixelRatioF(), self.zoom()
            self._grabbed = event.position()
            self.set_position(
                (
                    zoom,
                    self.position[1] - by.x() / zoom / self.size_.width(),
                    self.position[2] - by.y() / zoom / self.size_.height(),
                )
            )

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._grabbed = None
        self.unsetCursor()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.set_position((1.0, 0.5, 0.5) if self.position[0] == FIT else (FIT, 0.5, 0.5))
