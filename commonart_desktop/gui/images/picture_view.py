"""One picture at a size that fits, read off the window's thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.images.reader import read_image
from commonart_desktop.gui.style.theme import colours


class PictureView(QWidget):
    """Shows a file, or a word where there is none to show."""

    SIDE = 512

    def __init__(self, name: str) -> None:
        super().__init__(accessibleName=name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(96)
        self.path = ""
        self.pixmap = QPixmap()
        self._task: Task | None = None
        self._unreadable = self.tr("This picture cannot be shown.")
        self._word = ""

    def sizeHint(self) -> QSize:
        return QSize(320, 240)

    def show_file(self, path: str) -> None:
        """Read and show it; an empty path shows nothing."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.path, self._word = path, ""
        if path:
            self._task = Task(
                self,
                lambda task: read_image(path, self.SIDE) if Path(path).is_file() else QImage(),
                done=self._read,
                failed=lambda e: self._read(QImage()),
            )
        else:
            self.pixmap = QPixmap()
            self.update()

    def busy(self) -> bool:
        return self._task is not None

    def _read(self, image: Any) -> None:
        self._task = None
        self.pixmap = QPixmap.fromImage(image)
        self._word = self._unreadable if image.isNull() else ""
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self.pixmap.isNull():
            painter.setPen(colours().muted)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._word)
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = self.pixmap.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        if size.width() > self.pixmap.width() * 3:
            size = self.pixmap.size() * 3
        painter.drawPixmap(
            (self.width() - size.width()) // 2,
            (self.height() - size.height()) // 2,
            size.width(),
            size.height(),
            self.pixmap,
        )
