"""LoRAs of a job: chosen from the LoRA folder or any file, several at once, each with its strength."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.core.process import program
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, column, pad, roomy
from engine.contract.errors import AmbiguousLora, CommonArtError, UnknownLora, from_wire

MOST = 16  # of one picture, as the contract has it
STRONGEST = 2.0


@dataclass(frozen=True)
class LoraInfo:
    """A LoRA of this machine, or what is wrong with its file."""

    name: str
    path: str
    about: str = ""  # its licences and trigger words, as far as its file tells
    problem: CommonArtError | None = None


def _about(entry: dict[str, Any]) -> str:
    licences = entry.get("licences")
    told = [
        ", ".join(sorted(licences)) if isinstance(licences, dict) else "",
        *(str(entry.get(k) or "") for k in ("licence", "trigger")),
    ]
    return " · ".join(dict.fromkeys(t for t in told if t))


def list_loras() -> tuple[str, list[LoraInfo]]:
    """The LoRA folder, and what is in it. Raises CommonArtError."""
    answer = program("engine.checkpoint", ["loras"])
    return str(answer.get("folder", "")), [
        LoraInfo(one["name"], one["path"], _about(one), from_wire(one["problem"]) if one.get("problem") else None)
        for one in answer["loras"]
    ]


class LoraField(QWidget):
    """``value`` and ``set_value`` are lists of (name or file, scale)."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, LoraInfo] | None = None  # by name; None: not listed yet
        self._folder = ""
        self._chosen: list[list[Any]] = []  # [name or file, scale]
        self.combo = roomy(QComboBox(accessibleName=self.tr("Add a LoRA")))
        self.merged = QCheckBox(
            self.tr("Added into the weights"), toolTip=self.tr("Faster. Otherwise LoRAs run beside the weights.")
        )
        self.merged.setChecked(True)
        self.rows = QWidget()
        self._grid = QGridLayout(self.rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(SPACE["s"])
        self._grid.setColumnStretch(0, 1)
        self.scales: list[QDoubleSpinBox] = []
        self.removers: list[QToolButton] = []
        self.error = FieldHint()
        self.setLayout(column(self.combo, self.rows, self.merged, self.error))
        self.combo.activated.connect(self._on_activated)
        self.merged.toggled.connect(lambda _: self.changed.emit())
        self._fill()
        self._show_rows()
        self.refresh()

    def refresh(self) -> None:
        """List the LoRAs anew, in the background."""
        Task(self, lambda task: list_loras(), done=self._on_listed, failed=self._on_unlisted)

    def _on_listed(self, found: tuple[str, list[LoraInfo]]) -> None:
        self._folder = found[0]
        self._known = {}
        for one in found[1]:
            self._known[one.name] = one
        self._fill()
        self._show_rows()

    def _on_unlisted(self, error: CommonArtError) -> None:
        self._fill()
        self.error.complain(error)

    # values -----------------------------------------------------------------------------------------------------------

    def value(self) -> list[list[Any]]:
        return [list(pair) for pair in self._chosen]

    def set_value(self, pairs: Any) -> None:
        """Take (name or file, scale) pairs; what is none is passed over."""
        good = (
            [
                p
                for p in pairs
                if isinstance(p, (list, tuple))
                and len(p) == 2
                and isinstance(p[0], str)
                and p[0]
                and isinstance(p[1], (int, float))
                and not isinstance(p[1], bool)
            ]
            if isinstance(pairs, (list, tuple))
            else []
        )
        self._chosen = [[name, min(max(float(scale), 0.0), STRONGEST)] for name, scale in good[:MOST]]
        self._show_rows()
        self.changed.emit()

    def add(self, name: str, scale: float = 1.0) -> None:
        """One more, by its name in the LoRA folder or as a file; one that is there already stays as it is."""
        name = next((one.name for one in (self._known or {}).values() if one.path == name), name)
        if len(self._chosen) < MOST and all(name != there for there, _ in self._chosen):
            self.set_value([*self._chosen, [name, scale]])

    def remove(self, at: int) -> None:
        self.set_value(self._chosen[:at] + self._chosen[at + 1 :])

    def problem(self) -> CommonArtError | None:
        """Why one of them cannot be used; None also while that is not known."""
        for name, _ in self._chosen:
            info = (self._known or {}).get(name.removesuffix(".safetensors"))
            if info is not None and info.problem is not None:
                return info.problem
            same = [known for known in self._known or {} if known.rpartition("/")[2] == name]
            if info is None and len(same) > 1:
                return AmbiguousLora(name=name, count=len(same), known=", ".join(same))
            if info is None and not Path(name).exists() and (Path(name).is_absolute() or self._known is not None):
                return UnknownLora(name=name, folder=self._folder, known=", ".join(list(self._known or {})[:8]) or "–")
        return None

    # showing ----------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItem(self.tr("Add a LoRA…"), None)
            for one in (self._known or {}).values():
                self.combo.addItem(one.name, one.name)
                self.combo.setItemData(
                    self.combo.count() - 1,
                    "\n".join(filter(None, (one.path, one.about, sentence(one.problem)[0] if one.problem else ""))),
                    Qt.ItemDataRole.ToolTipRole,
                )
            self.combo.addItem(self.tr("Other file…"), "")
            self.combo.addItem(self.tr("Look again"), "\0")
        self.combo.setToolTip(
            self.tr("LoRAs lie in {folder}; a .safetensors file can also be dropped here.").format(
                folder=self._folder or "…"
            )
        )

    def _show_rows(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().hide()
                item.widget().deleteLater()
        self.scales, self.removers = [], []
        for n, (name, scale) in enumerate(self._chosen):
            short = name if name in (self._known or {}) else Path(name).name.removesuffix(".safetensors")
            info = (self._known or {}).get(name)
            text = QLabel(
                short,
                textFormat=Qt.TextFormat.PlainText,
                toolTip="\n".join(filter(None, (name, info.about if info else ""))),
            )
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            box = QDoubleSpinBox(
                minimum=0,
                maximum=STRONGEST,
                singleStep=0.05,
                decimals=2,
                value=scale,
                focusPolicy=Qt.FocusPolicy.StrongFocus,
                accessibleName=self.tr("Strength of {name}").format(name=short),
                toolTip=self.tr("Strength, 0 to 2"),
            )
            pad(box)
            box.valueChanged.connect(lambda value, n=n: self._on_scale(n, value))
            button = QToolButton(
                icon=icon("close"),
                accessibleName=self.tr("Remove {name}").format(name=short),
                toolTip=self.tr("Remove {name}").format(name=short),
            )
            button.clicked.connect(lambda _=False, n=n: self.remove(n))
            self.scales.append(box)
            self.removers.append(button)
            for at, widget in enumerate((text, box, button)):
                self._grid.addWidget(widget, n, at)
        self.rows.setVisible(bool(self._chosen))
        self.merged.setVisible(bool(self._chosen))
        problem = self.problem()
        if problem is not None:
            self.error.complain(problem)
        else:
            self.error.tell("")

    def _on_scale(self, at: int, value: float) -> None:
        self._chosen[at][1] = round(value, 4)
        self.changed.emit()

    def _on_activated(self, index: int) -> None:
        value = self.combo.itemData(index)
        self.combo.setCurrentIndex(0)
        if value == "\0":
            self.refresh()
        elif value:
            self.add(value)
        elif value == "":
            dialog = QFileDialog(self, self.tr("Choose a LoRA file"), self._folder, "LoRA (*.safetensors)")
            dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.fileSelected.connect(self.add)
            dialog.open()
