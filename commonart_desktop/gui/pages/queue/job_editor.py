"""A small panel over the table: change the waiting images of one job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Job
from engine.contract.request import SAMPLERS


class EditPanel(QFrame):
    """Fields left unchanged change nothing. ``wanted`` carries the job and the settings to change."""

    wanted = Signal(int, dict)
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        grid = QGridLayout(self)
        grid.setContentsMargins(SPACE["s"], SPACE["s"], SPACE["s"], SPACE["s"])
        grid.setSpacing(SPACE["s"])
        same = self.tr("as it is")
        self._title = QLabel(wordWrap=True)
        self.prompt = QLineEdit(
            placeholderText=self.tr("unchanged; text entered here becomes the prompt of all"),
            accessibleName=self.tr("Prompt"),
        )
        self.steps = QSpinBox(minimum=0, maximum=1000, specialValueText=same)
        self.guidance = QDoubleSpinBox(minimum=-0.5, maximum=100.0, singleStep=0.5, decimals=1, specialValueText=same)
        self.width_ = QSpinBox(minimum=0, maximum=8192, singleStep=16, specialValueText=same)
        self.height_ = QSpinBox(minimum=0, maximum=8192, singleStep=16, specialValueText=same)
        self.sampler = QComboBox()
        self.sampler.addItem(same, "")
        for name in SAMPLERS:
            self.sampler.addItem(name, name)
        self.out = QLineEdit(placeholderText=same)
        self.problem = QLabel(wordWrap=True)
        self.problem.setProperty("role", "bad")
        self.problem.hide()
        self.apply = QPushButton(self.tr("Change waiting images"))
        self.apply.clicked.connect(self._apply)
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.closed)
        grid.addWidget(self._title, 0, 0, 1, 4)
        self._field(grid, 1, 0, self.tr("Prompt"), self.prompt, 3)
        self._field(grid, 2, 0, self.tr("Steps"), self.steps)
        self._field(grid, 2, 2, self.tr("Guidance scale"), self.guidance)
        self._field(grid, 3, 0, self.tr("Width"), self.width_)
        self._field(grid, 3, 2, self.tr("Height"), self.height_)
        self._field(grid, 4, 0, self.tr("Sampler"), self.sampler)
        self._field(grid, 5, 0, self.tr("Output folder"), self.out, 3)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(close)
        buttons.addWidget(self.apply)
        grid.addWidget(self.problem, 6, 0, 1, 4)
        grid.addLayout(buttons, 7, 0, 1, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        QShortcut(
            QKeySequence("Escape"),
            self,
            activated=self.closed.emit,
            context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
        )
        self._job = 0
        self.hide()

    @staticmethod
    def _field(grid: QGridLayout, row: int, column: int, text: str, field: QWidget, span: int = 1) -> None:
        label = QLabel(text)
        label.setBuddy(field)
        field.setAccessibleName(text)
        grid.addWidget(label, row, column)
        grid.addWidget(field, row, column + 1, 1, span)

    def open_for(self, job: Job) -> None:
        """Show the panel for this job."""
        self._job = job.id
        self._title.setText(
            self.tr("Change the {count} waiting image(s) of “{name}”").format(count=job.waiting, name=job.name)
        )
        self.prompt.clear()
        self.out.clear()
        for field in (self.steps, self.guidance, self.width_, self.height_):
            field.setValue(field.minimum())  # type: ignore[arg-type]  # a spin box of either kind
        self.sampler.setCurrentIndex(0)
        self.problem.hide()
        self.show()
        self.prompt.setFocus()

    def settings(self) -> dict[str, Any]:
        """Only the settings that were changed."""
        changes: dict[str, Any] = {
            name: field.value()
            for name, field in (
                ("steps", self.steps),
                ("guidance", self.guidance),
                ("width", self.width_),
                ("height", self.height_),
            )
            if field.value() > field.minimum()
        }
        if self.prompt.text().strip():
            changes["prompt"] = self.prompt.text().strip()
        if self.out.text().strip():
            changes["out"] = str(Path(self.out.text().strip()).expanduser().absolute())
        if self.sampler.currentData():
            changes["sampler"] = self.sampler.currentData()
        return changes

    def _apply(self) -> None:
        settings = self.settings()
        if settings:
            self.wanted.emit(self._job, settings)
        else:
            self.closed.emit()

    def complain(self, error: CommonArtError) -> None:
        """Show below the fields why the change was refused."""
        self.problem.setText(" ".join(sentence(error)))
        self.problem.show()
