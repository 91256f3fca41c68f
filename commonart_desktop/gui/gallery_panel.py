"""How the selected picture was made, as text that can be selected."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from PySide6.QtCore import QDateTime, QLocale, Qt
from PySide6.QtWidgets import QFormLayout, QLabel, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from commonart_desktop.core.picture_text import recipe_of
from commonart_desktop.gui.gallery_index import Picture
from commonart_desktop.gui.tokens import SPACE

_LONG = 4000  # letters of one value that are shown


class RecipePanel(QScrollArea):
    """Prompt, settings, model; for a picture of another tool its ``parameters``. Everything is shown as plain text: nothing in a file is trusted."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(self.tr("How it was made"))
        self.values: dict[str, str] = {}  # what is shown, by key
        self._titles = {
            "prompt": self.tr("Prompt"), "template": self.tr("Written as"), "negative": self.tr("Negative prompt"), "seed": self.tr("Seed"),
            "size": self.tr("Size"), "steps": self.tr("Steps"), "guidance": self.tr("Guidance"), "sampler": self.tr("Sampler"),
            "model": self.tr("Model"), "hashes": self.tr("Model hashes"), "dtype": self.tr("Number type"), "unknown": self.tr("Unknown words"),
            "parameters": self.tr("Made by another tool"), "file": self.tr("File"), "made": self.tr("Made")}
        self.setWidget(QWidget())

    def show_recipe(self, picture: Picture | None, prompt: str, text: str, count: int = 1) -> None:
        """Show one picture's, or how many are selected."""
        self.values = {} if picture is None else self._file(picture) if count > 1 else _told(prompt, text) | self._file(picture)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, SPACE["s"], 0)
        column.setSpacing(SPACE["xs"])
        if picture is None or count > 1:
            self.values = {}
            text = self.tr("Select a picture to see how it was made.") if picture is None else \
                self.tr("{count} pictures are selected.").format(count=QLocale().toString(count))
            hint = QLabel(text, wordWrap=True)
            hint.setProperty("role", "muted")
            column.addWidget(hint)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setVerticalSpacing(SPACE["xs"])
        form.setHorizontalSpacing(SPACE["m"])
        for key, value in self.values.items():
            title = QLabel(self._titles[key])
            title.setProperty("role", "muted")
            body = self._line(value) if key == "file" else self._text(value)
            body.setAccessibleName(self._titles[key])
            if key in ("prompt", "template", "negative", "parameters", "file"):
                if column.count():
                    column.addSpacing(SPACE["xs"])
                column.addWidget(title)
                column.addWidget(body)
                if key == "prompt":
                    column.addLayout(form)  # the short ones follow the prompt
            else:
                form.addRow(title, body)
        if form.parent() is None and form.rowCount():
            column.addLayout(form)
        column.addStretch()
        self.takeWidget().deleteLater()
        self.setWidget(whole)
        whole.show()

    @staticmethod
    def _text(value: str) -> QWidget:
        body = QLabel(value, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        body.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard)
        body.setMinimumWidth(40)
        return body

    @staticmethod
    def _line(value: str) -> QWidget:
        """A path has nowhere to break: a line that scrolls."""
        body = QLineEdit(value, readOnly=True, toolTip=html.escape(value))
        body.setCursorPosition(len(value))  # the name is what matters
        return body

    @staticmethod
    def _file(picture: Picture) -> dict[str, str]:
        made = QDateTime.fromMSecsSinceEpoch(picture.mtime // 1_000_000)
        return {"made": QLocale().toString(made, QLocale.FormatType.ShortFormat), "file": str(Path(picture.path))}


def _told(prompt: str, text: str) -> dict[str, str]:
    recipe = recipe_of(text)
    if recipe is None:
        return {"parameters": text[:_LONG]} if text else {}
    asked: dict[str, Any] = recipe["request"]
    backend = recipe.get("backend") if isinstance(recipe.get("backend"), dict) else {}
    hashes = recipe.get("hashes") if isinstance(recipe.get("hashes"), dict) else {}
    unknown = recipe.get("unknown_words") if isinstance(recipe.get("unknown_words"), list) else []
    template = str(asked.get("template") or "")
    told = {
        "prompt": prompt, "template": template if template != prompt else "", "negative": asked.get("negative"), "seed": asked.get("seed"),
        "size": f"{asked.get('width')} × {asked.get('height')}" if asked.get("width") else "", "steps": asked.get("steps"),
        "guidance": asked.get("guidance"), "sampler": asked.get("sampler"), "model": asked.get("model"),
        "hashes": "\n".join(f"{k} {str(v)[:10]}" for k, v in list(hashes.items())[:8]),
        "dtype": (backend or {}).get("dtype") or asked.get("dtype"), "unknown": "、".join(str(w) for w in unknown[:50])}
    return {k: str(v)[:_LONG] for k, v in told.items() if v not in (None, "")}
