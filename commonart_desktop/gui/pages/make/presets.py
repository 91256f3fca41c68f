"""Named settings: built-in ones, and the user's in ``presets/NAME.toml`` of the data folder."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QApplication, QComboBox, QLineEdit, QPushButton, QToolButton, QWidget

from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.widgets.fields import FieldHint, column, roomy, row
from engine.contract.errors import BadFile, CommonArtError, Phrase
from engine.contract.files import as_our_error, replacing
from engine.contract.paths import home, resources
from engine.contract.request import ImageRequest

#: the settings in a preset and their types; no paths except those of LoRAs outside the LoRA folder
KEYS: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "negative": (str,),
    "shape": (str,),
    "width": (int,),
    "height": (int,),
    "steps": (int,),
    "guidance": (int, float),
    "sampler": (str,),
    "preset": (str,),
    "loras": (list,),
    "lora_merged": (bool,),
    "count": (int,),
    "name": (str,),
    "format": (str,),
    "dtype": (str,),
    "deterministic": (bool,),
}
_NAME = re.compile(r'[^<>:"/\\|?*\x00-\x1f\x7f.][^<>:"/\\|?*\x00-\x1f\x7f]{0,59}')


@dataclass(frozen=True)
class Preset:
    """Named settings. ``path`` is None for a built-in one."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None


def read(path: Path) -> dict[str, Any]:
    """A preset file's settings.

    Raises:
        BadFile, BadValue, UnknownSampler: an invalid key or value.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise BadFile(path=path, why=e.strerror or str(e)) from e
    except ValueError as e:
        raise BadFile(path=path, why=Phrase("it is not TOML ({reason})", reason=e)) from e
    for key, value in data.items():
        if not (isinstance(value, KEYS.get(key, ())) and (isinstance(value, bool) == (KEYS[key] == (bool,)))):
            raise BadFile(
                path=path, why=Phrase("there is no setting {key}; known are {known}", key=key, known=", ".join(KEYS))
            )
    ImageRequest(prompt="", seed=0, **{k: v for k, v in data.items() if k not in ("shape", "count")})
    return data


def built_in() -> list[Preset]:
    """The built-in presets, the fastest first."""
    titles = {
        "draft": QApplication.translate("presets", "Draft"),
        "normal": QApplication.translate("presets", "Normal"),
        "careful": QApplication.translate("presets", "Careful"),
    }
    presets = []
    for path in (resources() / "presets").glob("*.toml"):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        name = data.pop("name")
        presets.append(Preset(titles.get(path.stem, name), data))
    return sorted(presets, key=lambda p: p.values["steps"])


def folder() -> Path:
    return home() / "presets"


def of_user() -> tuple[list[Preset], list[CommonArtError]]:
    """The user's presets by name, and the errors of files that cannot be used."""
    presets: list[Preset] = []
    wrong: list[CommonArtError] = []
    for path in sorted(folder().glob("*.toml")):
        try:
            presets.append(Preset(path.stem, read(path), path))
        except CommonArtError as e:
            wrong.append(e)
    return presets, wrong


def save(name: str, values: dict[str, Any]) -> Path:
    """Write a preset; one of the same name is replaced. Raises OutputFolder, DiskFull."""
    path = folder() / f"{name}.toml"
    # a JSON string is a TOML basic string but for DEL, and JSON's numbers and true are TOML's
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}\n".replace("\x7f", "") for k, v in values.items() if k in KEYS]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise as_our_error(e, path.parent) from e
    with replacing(path) as f:
        f.write("".join(lines).encode("utf-8"))
    return path


