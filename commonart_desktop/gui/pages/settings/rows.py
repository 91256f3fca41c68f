"""Rows of a settings form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QWidget

from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label


@dataclass(frozen=True)
class FormRow:
    """A name and its field; ``below`` are widgets under the field, and ``hint`` a sentence under those."""

    name: str
    field: QWidget
    below: Sequence[QWidget] = ()
    hint: str = ""


class FormRows(QGridLayout):
    """Names, and beside them fields with the lines under each, in one grid: nested layouts squeeze wrapped lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setHorizontalSpacing(SPACE["l"])
        self.setVerticalSpacing(SPACE["xs"])
        self.setColumnStretch(1, 1)
        self.names: list[QLabel] = []

    def add(self, row: FormRow) -> None:
        """Append a row; its name is also the accessible name of a combo box or line edit."""
        at = self.rowCount()
        self.setRowMinimumHeight(at, SPACE["m"] - 2 * SPACE["xs"] if self.names else 0)
        name = QLabel(row.name, alignment=Qt.AlignmentFlag.AlignVCenter)
        name.setBuddy(row.field)
        name.setMinimumHeight(QLineEdit().sizeHint().height())
        self.addWidget(name, at + 1, 0, Qt.AlignmentFlag.AlignTop)
        hints = [label(row.hint, "hint")] if row.hint else []
        for n, widget in enumerate((row.field, *row.below, *hints)):
            self.addWidget(widget, at + 1 + n, 1)
        field = row.field.focusProxy() or row.field
        if isinstance(field, (QComboBox, QLineEdit)):
            field.setAccessibleName(row.name)
        self.names.append(name)
