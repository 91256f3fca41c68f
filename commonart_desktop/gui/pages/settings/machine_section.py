"""What lies in the caches, and what this machine has and lacks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import sentence, tr
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.theme import ICON_SIZE, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label, size
from engine.contract.disk import bytes_in
from engine.contract.errors import CommonArtError
from engine.contract.paths import home

CACHES = ("thumbnails", "text")  # folders of the data folder's cache: nothing in them cannot be made again


def clear(folder: Path) -> int:
    """Delete the files in it, as far as they can be deleted; returns the bytes left. Links are not followed."""
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                Path(where, name).unlink()
            except OSError:
                pass  # in use: it is counted below
    return bytes_in(folder)


class CacheRows(QWidget):
    """A line for each cache, with its size and a button that empties it."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        names = {"thumbnails": self.tr("Small pictures"), "text": self.tr("Text features")}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(SPACE["l"])
        grid.setColumnStretch(0, 1)
        self.sizes: dict[str, QLabel] = {}
        self.buttons: dict[str, QPushButton] = {}
        for row, cache in enumerate(CACHES):
            self.sizes[cache] = QLabel("–", alignment=Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.buttons[cache] = QPushButton(
                self.tr("Clear"),
                enabled=False,
                toolTip=self.tr("It is made again when it is needed"),
                accessibleName=self.tr("Clear: {name}").format(name=names[cache]),
            )
            self.buttons[cache].clicked.connect(lambda _=False, cache=cache: self._clear(cache))
            for column, widget in enumerate((QLabel(names[cache]), self.sizes[cache], self.buttons[cache])):
                grid.addWidget(widget, row, column)

    def measure(self) -> None:
        """Count, in a thread."""
        folder = home() / "cache"
        Task(self, lambda task: {cache: bytes_in(folder / cache) for cache in CACHES}, done=self._show)

    def _show(self, sizes: dict[str, int]) -> None:
        for cache, count in sizes.items():
            self.sizes[cache].setText(size(count))
            self.buttons[cache].setEnabled(count > 0)

    def _clear(self, cache: str) -> None:
        folder = home() / "cache" / cache
        self.buttons[cache].setEnabled(False)
        Task(self, lambda task: {cache: clear(folder)}, done=self._show, failed=self._context.notices.complain)


def told(text: Any) -> str:
    """A phrase as the engine's programs send it, in the user's language."""
    return tr(text["template"], **text["fields"]) if isinstance(text, dict) else str(text)


class Mark(QWidget):
    """One of our icons, drawn in the colours of the moment: a pixmap would keep those of the theme it was made in."""

    def __init__(self, name: str, word: str) -> None:
        super().__init__(toolTip=word, accessibleName=word)
        self._icon = icon(name)
        self.setFixedSize(ICON_SIZE, ICON_SIZE)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._icon.paint(QPainter(self), self.rect())


class DoctorList(QWidget):
    """The checks of ``engine.doctor``: a mark, a name, what was found, and what to do. ``told`` carries them all."""

    told = Signal(list)
    ELSEWHERE = ("text-cache",)  # checks that the page shows in lines of their own

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._task: Task | None = None
        self.words = {"ok": self.tr("good"), "warning": self.tr("worth knowing"), "missing": self.tr("missing")}
        self.doing = label(self.tr("Looking at this machine…"), "muted")
        self.again = QPushButton(icon("retry"), self.tr("Look again"), clicked=self.ask)
        self.grid = QGridLayout(horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        self.grid.setColumnStretch(2, 1)
        self.grid.setColumnMinimumWidth(1, 150)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["m"])
        column.addWidget(self.doing)
        column.addLayout(self.grid)
        column.addWidget(self.again, 0, Qt.AlignmentFlag.AlignLeft)
        self.doing.hide()

    def ask(self) -> None:
        """Run the doctor, in a process."""
        self.doing.setText(self.tr("Looking at this machine…"))
        self.doing.show()
        self.again.setEnabled(False)
        self._task = Task(
            self, lambda task: task.program("engine.doctor", [])["checks"], done=self._show, failed=self._failed
        )

    def _failed(self, error: CommonArtError) -> None:
        self.doing.setText("\n".join(sentence(error)))
        self.again.setEnabled(True)

    def _show(self, checks: list[dict[str, Any]]) -> None:
        self.doing.hide()
        self.again.setEnabled(True)
        while (item := self.grid.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()
        marks = {"ok": "done", "warning": "info", "missing": "failed"}
        row = 0
        for check in checks:
            if check["id"] in self.ELSEWHERE:
                continue
            mark = Mark(marks[check["state"]], self.words[check["state"]])
            self.grid.addWidget(mark, row, 0, Qt.AlignmentFlag.AlignTop)
            self.grid.addWidget(label(told(check["name"])), row, 1, Qt.AlignmentFlag.AlignTop)
            self.grid.addWidget(label("–" if check["value"] is None else told(check["value"])), row, 2)
            row += 1
            if check.get("advice"):
                self.grid.addWidget(label(told(check["advice"]), "hint"), row, 2)
                row += 1
        self.told.emit(checks)
