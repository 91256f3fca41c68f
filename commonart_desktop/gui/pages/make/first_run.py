"""A card for the first image: three prompts to try with a click."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout

from commonart_desktop.gui.style.tokens import SPACE

#: prompts, not texts of the window: the same in every language; the last one shows the template syntax
EXAMPLES = ("りんご、フラット調", "a dog on a pink background", "[[すし|富士山]]、青い背景")


class FirstRun(QFrame):
    """``chosen`` carries the prompt that was clicked."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE["m"], SPACE["s"], SPACE["m"], SPACE["m"])
        layout.setSpacing(SPACE["s"])
        title = QLabel(self.tr("Make your first image"))
        title.setProperty("role", "section")
        hint = QLabel(self.tr("Choose an example or write your own, then press “Make one now”."), wordWrap=True)
        hint.setProperty("role", "hint")
        layout.addWidget(title)
        layout.addWidget(hint)
        self.buttons = [QPushButton(text) for text in EXAMPLES]
        for button, text in zip(self.buttons, EXAMPLES, strict=False):
            button.clicked.connect(lambda _=False, prompt=text: self.chosen.emit(prompt))
            layout.addWidget(button)
