"""Fields of the compose form that are more than one control: model, size, seed; and the line under a field."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.compose_work import Background, ModelInfo, list_models, resolve_model
from commonart_desktop.gui.tokens import SPACE
from engine.contract.errors import BadValue, CommonArtError, Phrase, UnknownModel
from engine.contract.request import MAX_SEED

RATIOS = {"square": (1, 1), "portrait": (2, 3), "landscape": (3, 2), "tall": (9, 16), "wide": (16, 9)}


class Under(QLabel):
    """The line under a field: a hint, or what is wrong. Gone while it has nothing to say."""

    def __init__(self, role: str = "bad") -> None:
        super().__init__(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.hide()

    def tell(self, text: str) -> None:
        self.setText(text)
        self.setVisible(bool(text))

    def complain(self, error: CommonArtError) -> None:
        """What happened, and what to do."""
        self.tell(" ".join(part for part in sentence(error) if part))


class WheelGuard(QObject):
    """Turning the wheel over a field scrolls the form; it changes a value only in the field that has focus."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False

    def watch(self, form: QWidget) -> None:
        for field in [*form.findChildren(QComboBox), *form.findChildren(QAbstractSpinBox)]:
            field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            field.installEventFilter(self)
            if isinstance(field, QAbstractSpinBox):
                pad(field)


def pad(box: QAbstractSpinBox) -> QAbstractSpinBox:
    """A number as far from the border as text is: Qt does not apply a style sheet's padding to it."""
    box.lineEdit().setTextMargins(SPACE["s"] - 2, 0, 0, 0)
    return box


def column(*widgets: QWidget) -> QVBoxLayout:
    """A field with the lines under it."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE["xs"])
    for w in widgets:
        layout.addWidget(w)
    return layout


def row(*widgets: QWidget) -> QWidget:
    """Controls side by side; the first takes what room there is."""
    whole = QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE["s"])
    for n, w in enumerate(widgets):
        layout.addWidget(w, 0 if n else 1)
    return whole


def roomy(combo: QComboBox) -> QComboBox:
    """A choice may be narrower than its longest entry."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(6)
    return combo


