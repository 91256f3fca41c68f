"""Shown in place of an empty table: what the queue is for, and what to do first."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

WIDTH = 520  # pixels; longer lines are hard to read


class EmptyQueue(QWidget):
    """Two cases: nothing is queued, or nothing matches the search and the filter."""

    compose_wanted = Signal()
    all_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.message, self.hint = (QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter) for _ in range(2))
        self.hint.setProperty("role", "muted")
        self.compose = QPushButton(
            theme.icon("make"), self.tr("Write a prompt"), toolTip=self.tr("Go to the prompt field")
        )
        self.compose.clicked.connect(self.compose_wanted)
        self.show_all = QPushButton(self.tr("Show all"))
        self.show_all.clicked.connect(self.all_wanted)
        middle = QWidget()
        middle.setMaximumWidth(WIDTH)
        column = QVBoxLayout(middle)
        column.setSpacing(SPACE["m"])
        column.addStretch()
        column.addWidget(self.message)
        column.addWidget(self.hint)
        for button in (self.compose, self.show_all):
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch()
        row = QHBoxLayout(self)
        row.addStretch(1)
        row.addWidget(middle, 100)
        row.addStretch(1)
        self.show_reason(has_jobs=False)

    def show_reason(self, *, has_jobs: bool) -> None:
        """Choose the text."""
        self.compose.setVisible(not has_jobs)
        self.show_all.setVisible(has_jobs)
        self.hint.setVisible(not has_jobs)
        self.message.setText(
            self.tr("Nothing here matches.")
            if has_jobs
            else self.tr("Images waiting to be made are listed here, in order.")
        )
        self.hint.setText(
            self.tr(
                "Write a prompt and press Ctrl+Enter to add the first ones, or drop a text, CSV or JSONL file "
                "of prompts on the form. "
                "The list survives a crash, a power cut and closing this window."
            )
        )
