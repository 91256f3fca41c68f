"""One image at a size that fits."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from commonart_desktop.gui.images.loader import ImageLoader
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage
from commonart_desktop.gui.style.theme import colours
from commonart_desktop.gui.style.tokens import SPACE

SIDE = 512  # pixels into which a file is read


class ImageView(QWidget):
    """Shows an image file with a caption below it, ``placeholder`` without a file, or why a file cannot be shown."""

    def __init__(self, name: str, placeholder: str = "", *, enlarge: int = 0, fill: bool = False) -> None:
        """``enlarge``: the largest factor by which an image is enlarged; 0 for no limit.

        ``fill``: paint a background.
        """
        super().__init__(accessibleName=name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(96)
        self.path, self.message = "", ""
        self.pixmap = QPixmap()
        self._caption, self._placeholder, self._enlarge, self._fill = "", placeholder, enlarge, fill
        self._loading = False
        self._loader = ImageLoader(self)

    def sizeHint(self) -> QSize:
        return QSize(320, 240)

    def show_file(self, path: str, caption: str = "") -> None:
        """Read this file as it is now, even if its path is the same as before; an empty path shows nothing.

        The image before stays until the new one has been read.
        """
        self.path, self._caption, self._loading = path, caption, bool(path)
        self.setAccessibleDescription(caption)
        if path:
            self._loader.replace(path, self._on_loaded, box=SIDE)
        else:
            self._loader.clear()
            self._show(QPixmap(), "")

    def busy(self) -> bool:
        return self._loading

    def _on_loaded(self, loaded: LoadedImage) -> None:
        self._loading = False
        self._show(QPixmap.fromImage(loaded.image), problem_text(loaded))

    def _show(self, pixmap: QPixmap, message: str) -> None:
        self.pixmap, self.message = pixmap, message
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self._fill:
            painter.fillRect(self.rect(), QColor(colours().panel))
        painter.setPen(QColor(colours().muted))
        room = self.rect().adjusted(SPACE["s"], SPACE["s"], -SPACE["s"], -SPACE["s"])
        if self.pixmap.isNull():
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            painter.drawText(room, flags, self.message or self._placeholder)
            return
        if self._caption:
            line = painter.fontMetrics().lineSpacing()
            text = painter.fontMetrics().elidedText(self._caption, Qt.TextElideMode.ElideRight, room.width())
            room.setBottom(room.bottom() - line)
            painter.drawText(
                QRect(room.left(), room.bottom(), room.width(), line), int(Qt.AlignmentFlag.AlignCenter), text
            )
        size = self.pixmap.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
        if self._enlarge and size.width() > self.pixmap.width() * self._enlarge:
            size = self.pixmap.size() * self._enlarge
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        left, top = (room.width() - size.width()) // 2, (room.height() - size.height()) // 2
        painter.drawPixmap(QRect(room.left() + left, room.top() + top, size.width(), size.height()), self.pixmap)
