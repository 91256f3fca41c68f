"""The question whether to pause the queue for a training on the same device."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton

from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE


class QueueBar(QFrame):
    """``answered(after_queue)``: start now, with the queue paused, or when the queue is empty; ``dismissed``: neither."""

    answered = Signal(bool)
    dismissed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        line = QHBoxLayout(self)
        line.setContentsMargins(SPACE["m"], SPACE["s"], SPACE["s"], SPACE["s"])
        self.now = QPushButton(icon("pause"), self.tr("Pause the queue and start"))
        self.after = QPushButton(self.tr("Start when the queue is empty"))
        self.not_now = QToolButton(icon=icon("close"), accessibleName=self.tr("Not now"), toolTip=self.tr("Not now"))
        self.now.clicked.connect(lambda: self.answered.emit(False))
        self.after.clicked.connect(lambda: self.answered.emit(True))
        self.not_now.clicked.connect(self.dismissed)
        line.addWidget(QLabel(self.tr("The queue is making images on the same device."), wordWrap=True), 1)
        for button in (self.now, self.after, self.not_now):
            line.addWidget(button)
        self.hide()
