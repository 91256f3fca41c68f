"""Small fields of the Training page, and drafts of forms made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QWidget,
)

from commonart_desktop.gui.style.tokens import SPACE


def parse_rate(text: str) -> float | None:
    """A learning rate as people write it; 0 for empty text, None for an invalid one."""
    if not text.strip():
        return 0.0
    try:
        value = float(text.replace(",", ".").strip())
    except ValueError:
        return None
    return value if 0 < value <= 10 else None


def combo(name: str, entries: Sequence[tuple[str, str]]) -> QComboBox:
    """A choice of values, each with its text."""
    box = QComboBox(accessibleName=name)
    for value, text in entries:
        box.addItem(text, value)
    return box


def percentage(name: str, value: int, tip: str, maximum: int = 100) -> QSpinBox:
    return QSpinBox(accessibleName=name, maximum=maximum, value=value, suffix=" %", toolTip=tip)


def form_layout(parent: QWidget) -> QFormLayout:
    """Labels beside fields, or above them where a row is too long."""
    form = QFormLayout(
        parent,
        horizontalSpacing=SPACE["l"],
        verticalSpacing=SPACE["s"],
        rowWrapPolicy=QFormLayout.RowWrapPolicy.WrapLongRows,
        fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
    )
    form.setContentsMargins(0, 0, 0, 0)
    return form


def read_draft(fields: Mapping[str, QWidget]) -> dict[str, Any]:
    """The values of fields by name, as JSON data."""
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if isinstance(field, QComboBox):
            values[name] = field.currentData()
        elif isinstance(field, (QSpinBox, QDoubleSpinBox)):
            values[name] = field.value()
        elif isinstance(field, QCheckBox):
            values[name] = field.isChecked()
        elif isinstance(field, QLineEdit):
            values[name] = field.text()
        elif isinstance(field, QPlainTextEdit):
            values[name] = field.toPlainText()
    return values


def write_draft(fields: Mapping[str, QWidget], values: Mapping[str, Any]) -> None:
    """Set fields to the values of ``read_draft``; a value of another type, from another version, is ignored."""
    for name, field in fields.items():
        value = values.get(name)
        if isinstance(field, QComboBox):
            field.setCurrentIndex(max(0, field.findData(value)))
        elif isinstance(field, QCheckBox):
            field.setChecked(bool(value))
        elif isinstance(field, (QSpinBox, QDoubleSpinBox)):
            if isinstance(value, (int, float)):
                number = min(float(value), field.maximum())
                field.setValue(number) if isinstance(field, QDoubleSpinBox) else field.setValue(int(number))
        elif isinstance(value, str):
            if isinstance(field, QLineEdit):
                field.setText(value)
            elif isinstance(field, QPlainTextEdit):
                field.setPlainText(value)
