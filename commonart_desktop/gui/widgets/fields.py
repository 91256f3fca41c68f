"""Small parts that every form is made of."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.errors import CommonArtError


class FieldHint(QLabel):
    """The line under a field: a hint, or what is wrong. Gone while it has nothing to say."""

    def __init__(self, role: str = "bad") -> None:
        super().__init__(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.hide()

    def tell(self, text: str) -> None:
        self.setText(text)
        self.setVisible(bool(text))

    def complain(self, error: CommonArtError) -> None:
        """What happened, and what to do."""
        self.tell(" ".join(part for part in sentence(error) if part))


class WheelGuard(QObject):
    """Turning the wheel over a field scrolls the form; it changes a value only in the field that has focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False

    def watch(self, form: QWidget) -> None:
        for field in [*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)]:
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(self)
            if isinstance(field, QAbstractSpinBox):
                pad(field)


def pad(box: QAbstractSpinBox) -> QAbstractSpinBox:
    """A number as far from the border as text is: Qt does not apply a style sheet's padding to it."""
    box.lineEdit().setTextMargins(SPACE["s"] - 2, 0, 0, 0)
    return box


def column(*widgets: QWidget) -> QVBoxLayout:
    """A field with the lines under it."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE["xs"])
    for w in widgets:
        layout.addWidget(w)
    return layout


def row(*widgets: QWidget) -> QWidget:
    """Controls side by side; the first takes what room there is."""
    whole = QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE["s"])
    for n, w in enumerate(widgets):
        layout.addWidget(w, 0 if n else 1)
    return whole


def roomy(combo: QComboBox) -> QComboBox:
    """A choice may be narrower than its longest entry."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    return combo
