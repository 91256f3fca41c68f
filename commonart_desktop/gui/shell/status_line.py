"""The line at the bottom of the window: state of the engine, what is left, the pace, and two buttons."""

from __future__ import annotations

import time

from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE

_MARKS = {"off": "○", "starting": "◐", "working": "●", "idle": "●", "paused": "‖", "dead": "!"}


class StatusLine(QFrame):
    """``find_button`` and ``keys_button`` are at its end; the window connects them."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("status")
        self.text = QLabel()
        self.find_button, self.keys_button = QToolButton(icon=icon("search")), QToolButton(icon=icon("keyboard"))
        self._states = {
            "off": self.tr("engine off"),
            "starting": self.tr("engine starting"),
            "working": self.tr("engine working"),
            "idle": self.tr("engine ready"),
            "paused": self.tr("paused"),
            "dead": self.tr("engine stopped"),
        }
        line = QHBoxLayout(self)
        line.setContentsMargins(SPACE["m"], 0, SPACE["s"], 0)
        line.addWidget(self.text)
        line.addStretch()
        line.addWidget(self.find_button)
        line.addWidget(self.keys_button)

    def show_status(self, context: Context) -> None:
        """Show the present state of the engine and the queue."""
        engine, locale = context.engine, QLocale()
        counts = context.ledger.counts()
        left = counts["waiting"] + counts["running"]
        parts = [f"{_MARKS[engine.now]} {self._states[engine.now]}"]
        if engine.device:
            parts.append(engine.device)
        if left:
            parts.append(self.tr("{count} left").format(count=locale.toString(left)))
        pace = engine.pace()
        if pace:
            parts.append(self.tr("about {count} images/h").format(count=locale.toString(round(pace))))
            if left and engine.now == "working":
                done = time.localtime(time.time() + left / pace * 3600)
                parts.append(self.tr("done at about {time}").format(time=time.strftime("%H:%M", done)))
        text = "  ·  ".join(parts)
        if text != self.text.text():
            self.text.setText(text)
