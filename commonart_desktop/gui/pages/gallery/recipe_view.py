"""How the selected picture was made, as text that can be selected and copied."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from PySide6.QtCore import QDateTime, QLocale, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFormLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from commonart_desktop.gui.images.picture import Picture
from commonart_desktop.gui.pages.gallery.index import Chosen
from commonart_desktop.gui.style.tokens import SPACE

_LONG = 4000  # letters of one value that are shown
_WIDE = ("prompt", "template", "negative", "parameters", "hashes", "file")  # below their title


class RecipeView(QWidget):
    """Prompt, settings, model, hashes; for a picture of another tool its ``parameters``. All is plain text: nothing in a file is trusted."""

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
        """Show one picture's, or how many are selected."""
        one = chosen.pictures[0] if len(chosen.ids) == 1 and chosen.pictures else None
        self.values = _told(chosen) | _file(one) if one is not None else {}
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["xs"])
        if one is None:
            text = (
                self.tr("{count} pictures are selected.").format(count=QLocale().toString(len(chosen.ids)))
                if chosen.ids
                else self.tr("Select a picture to see how it was made.")
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
        self.layout().replaceWidget(self._body, body)
        self._body.deleteLater()
        self._body = body
        body.show()

    def as_text(self, chosen: Chosen) -> str:
        """What is shown, one a line, and after it the recipe as it stands in the file."""
        told = "\n".join(f"{self._titles[k]}: {v}" for k, v in self.values.items() if k != "parameters")
        return f"{told}\n\n{chosen.text}".strip()

    @staticmethod
    def _text(value: str) -> QWidget:
        body = QLabel(value, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        body.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        body.setMinimumWidth(40)
        return body

    @staticmethod
    def _line(value: str) -> QWidget:
        """A path has nowhere to break: a line that scrolls."""
        body = QLineEdit(value, readOnly=True, toolTip=html.escape(value))
        body.setCursorPosition(len(value))  # the name is what matters
        return body

    def _lines(self, value: str) -> QWidget:
        """Hashes, each whole in a line that scrolls, after the part's name."""
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


def _file(picture: Picture) -> dict[str, str]:
    made = QDateTime.fromMSecsSinceEpoch(picture.mtime // 1_000_000)
    return {"made": QLocale().toString(made, QLocale.FormatType.ShortFormat), "file": str(Path(picture.path))}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _told(chosen: Chosen) -> dict[str, str]:
    recipe = chosen.recipe
    if recipe is None:
        return {"parameters": chosen.text[:_LONG]} if chosen.text else {}
    asked: dict[str, Any] = recipe["request"]
    backend = _object(recipe.get("backend"))
    template = str(asked.get("template") or "")
    loras = [f"{p[0]} ({p[1]})" for p in _list(asked.get("loras")) if isinstance(p, list) and len(p) == 2]
    told = {
        "prompt": chosen.prompt,
        "template": template if template != chosen.prompt else "",
        "negative": asked.get("negative"),
        "seed": asked.get("seed"),
        "size": f"{asked.get('width')} × {asked.get('height')}" if asked.get("width") else "",
        "steps": asked.get("steps"),
        "guidance": asked.get("guidance"),
        "sampler": asked.get("sampler"),
        "model": asked.get("model"),
        "loras": "\n".join(loras),
        "dtype": backend.get("dtype") or asked.get("dtype"),
        "device": backend.get("device"),
        "unknown": "、".join(str(w) for w in _list(recipe.get("unknown_words"))[:50]),
        "app": recipe.get("app"),
        "hashes": "\n".join(f"{k} {v}" for k, v in list(_object(recipe.get("hashes")).items())[:16]),
    }
    return {k: str(v)[:_LONG] for k, v in told.items() if v not in (None, "")}
