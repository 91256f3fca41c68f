"""The notification bar at the bottom: messages without a dialog."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton

from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE


class NotificationBar(QFrame):
    """A sentence, what to do, one button; an error's details to copy. Hides after a while unless it has a button."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE["m"], SPACE["xs"], SPACE["s"], SPACE["xs"])
        row.setSpacing(SPACE["s"])
        self.text = QLabel(
            wordWrap=True,
            textFormat=Qt.TextFormat.PlainText,
            textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse,
        )
        self.button = QPushButton()
        self.details = QPushButton(
            self.tr("Copy details"), toolTip=self.tr("Copy the details of this error, to send them to somebody")
        )
        self.close_button = QToolButton(
            icon=icon("close"), accessibleName=self.tr("Close the notice"), toolTip=self.tr("Close the notice")
        )
        self.close_button.clicked.connect(self.hide)
        self.button.clicked.connect(self._act)
        self.details.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._details))
        row.addWidget(self.text, 1)
        for button in (self.details, self.button, self.close_button):
            row.addWidget(button)
        self._action: Callable[[], None] | None = None
        self._details = ""
        self._timer = QTimer(self, singleShot=True, interval=12_000)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def listen(self, notices: Notices) -> None:
        """Show the messages of the pages."""
        notices.asked.connect(self.show_notice)
        notices.detailed.connect(self.show_details)

    def show_notice(self, text: str, hint: str, action: str, do: Callable[[], None] | None) -> None:
        """Replace the notice shown."""
        self.text.setText(f"{text}　{hint}" if hint else text)
        self.button.setText(action)
        self.button.setVisible(bool(action))
        self.details.hide()
        self._action = do
        self.show()
        if action:
            self._timer.stop()
        else:
            self._timer.start()

    def show_details(self, details: str) -> None:
        """The notice just shown is of an error: it stays until it is closed, and its details can be copied."""
        self._details = details
        self.details.show()
        self._timer.stop()

    def _act(self) -> None:
        do, self._action = self._action, None
        self.hide()
        if do is not None:
            do()
