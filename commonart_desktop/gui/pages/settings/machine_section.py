"""The sizes of the caches, and what this machine has and lacks."""

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

CACHES = ("thumbnails", "text")  # folders of the data folder's cache: everything in them can be created again


def clear(folder: Path) -> int:
    """Delete the files in it, as far as possible; returns the bytes left. Links are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                Path(parent, name).unlink()
            except OSError:
                pass  # in use: counted below
    return bytes_in(folder)


class CacheRows(QWidget):
    """A line for each cache, with its size and a button that clears it."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        names = {"thumbnails": self.tr("Thumbnails"), "text": self.tr("Text features")}
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
                toolTip=self.tr("It is created again when it is needed"),
                accessibleName=self.tr("Clear: {name}").format(name=names[cache]),
            )
            self.buttons[cache].clicked.connect(lambda _=False, cache=cache: self._clear(cache))
            for column, widget in enumerate((QLabel(names[cache]), self.sizes[cache], self.buttons[cache])):
                grid.addWidget(widget, row, column)

    def measure(self) -> None:
        """Measure the sizes, in a thread."""
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


def translate(text: Any) -> str:
    """A phrase as the engine's programs write it, in the user's language."""
    return tr(text["template"], **text["fields"]) if isinstance(text, dict) else str(text)


class Mark(QWidget):
    """An icon painted in the current colours: a pixmap would keep those of the theme it was created in."""

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(toolTip=meaning, accessibleName=meaning)
        self._icon = icon(name)
        self.setFixedSize(ICON_SIZE, ICON_SIZE)

    def paintEvent(self, event: QPaintEvent) -> None:
        self._icon.paint(QPainter(self), self.rect())


class DoctorList(QWidget):
    """The checks of ``engine.doctor``: a mark, a name, the value, and what to do. ``checked`` has them all."""

    checked = Signal(list)
    ELSEWHERE = ("text-cache",)  # checks that the page shows elsewhere

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._task: Task | None = None
        self._meanings = {"ok": self.tr("good"), "warning": self.tr("note"), "missing": self.tr("missing")}
        self.status = label(self.tr("Checking this machine…"), "muted")
        self.again = QPushButton(icon("retry"), self.tr("Check again"), clicked=self.check)
        self.grid = QGridLayout(horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        self.grid.setColumnStretch(2, 1)
        self.grid.setColumnMinimumWidth(1, 150)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["m"])
        column.addWidget(self.status)
        column.addLayout(self.grid)
        column.addWidget(self.again, 0, Qt.AlignmentFlag.AlignLeft)
        self.status.hide()

    def check(self) -> None:
        """Run the doctor, in a process."""
        self.status.setText(self.tr("Checking this machine…"))
        self.status.show()
        self.again.setEnabled(False)
        self._task = Task(
            self, lambda task: task.program("engine.doctor", [])["checks"], done=self._show, failed=self._failed
        )

    def _failed(self, error: CommonArtError) -> None:
        self.status.setText("\n".join(sentence(error)))
        self.again.setEnabled(True)

    def _show(self, checks: list[dict[str, Any]]) -> None:
        self.status.hide()
        self.again.setEnabled(True)
        while (item := self.grid.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()
        marks = {"ok": "done", "warning": "info", "missing": "failed"}
        row = 0
        for check in checks:
            if check["id"] in self.ELSEWHERE:
                continue
            mark = Mark(marks[check["state"]], self._meanings[check["state"]])
            self.grid.addWidget(mark, row, 0, Qt.AlignmentFlag.AlignTop)
            self.grid.addWidget(label(translate(check["name"])), row, 1, Qt.AlignmentFlag.AlignTop)
            self.grid.addWidget(label("–" if check["value"] is None else translate(check["value"])), row, 2)
            row += 1
            if check.get("advice"):
                self.grid.addWidget(label(translate(check["advice"]), "hint"), row, 2)
                row += 1
        self.checked.emit(checks)
