"""Rows of a settings form."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QGridLayout,
    QLabel,
    QLineEdit,
    QWidget,
)

from commonart_desktop.gui.style.tokens import SPACE


class FormRows(QGridLayout):
    """Names, and beside them fields with the lines under each. Wrapped lines in boxes within boxes would get too little height."""

    def __init__(self) -> None:
        super().__init__()
        self.setHorizontalSpacing(SPACE["l"])
        self.setVerticalSpacing(SPACE["xs"])
        self.setColumnStretch(1, 1)
        self.names: list[QLabel] = []

    def add(self, name: str, *fields: QWidget) -> None:
        """A name, its field, and what stands under that."""
        row = self.rowCount()
        self.setRowMinimumHeight(row, SPACE["m"] - 2 * SPACE["xs"] if self.names else 0)
        told = QLabel(name, alignment=Qt.AlignmentFlag.AlignVCenter)
        told.setBuddy(fields[0])
        told.setMinimumHeight(QLineEdit().sizeHint().height())
        self.addWidget(told, row + 1, 0, Qt.AlignmentFlag.AlignTop)
        for n, field in enumerate(fields):
            self.addWidget(field, row + 1 + n, 1)
        self.names.append(told)
