"""How the selected image was generated, as selectable text."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from PySide6.QtCore import QDateTime, QLocale, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFormLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.pages.gallery.index import Chosen
from commonart_desktop.gui.style.tokens import SPACE

_LONG = 4000  # characters of one value that are shown
_WIDE = ("prompt", "template", "negative", "parameters", "hashes", "file")  # below their title


class RecipeView(QWidget):
    """Prompt, settings, model and hashes; of another tool's image its ``parameters``.

    Plain text: nothing in a file is trusted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.tr("How it was made"))
        self.values: dict[str, str] = {}  # what is shown, by key
        self._titles = {
            "prompt": self.tr("Prompt"),
            "template": self.tr("Written as"),
            "negative": self.tr("Negative prompt"),
            "seed": self.tr("Seed"),
            "size": self.tr("Size"),
            "steps": self.tr("Steps"),
            "guidance": self.tr("Guidance"),
            "sampler": self.tr("Sampler"),
            "model": self.tr("Model"),
            "hashes": self.tr("Model hashes"),
            "loras": self.tr("LoRA"),
            "dtype": self.tr("Number type"),
            "device": self.tr("Device"),
            "unknown": self.tr("Unknown words"),
            "app": self.tr("Program"),
            "parameters": self.tr("Made by another tool"),
            "file": self.tr("File"),
            "made": self.tr("Made"),
        }
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._body = QWidget()
        column.addWidget(self._body)

    def show_chosen(self, chosen: Chosen) -> None:
        """Show the recipe of a single image, or how many are selected."""
        one = chosen.images[0] if len(chosen.ids) == 1 and chosen.images else None
        self.values = _fields_of(chosen) | _file(one) if one is not None else {}
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["xs"])
        if one is None:
            text = (
                self.tr("{count} images are selected.").format(count=QLocale().toString(len(chosen.ids)))
                if chosen.ids
                else self.tr("Select an image to see how it was made.")
            )
            hint = QLabel(text, wordWrap=True)
            hint.setProperty("role", "muted")
            column.addWidget(hint)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setVerticalSpacing(SPACE["xs"])
        form.setHorizontalSpacing(SPACE["m"])
        placed = False
        for key, value in self.values.items():
            title = QLabel(self._titles[key])
            title.setProperty("role", "muted")
            field = self._line(value) if key == "file" else self._lines(value) if key == "hashes" else self._text(value)
            field.setAccessibleName(self._titles[key])
            if key not in _WIDE:
                form.addRow(title, field)
                continue
            if column.count():
                column.addSpacing(SPACE["xs"])
            column.addWidget(title)
            column.addWidget(field)
            if key == "prompt":
                column.addLayout(form)  # the short ones follow the prompt
                placed = True
        if not placed:
            column.addLayout(form)
        if self.values:
            copy = QPushButton(
                self.tr("Copy all of this"),
                toolTip=self.tr("Copy the recipe as text: the whole of it, as it stands in the file"),
            )
            copy.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.as_text(chosen)))
            column.addSpacing(SPACE["s"])
            column.addWidget(copy)
        layout = self.layout()
        assert layout is not None
        layout.replaceWidget(self._body, body)
        self._body.deleteLater()
        self._body = body
        body.show()

    def as_text(self, chosen: Chosen) -> str:
        """The fields, one per line, then the recipe as it is in the file."""
        lines = "\n".join(f"{self._titles[k]}: {v}" for k, v in self.values.items() if k != "parameters")
        return f"{lines}\n\n{chosen.text}".strip()

    @staticmethod
    def _text(value: str) -> QWidget:
        body: QLabel = QLabel(value, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        body.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        body.setMinimumWidth(40)
        return body

    @staticmethod
    def _line(value: str) -> QLineEdit:
        """A path, which cannot be wrapped, in a line that scrolls."""
        body: QLineEdit = QLineEdit(value, readOnly=True, toolTip=html.escape(value))
        body.setCursorPosition(len(value))  # the name is what matters
        return body

    def _lines(self, value: str) -> QWidget:
        """Hashes, each in a line that scrolls, after the part's name."""
        body = QWidget()
        form = QFormLayout(body)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(SPACE["xs"])
        for one in value.splitlines():
            name, _, number = one.partition(" ")
            line = self._line(number)
            line.setCursorPosition(0)
            line.setAccessibleName(name)
            title = QLabel(name)
            title.setProperty("role", "muted")
            form.addRow(title, line)
        return body


def _file(image: GalleryImage) -> dict[str, str]:
    origin = QDateTime.fromMSecsSinceEpoch(image.mtime // 1_000_000)
    return {"made": QLocale().toString(origin, QLocale.FormatType.ShortFormat), "file": str(Path(image.path))}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _fields_of(chosen: Chosen) -> dict[str, str]:
    recipe = chosen.recipe
    if recipe is None:
        return {"parameters": chosen.text[:_LONG]} if chosen.text else {}
    request: dict[str, Any] = recipe["request"]
    backend = _object(recipe.get("backend"))
    template = str(request.get("template") or "")
    loras = [f"{p[0]} ({p[1]})" for p in _list(request.get("loras")) if isinstance(p, list) and len(p) == 2]
    lines = {
        "prompt": chosen.prompt,
        "template": template if template != chosen.prompt else "",
        "negative": request.get("negative"),
        "seed": request.get("seed"),
        "size": f"{request.get('width')} × {request.get('height')}" if request.get("width") else "",
        "steps": request.get("steps"),
        "guidance": request.get("guidance"),
        "sampler": request.get("sampler"),
        "model": request.get("model"),
        "loras": "\n".join(loras),
        "dtype": backend.get("dtype") or request.get("dtype"),
        "device": backend.get("device"),
        "unknown": "、".join(str(w) for w in _list(recipe.get("unknown_words"))[:50]),
        "app": recipe.get("app"),
        "hashes": "\n".join(f"{k} {v}" for k, v in list(_object(recipe.get("hashes")).items())[:16]),
    }
    return {k: str(v)[:_LONG] for k, v in lines.items() if v not in (None, "")}