class PresetBar(QWidget):
    """Choose, save and delete presets. ``current`` returns the values of the form; ``chosen`` carries those to set."""

    chosen = Signal(dict)

    def __init__(self, current: Callable[[], dict[str, Any]], notices: Notices) -> None:
        super().__init__()
        self._current, self._notices = current, notices
        self._presets: list[Preset] = []
        self.combo = roomy(QComboBox(accessibleName=self.tr("Preset")))
        self.save_button = QToolButton(
            icon=icon("add"),
            accessibleName=self.tr("Save as a preset"),
            toolTip=self.tr("Save these settings as a preset"),
        )
        self.delete_button = QToolButton(
            icon=icon("trash"), accessibleName=self.tr("Delete the preset"), toolTip=self.tr("Delete the preset")
        )
        self.name = QLineEdit(
            accessibleName=self.tr("Name of the preset"), placeholderText=self.tr("Name of the preset"), maxLength=60
        )
        self.keep_button = QPushButton(self.tr("Save"))
        self.error = FieldHint()
        self._naming = row(self.name, self.keep_button)
        self._naming.hide()
        self.setLayout(column(row(self.combo, self.save_button, self.delete_button), self._naming, self.error))
        self.combo.activated.connect(self._on_activated)
        self.save_button.clicked.connect(self._ask_name)
        self.delete_button.clicked.connect(self._delete)
        self.keep_button.clicked.connect(self._save)
        self.name.returnPressed.connect(self._save)
        self.reload()

    def reload(self) -> None:
        """Read the presets again; files that cannot be used are reported."""
        mine, wrong = of_user()
        self._presets = [*built_in(), *mine]
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItem(self.tr("Own settings"), None)
            for n, preset in enumerate(self._presets):
                if preset.path is not None and self._presets[n - 1].path is None:
                    self.combo.insertSeparator(self.combo.count())
                self.combo.addItem(preset.name, n)
                self.combo.setItemData(self.combo.count() - 1, preset.name, Qt.ItemDataRole.ToolTipRole)
        self.follow()
        if wrong:
            self.error.complain(wrong[0])

    def follow(self) -> None:
        """Show the preset that the form matches, if any; preferably the one shown before."""
        now = self._current()
        agree = [n for n, p in enumerate(self._presets) if all(now.get(k) == v for k, v in p.values.items())]
        shown = self.combo.currentData()
        n = shown if shown in agree else max(agree, default=None, key=lambda n: len(self._presets[n].values))
        self.combo.setCurrentIndex(0 if n is None else self.combo.findData(n))
        self.delete_button.setEnabled(n is not None and self._presets[n].path is not None)

    def _on_activated(self, _: int) -> None:
        n = self.combo.currentData()
        if n is not None:
            self.chosen.emit(dict(self._presets[n].values))
        self.follow()

    def _ask_name(self) -> None:
        self._naming.setVisible(not self._naming.isVisibleTo(self))
        self.error.tell("")
        self.name.setFocus()

    def _save(self) -> None:
        name = self.name.text().strip()
        if not _NAME.fullmatch(name) or name.endswith("."):
            self.error.tell(
                self.tr("A name needs at least one letter, and none of {signs}").format(signs='< > : " / \\ | ? *')
            )
            return
        try:
            path = save(name, self._current())
        except CommonArtError as e:
            self.error.complain(e)
            return
        self._naming.hide()
        self.name.clear()
        self.error.tell("")
        self.reload()
        n = next(n for n, p in enumerate(self._presets) if p.path == path)
        self.combo.setCurrentIndex(self.combo.findData(n))
        self.follow()

    def _delete(self) -> None:
        n = self.combo.currentData()
        preset = self._presets[n] if n is not None else None
        if preset is None or preset.path is None:
            return
        try:
            preset.path.unlink(missing_ok=True)
        except OSError as e:
            self._notices.complain(BadFile(path=preset.path, why=e.strerror or str(e)))
            return
        self.combo.setCurrentIndex(0)
        self.reload()
        self._notices.say(
            self.tr("The preset {name} was deleted").format(name=preset.name),
            "",
            self.tr("Undo"),
            lambda: self._bring_back(preset),
        )

    def _bring_back(self, preset: Preset) -> None:
        try:
            save(preset.name, preset.values)
        except CommonArtError as e:
            self._notices.complain(e)
        self.reload()