class ModelChoice(QWidget):
    """The model, from what the engine's program lists; it may be any other folder too."""

    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._known: dict[str, ModelInfo] | None = None  # by the value that a request would hold; None: not listed yet
        self._folders: dict[str, ModelInfo] = {}  # looked at one by one
        self._value = ""
        self.combo = roomy(QComboBox(accessibleName=self.tr("Model")))
        self.error = Under()
        self.setLayout(column(self.combo, self.error))
        self.combo.activated.connect(self._on_activated)
        self.refresh()

    def refresh(self) -> None:
        """List the models anew, in the background."""
        self._background.run(list_models, self._on_listed, lambda e: self._on_listed([], e))

    def value(self) -> str:
        """A name, or a folder's path."""
        return self._value

    def info(self) -> ModelInfo | None:
        """What is known of the chosen model; None while it is not known yet."""
        return (self._known or {}).get(self._value) or self._folders.get(self._value)

    def problem(self) -> CommonArtError | None:
        """Why the chosen model cannot be used; None also while that is not known."""
        info = self.info()
        if info is not None:
            return info.problem
        if self._known is None or self._is_folder():
            return None
        return UnknownModel(name=self._value, known=", ".join(self._known))

    def set_value(self, value: str) -> None:
        self._value = value
        if self._is_folder() and self.info() is None:
            self._background.run(
                lambda: resolve_model(value), lambda info: self._on_resolved(value, info), self.error.complain
            )
        self._fill()

    def _is_folder(self) -> bool:
        return Path(self._value).is_absolute()

    def _on_listed(self, models: Sequence[ModelInfo], error: CommonArtError | None = None) -> None:
        self._known = {}
        for m in models:
            self._known[m.path if m.name in self._known else m.name] = (
                m  # the first of a name is the one the name finds
            )
        self._fill()
        if error is not None:
            self.error.complain(error)

    def _on_resolved(self, value: str, info: ModelInfo) -> None:
        self._folders[value] = info
        self._fill()

    def _fill(self) -> None:
        entries = {value: m.name for value, m in (self._known or {}).items()} | {
            value: m.name for value, m in self._folders.items()
        }
        if self._value not in entries:
            name = Path(self._value).name if self._is_folder() else self._value
            entries[self._value] = (
                name if self._known is None or self._is_folder() else self.tr("{name} (not found)").format(name=name)
            )
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for value, name in entries.items():
                self.combo.addItem(name, value)
                self.combo.setItemData(self.combo.count() - 1, value, Qt.ItemDataRole.ToolTipRole)
            self.combo.addItem(self.tr("Other folder…"), None)
            self.combo.setCurrentIndex(list(entries).index(self._value))
        problem = self.problem()
        if problem is not None:
            self.error.complain(problem)
        else:
            self.error.tell("")
        self.combo.setToolTip(self._value)
        self.changed.emit()

    def _on_activated(self, index: int) -> None:
        value = self.combo.itemData(index)
        if value is not None:
            self.set_value(value)
            return
        self._fill()  # back to what was chosen, until a folder is
        dialog = QFileDialog(self, self.tr("Choose a model folder"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_value)
        dialog.open()


def scaled(side: int, multiple: int, ratio: tuple[int, int]) -> tuple[int, int]:
    """Width and height of about ``side`` squared pixels in this ratio, both a multiple of ``multiple``."""
    wide = math.sqrt(ratio[0] / ratio[1])
    width, height = (max(multiple, round(s / multiple) * multiple) for s in (side * wide, side / wide))
    return min(width, 8192), min(height, 8192)


class SizeField(QWidget):
    """A shape scaled to the model's own size, or any width and height."""

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
        self.error = Under()
        self.setLayout(column(row(self.shape, self.width_box, QLabel("×"), self.height_box), self.error))
        self.shape.activated.connect(lambda _: self._reshape())
        for box in (self.width_box, self.height_box):
            box.valueChanged.connect(self._on_number)

    def key(self) -> str:
        return str(self.shape.currentData())

    def value(self) -> tuple[int | None, int | None]:
        """Width and height; None for both stands for the model's own size."""
        if self.key() == "square":
            return None, None
        return self.width_box.value(), self.height_box.value()

    def set_value(self, width: int | None, height: int | None) -> None:
        """Take a size; its shape is found by itself."""
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
        """Take a shape by name, and the size it had."""
        self._set(key if key in RATIOS else "free", width, height)

    def _set(self, key: str, width: int | None, height: int | None) -> None:
        for box, number in ((self.width_box, width), (self.height_box, height)):
            with QSignalBlocker(box):
                box.setValue(number if number is not None else box.value())
        self.shape.setCurrentIndex(self.shape.findData(key))
        self._reshape()

    def set_model(self, model: ModelInfo | None) -> None:
        """The model decides the size of a shape."""
        if model is not None and model.own_side and model.multiple and model != self._model:
            self._model = model
            for box in (self.width_box, self.height_box):
                box.setSingleStep(model.multiple)
            self._reshape()

    def _reshape(self) -> None:
        model, key = self._model, self.key()
        side, multiple = (model.own_side or 512, model.multiple or 16) if model else (512, 16)
        if key in RATIOS:
            for box, number in zip((self.width_box, self.height_box), scaled(side, multiple, RATIOS[key])):
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
    """Each picture its own seed by chance; or counted up from a number, which may go on from job to job."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = roomy(QComboBox(accessibleName=self.tr("Seed")))
        for key, text, tip in (
            ("random", self.tr("Random"), self.tr("Each picture draws its own seed")),
            (
                "fixed",
                self.tr("Fixed"),
                self.tr("The pictures of a prompt get S, S+1, S+2, …; the next job starts at S again"),
            ),
            (
                "on",
                self.tr("Counting on"),
                self.tr("The pictures of a prompt get S, S+1, S+2, …; the next job goes on from there"),
            ),
        ):
            self.mode.addItem(text, key)
            self.mode.setItemData(self.mode.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.number = QLineEdit(
            "1", maxLength=19, accessibleName=self.tr("Seed number"), toolTip=self.tr("Seed number")
        )
        self.number.setMinimumWidth(90)
        self.error = Under()
        self.setLayout(column(row(self.mode, self.number), self.error))
        self.mode.currentIndexChanged.connect(lambda _: self._check())
        self.number.textChanged.connect(lambda _: self._check())
        self._check()

    def key(self) -> str:
        return str(self.mode.currentData())

    def value(self) -> int | None:
        """The first seed; None for random."""
        return None if self.key() == "random" or self.problem() else int(self.number.text())

    def set_value(self, mode: str, number: str) -> None:
        self.number.setText(number)
        self.mode.setCurrentIndex(max(0, self.mode.findData(mode)))

    def used(self, last: int) -> None:
        """A job was added and its last picture has this seed."""
        if self.key() == "on":
            self.number.setText(str(last + 1 if last < MAX_SEED else 0))

    def problem(self) -> CommonArtError | None:
        text = self.number.text()
        if self.key() == "random" or (re.fullmatch(r"[0-9]+", text) and int(text) <= MAX_SEED):
            return None
        return BadValue(
            name="seed", value=text or "…", why=Phrase("it must lie between {low} and {high}", low=0, high=MAX_SEED)
        )

    def _check(self) -> None:
        self.number.setVisible(self.key() != "random")
        problem = self.problem()
        if problem is not None:
            self.error.complain(problem)
        else:
            self.error.tell("")
        self.mode.setToolTip(str(self.mode.currentData(Qt.ItemDataRole.ToolTipRole)))
        self.changed.emit()
