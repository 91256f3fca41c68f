"""Compound fields of the compose form: size and seed."""

from __future__ import annotations

import math
import re

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QLabel,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from commonart_desktop.gui.widgets.fields import FieldHint, column, roomy, row
from commonart_desktop.gui.widgets.model_list import ModelInfo
from engine.contract.errors import BadValue, CommonArtError, Phrase
from engine.contract.request import MAX_SEED, RANDOM_SEED, fixed_seed

RATIOS = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2), "tall": (9, 16), "wide": (16, 9)}


def scaled(side: int, multiple: int, ratio: tuple[int, int]) -> tuple[int, int]:
    """Width and height of about ``side`` squared pixels in this ratio, both a multiple of ``multiple``."""
    wide = math.sqrt(ratio[0] / ratio[1])
    width, height = (max(multiple, round(s / multiple) * multiple) for s in (side * wide, side / wide))
    return min(width, 8192), min(height, 8192)


class SizeField(QWidget):
    """An aspect ratio at the model's native size, or any width and height."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._model: ModelInfo | None = None
        self.shape = roomy(QComboBox(accessibleName=self.tr("Shape")))
        for key, text in (
            ("square", self.tr("Square")),
            ("portrait", self.tr("Portrait 2:3")),
            ("landscape", self.tr("Landscape 3:2")),
            ("tall", self.tr("Tall 9:16")),
            ("wide", self.tr("Wide 16:9")),
            ("free", self.tr("Free")),
        ):
            self.shape.addItem(text, key)
        self.width_box = QSpinBox(
            minimum=16,
            maximum=8192,
            value=512,
            accessibleName=self.tr("Width in pixels"),
            toolTip=self.tr("Width in pixels"),
        )
        self.height_box = QSpinBox(
            minimum=16,
            maximum=8192,
            value=512,
            accessibleName=self.tr("Height in pixels"),
            toolTip=self.tr("Height in pixels"),
        )
        self.error = FieldHint()
        self.setLayout(column(row(self.shape, self.width_box, QLabel("×"), self.height_box), self.error))
        self.shape.activated.connect(lambda _: self._reshape())
        for box in (self.width_box, self.height_box):
            box.valueChanged.connect(self._on_number)

    def key(self) -> str:
        return str(self.shape.currentData())

    def value(self) -> tuple[int | None, int | None]:
        """Width and height; None for both is the model's native size."""
        if self.key() == "square":
            return None, None
        return self.width_box.value(), self.height_box.value()

    def set_value(self, width: int | None, height: int | None) -> None:
        """Set a size; its aspect ratio is detected."""
        key = "free"
        if width is None or height is None:
            key = "square"
        elif self._model is not None and self._model.own_side and self._model.multiple:
            key = next(
                (
                    k
                    for k, r in RATIOS.items()
                    if scaled(self._model.own_side, self._model.multiple, r) == (width, height)
                ),
                "free",
            )
        self._set(key, width, height)

    def set_shape(self, key: str, width: int, height: int) -> None:
        """Set an aspect ratio by name, and its size."""
        self._set(key if key in RATIOS else "free", width, height)

    def _set(self, key: str, width: int | None, height: int | None) -> None:
        for box, number in ((self.width_box, width), (self.height_box, height)):
            with QSignalBlocker(box):
                box.setValue(number if number is not None else box.value())
        self.shape.setCurrentIndex(self.shape.findData(key))
        self._reshape()

    def set_model(self, model: ModelInfo | None) -> None:
        """Set the model's native size, which determines the size of each aspect ratio."""
        if model is not None and model.own_side and model.multiple and model != self._model:
            self._model = model
            for box in (self.width_box, self.height_box):
                box.setSingleStep(model.multiple)
            self._reshape()

    def _reshape(self) -> None:
        model, key = self._model, self.key()
        side, multiple = (model.own_side or 512, model.multiple or 16) if model else (512, 16)
        if key in RATIOS:
            for box, number in zip(
                (self.width_box, self.height_box), scaled(side, multiple, RATIOS[key]), strict=False
            ):
                with QSignalBlocker(box):
                    box.setValue(number)
        self._check()

    def _on_number(self, _: int) -> None:
        self.shape.setCurrentIndex(self.shape.findData("free"))
        self._check()

    def problem(self) -> CommonArtError | None:
        model = self._model
        if model is None or not model.multiple or self.key() != "free":
            return None
        for name, number in (("width", self.width_box.value()), ("height", self.height_box.value())):
            if number % model.multiple:
                return BadValue(
                    name=name,
                    value=number,
                    why=Phrase(
                        "with {model} it must be a multiple of {multiple}, such as {near}",
                        model=model.name,
                        multiple=model.multiple,
                        near=max(model.multiple, round(number / model.multiple) * model.multiple),
                    ),
                )
        return None

    def _check(self) -> None:
        problem = self.problem()
        if problem is not None:
            self.error.complain(problem)
        else:
            self.error.tell("")
        self.changed.emit()


class SeedField(QWidget):
    """A random seed for each image, or counted up from a number, which may continue from job to job."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = roomy(QComboBox(accessibleName=self.tr("Seed")))
        for key, text, tip in (
            ("random", self.tr("Random"), self.tr("Each image draws its own seed")),
            (
                "fixed",
                self.tr("Fixed"),
                self.tr("The images of a prompt get S, S+1, S+2, …; the next job starts at S again"),
            ),
            (
                "on",
                self.tr("Counting on"),
                self.tr("The images of a prompt get S, S+1, S+2, …; the next job goes on from there"),
            ),
        ):
            self.mode.addItem(text, key)
            self.mode.setItemData(self.mode.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.number = QLineEdit(
            "1", maxLength=19, accessibleName=self.tr("Seed number"), toolTip=self.tr("Seed number")
        )
        self.number.setMinimumWidth(90)
        self.error = FieldHint()
        self.setLayout(column(row(self.mode, self.number), self.error))
        self.mode.currentIndexChanged.connect(lambda _: self._check())
        self.number.textChanged.connect(lambda _: self._check())
        self._check()

    def key(self) -> str:
        return str(self.mode.currentData())

    def value(self) -> int | None:
        """The first seed; None for random."""
        return None if self.key() == "random" or self.problem() else fixed_seed(int(self.number.text()))

    def set_value(self, mode: str, number: str) -> None:
        """``RANDOM_SEED`` in another program's settings is our random mode."""
        self.number.setText("1" if number.strip() == str(RANDOM_SEED) else number)
        self.mode.setCurrentIndex(max(0, self.mode.findData("random" if number.strip() == str(RANDOM_SEED) else mode)))

    def used(self, last: int) -> None:
        """A job was added whose last image has this seed."""
        if self.key() == "on" and self.value() is not None:
            self.number.setText(str(last + 1 if last < MAX_SEED else 0))

    def problem(self) -> CommonArtError | None:
        text = self.number.text().strip()
        if self.key() == "random":
            return None
        try:
            fixed_seed(int(text) if re.fullmatch(r"-?[0-9]+", text) else text or "…")
        except BadValue as error:
            return error
        return None

    def _check(self) -> None:
        self.number.setVisible(self.key() != "random")
        problem = self.problem()
        if problem is not None:
            self.error.complain(problem)
        else:
            self.error.tell("")
        self.mode.setToolTip(str(self.mode.currentData(Qt.ItemDataRole.ToolTipRole)))
        self.changed.emit()
