"""Fields of the settings: applied at once; a bad value stays in its field with the reason under it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from commonart_desktop.gui.pages.settings.validation import is_device
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")


class Choice(QComboBox):
    """A choice of values, each with its text; ``apply(value)`` when another one is chosen."""

    def __init__(
        self, value: str, entries: Iterable[tuple[str, str]], apply: Callable[[str], None] | None = None
    ) -> None:
        super().__init__()
        for entry, text in entries:
            self.addItem(text, entry)
        if self.findData(value) < 0:
            self.addItem(value, value)  # written into the file by hand
        self.show_value(value)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if apply is not None:
            self.currentIndexChanged.connect(lambda at: apply(self.itemData(at) or ""))

    def show_value(self, value: str) -> None:
        """Select a value without applying it, if there is such an entry."""
        if self.currentData() != value and self.findData(value) >= 0:
            with QSignalBlocker(self):
                self.setCurrentIndex(self.findData(value))

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # scrolling the page changes nothing


class CheckedEdit(QLineEdit):
    """A text that is applied unless ``check`` finds a problem, which is shown in ``problem``."""

    def __init__(
        self, value: str, check: Callable[[str], str], apply: Callable[[str], None], placeholder: str = ""
    ) -> None:
        super().__init__(value, placeholderText=placeholder)
        self._check, self._apply = check, apply
        self.problem = FieldHint()
        self.textEdited.connect(self.submit)

    def submit(self, text: str) -> None:
        """Check and apply a text."""
        problem = self._check(text.strip())
        self.problem.tell(problem)
        if not problem:
            self._apply(text.strip())

    def show_value(self, value: str) -> None:
        """Show a value that was set elsewhere, unless something is being typed."""
        if not self.hasFocus() and not self.problem.text() and self.text().strip() != value:
            self.setText(value)


class DeviceField(Choice):
    """A device from a list or typed; ``devices`` names those that this machine has."""

    def __init__(self, value: str, apply: Callable[[str], None]) -> None:
        super().__init__(value, ((d, self.tr("Automatic") if d == "auto" else d) for d in DEVICES))
        self._apply_device = apply
        self.problem, self.devices = FieldHint(), FieldHint("hint")
        self.setEditable(True)
        self.currentTextChanged.connect(self._on_text)

    def _on_text(self, text: str) -> None:
        at = self.findText(text)
        value = str(self.itemData(at) if at >= 0 else text.strip())
        good = is_device(value)
        self.problem.tell("" if good else self.tr("Write it like {example}.").format(example="cpu, cuda:0, mps"))
        if good:
            self._apply_device(value)

    def show_checks(self, checks: list[dict[str, Any]], value: str) -> None:
        """Offer the devices that the doctor found, each with its name, and ``value``, the present one."""
        found = {
            c["id"]: str(c["value"])
            for c in checks
            if c["state"] == "ok" and c["value"] and re.fullmatch(r"mps|(cuda|xpu):\d+", c["id"])
        }
        auto = next((str(c["value"]) for c in checks if c["id"] == "auto" and c["value"]), "")
        entries = {"auto": auto, "cpu": ""} | found | ({} if value in ("auto", "cpu", *found) else {value: ""})
        typed = self.currentText()
        with QSignalBlocker(self):
            self.clear()
            for device, name in entries.items():
                self.addItem(self.tr("Automatic") if device == "auto" else device, device)
                self.setItemData(self.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentText(typed)  # also one being typed
        self.devices.tell("\n".join(f"{device}: {name}" for device, name in entries.items() if name))


def beside(field: QWidget, button: QWidget) -> QWidget:
    """A field, which takes the focus, with a button beside it."""
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(SPACE["s"])
    row.addWidget(field, 1)
    row.addWidget(button)
    if isinstance(field, QLineEdit):
        box.setFocusProxy(field)
    return box
