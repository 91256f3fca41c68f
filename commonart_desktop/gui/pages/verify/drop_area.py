"""The empty Verify page: what it is for, and an area to drop images on."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.style.theme import colours, icon
from commonart_desktop.gui.style.tokens import RADIUS, SPACE


class DropArea(QWidget):
    """A dashed frame; ``choose`` and ``folder`` are its buttons. ``set_hot`` highlights it during a drag."""

    def __init__(self) -> None:
        super().__init__()
        self._hot = False
        title = QLabel(self.tr("Drop images or folders here"), alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        title.setProperty("role", "title")
        text = QLabel(
            self.tr(
                "See who signed an image, whether it was changed since, how it was made, and under which "
                "licences its LoRAs were taught. "
                "Images of other tools are read, too. Nothing leaves this computer."
            ),
            alignment=Qt.AlignmentFlag.AlignCenter,
            wordWrap=True,
        )
        text.setMaximumWidth(560)
        self.choose = QPushButton(self.tr("Choose images…"))
        self.choose.setProperty("main", True)
        self.folder = QPushButton(icon("folder"), self.tr("Choose a folder…"))
        buttons = QHBoxLayout(spacing=SPACE["s"])
        buttons.addStretch()
        buttons.addWidget(self.choose)
        buttons.addWidget(self.folder)
        buttons.addStretch()
        middle = QHBoxLayout()
        middle.addStretch(1)
        middle.addWidget(text, 8)
        middle.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["xl"], SPACE["xl"], SPACE["xl"], SPACE["xl"])
        column.setSpacing(SPACE["l"])
        column.addStretch(2)
        column.addWidget(title)
        column.addLayout(middle)
        column.addLayout(buttons)
        column.addStretch(3)

    def set_hot(self, hot: bool) -> None:
        self._hot = hot
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(colours().accent if self._hot else colours().border), 1.5, Qt.PenStyle.DashLine))
        edge = SPACE["s"]
        painter.drawRoundedRect(self.rect().adjusted(edge, edge, -edge, -edge), RADIUS, RADIUS)
