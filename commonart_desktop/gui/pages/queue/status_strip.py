"""The strip above the queue: its progress, when it will be done, and the button that starts or pauses it."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QLocale, Qt, QTime, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.queue.nodes import NodesButton
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.errors import from_wire
from engine.contract.ledger.ledger import Job


class RunStrip(QFrame):
    """Emits ``start``, ``go_on`` (after a crash), ``pause`` or ``resume``; does nothing itself."""

    wanted = Signal(str)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._engine = context.engine
        self._details, self.does = "", ""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["xs"])
        self._title = QLabel(self.tr("Queue"))
        self._title.setProperty("role", "section")
        self.left = QLabel()
        self.button = QPushButton()
        self.button.clicked.connect(lambda: self.wanted.emit(self.does))
        row = QHBoxLayout()
        row.addWidget(self._title)
        row.addStretch()
        self.nodes = NodesButton(context)
        row.addWidget(self.nodes)
        row.addWidget(self.left)
        row.addSpacing(SPACE["s"])
        row.addWidget(self.button)
        self.bar = QProgressBar(textVisible=False, maximum=1000, accessibleName=self.tr("Progress of the whole queue"))
        self.forecast = QLabel()
        self.forecast.setProperty("role", "hint")
        self.forecast.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        column.addLayout(row)
        column.addWidget(self.bar)
        column.addWidget(self.forecast)
        self.question = QFrame(objectName="notice")
        ask = QHBoxLayout(self.question)
        ask.setContentsMargins(SPACE["s"], SPACE["xs"], SPACE["s"], SPACE["xs"])
        self.question_text = QLabel(wordWrap=True)
        self.go_on = QPushButton(self.tr("Go on"))
        self.go_on.clicked.connect(lambda: self.wanted.emit("go_on"))
        ask.addWidget(self.question_text, 1)
        ask.addWidget(self.go_on)
        column.addWidget(self.question)
        self.question.hide()
        self.reason = QFrame(objectName="notice")
        why = QHBoxLayout(self.reason)
        why.setContentsMargins(SPACE["s"], SPACE["xs"], SPACE["s"], SPACE["xs"])
        self.reason_text = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = QPushButton(theme.icon("copy"), self.tr("Copy details"))
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._details))
        why.addWidget(self.reason_text, 1)
        why.addWidget(self.copy)
        column.addWidget(self.reason)
        self.reason.hide()

    def update_from(
        self, jobs: list[Job], *, paused: bool, reason: dict[str, Any] | None, running: bool, stranded: int
    ) -> None:
        """Show this state; ``reason`` is the error that paused the queue, if one did."""
        waiting = sum(j.waiting for j in jobs)
        left = waiting + sum(j.running for j in jobs)
        total = sum(j.total for j in jobs)
        number = QLocale().toString
        self.left.setText(self.tr("{count} left").format(count=number(left)) if left else "")
        self.bar.setVisible(bool(total))
        self.bar.setValue(round(1000 * (total - left) / total) if total else 0)
        self.forecast.setText(self._forecast(left, paused=paused, running=running))
        self.forecast.setToolTip(self.forecast.text())
        self.forecast.setVisible(bool(self.forecast.text()))
        self.reason.setVisible(paused and reason is not None)
        if paused and reason is not None:
            text, hint = sentence(from_wire(reason))
            self.reason_text.setText(f"{text}\n{hint}" if hint else text)
            self._details = "\n".join(t for t in (text, hint, f"{reason.get('kind')}: {reason.get('message')}") if t)
        self.question.setVisible(stranded > 0)
        self.question_text.setText(
            self.tr("The last run stopped in the middle of {count} image(s). Nothing is lost.").format(
                count=number(stranded)
            )
        )
        if paused:
            self._offer("resume", self.tr("Resume"), "play", self.tr("Go on with the queue (Space)"))
        elif running and (left or self._engine.now in ("working", "starting")):
            self._offer("pause", self.tr("Pause"), "pause", self.tr("Pause the queue after the current image (Space)"))
        elif waiting and not running and not stranded:
            self._offer("start", self.tr("Start"), "play", self.tr("Make what is waiting (Space)"))
        else:
            self._offer("", "", "", "")

    def _offer(self, does: str, text: str, icon: str, tip: str) -> None:
        if does == self.does:
            self.button.setVisible(bool(does))
            return
        self.does = does
        self.button.setVisible(bool(does))
        if does:
            self.button.setText(text)
            self.button.setIcon(theme.icon(icon))
            self.button.setToolTip(tip)

    def _forecast(self, left: int, *, paused: bool, running: bool) -> str:
        parts = []
        if paused:
            parts.append(self.tr("The queue is paused."))
        elif running and self._engine.now == "starting":
            parts.append(self.tr("The engine is starting."))
        pace = self._engine.pace()
        if pace and running and not paused:
            parts.append(self.tr("about {count} images/h").format(count=QLocale().toString(round(pace))))
            if left:
                done = time.localtime(time.time() + left / pace * 3600)
                clock = QTime(done.tm_hour, done.tm_min).toString("HH:mm")
                parts.append(self.tr("done at about {time}").format(time=clock))
        return "  ·  ".join(parts)
