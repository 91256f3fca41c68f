"""Choosing a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QWidget,
)

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.widgets.fields import FieldHint, column, roomy
from commonart_desktop.gui.widgets.model_list import (
    ModelInfo,
    inspect_model,
    list_exportable,
    list_models,
    resolve_model,
)
from engine.contract.errors import CommonArtError, NotExportable, UnknownModel


class ModelChoice(QWidget):
    """The model, from what the engine's program lists; it may be any other folder too."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, ModelInfo] | None = None  # by the value that a request would hold; None: not listed yet
        self._folders: dict[str, ModelInfo] = {}  # looked at one by one
        self._value = ""
        self.combo = roomy(QComboBox(accessibleName=self.tr("Model")))
        self.error = FieldHint()
        self.setLayout(column(self.combo, self.error))
        self.combo.activated.connect(self._on_activated)
        self.refresh()

    def refresh(self) -> None:
        """List the models anew, in the background."""
        Task(self, lambda task: list_models(), done=self._on_listed, failed=lambda e: self._on_listed([], e))

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
            Task(
                self,
                lambda task: resolve_model(value),
                done=lambda info: self._on_resolved(value, info),
                failed=self.error.complain,
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


class ExportModels(ModelChoice):
    """The models of the Make page that are no ONNX folders."""

    def __init__(self) -> None:
        self._chosen = False  # by the user, or kept from before
        super().__init__()

    def refresh(self) -> None:
        Task(self, lambda task: list_exportable(), done=self._on_listed, failed=lambda e: self._on_listed([], e))

    def choose(self, value: str) -> None:
        """Take a model that somebody chose; what ``set_value`` takes is only proposed."""
        self._chosen = True
        self.set_value(value)

    def set_value(self, value: str) -> None:
        self._value = value
        if self._is_folder() and self.info() is None:
            Task(
                self,
                lambda task: inspect_model(value),
                done=lambda info: self._on_resolved(value, info),
                failed=self.error.complain,
            )
        self._fill()

    def take(self, value: str, info: ModelInfo) -> None:
        """Something new is known of a model: its parts were given."""
        if self._known is not None and value in self._known:
            self._known[value] = info
        else:
            self._folders[value] = info
        self._fill()

    def _on_activated(self, index: int) -> None:
        self._chosen = self._chosen or self.combo.itemData(index) is not None
        super()._on_activated(index)

    def _fill(self) -> None:
        """A model that was only proposed and cannot be exported makes room for one that can."""
        if (
            not self._chosen
            and self._known
            and ((self.info() is None and not self._is_folder()) or isinstance(self.problem(), NotExportable))
        ):
            self._value = next(
                (value for value, info in self._known.items() if info.problem is None), next(iter(self._known))
            )
        super()._fill()
