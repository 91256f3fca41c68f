"""Fields of the Export page: which model, which LoRAs, how precise; and the parts that a bare denoiser lacks."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QRadioButton, QVBoxLayout, QWidget

from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label

PRECISIONS = ("fp32", "fp16", "int8")


class PrecisionField(QWidget):
    """fp32, fp16 or int8, each with what it costs."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        costs = {
            "fp32": self.tr("Four bytes a number. The same pictures as PyTorch; the largest files."),
            "fp16": self.tr("Two bytes a number. Half the size, for graphics cards; pictures differ by rounding."),
            "int8": self.tr(
                "One byte a weight of text encoder and denoiser. Smallest, fastest on processors; "
                "pictures differ visibly, by how much is measured."
            ),
        }
        self.buttons: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["xs"])
        for name in PRECISIONS:
            button = self.buttons[name] = QRadioButton(name, accessibleDescription=costs[name])
            self._group.addButton(button)
            told = label(costs[name], "hint")
            told.setIndent(SPACE["xl"])
            whole.addWidget(button)
            whole.addWidget(told)
            button.toggled.connect(lambda on: on and self.changed.emit())
        self.buttons["fp32"].setChecked(True)

    def value(self) -> str:
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def set_value(self, name: object) -> None:
        if name in self.buttons:
            self.buttons[str(name)].setChecked(True)
