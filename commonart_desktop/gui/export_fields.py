"""Fields of the Export page: which model, which LoRAs, how precise; and the parts that a bare denoiser lacks."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFileDialog, QLineEdit, QRadioButton, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.gui.compose_fields import ModelChoice, Under, column, row
from commonart_desktop.gui.compose_loras import LoraField
from commonart_desktop.gui.compose_work import Background, ModelInfo
from commonart_desktop.gui.export_work import Exportable, list_exportable, look_at
from commonart_desktop.gui.models_detail import label
from commonart_desktop.gui.theme import icon
from commonart_desktop.gui.tokens import SPACE
from engine.contract.errors import CommonArtError, NotExportable

PRECISIONS = ("fp32", "fp16", "int8")
LACKING = ("missing-part", "wrong-tokenizer")  # kinds of error that a part's folder mends


class ExportModels(ModelChoice):
    """The models of the Make page that are no ONNX folders."""

    def __init__(self, background: Background) -> None:
        self._chosen = False  # by the user, or kept from before
        super().__init__(background)

    def refresh(self) -> None:
        self._background.run(list_exportable, self._on_listed, lambda e: self._on_listed([], e))

    def choose(self, value: str) -> None:
        """Take a model that somebody chose; what ``set_value`` takes is only proposed."""
        self._chosen = True
        self.set_value(value)

    def set_value(self, value: str) -> None:
        self._value = value
        if self._is_folder() and self.info() is None:
            self._background.run(
                lambda: look_at(value), lambda info: self._on_resolved(value, info), self.error.complain
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
            and (self.info() is None and not self._is_folder() or isinstance(self.problem(), NotExportable))
        ):
            self._value = next(
                (value for value, info in self._known.items() if info.problem is None), next(iter(self._known))
            )
        super()._fill()


class ExportLoras(LoraField):
    """LoRAs that are merged into the graphs; there is no other way here."""

    def _show_rows(self) -> None:
        super()._show_rows()
        self.merged.hide()


class PartsField(QWidget):
    """Folders of text encoder and VAE for a model that lacks them; they are tried at once, and remembered when they fit."""

    found = Signal(str, object)  # the model, and what is known of it now

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background, self._model = background, ""
        self.encoder, self.vae, self.error = (
            QLineEdit(accessibleName=self.tr("Text encoder folder")),
            QLineEdit(accessibleName=self.tr("VAE folder")),
            Under(),
        )
        self.encoder.setPlaceholderText(self.tr("Text encoder folder"))
        self.vae.setPlaceholderText(self.tr("VAE folder"))
        rows = []
        for field, title in (
            (self.encoder, self.tr("Choose the text encoder folder")),
            (self.vae, self.tr("Choose the VAE folder")),
        ):
            button = QToolButton(icon=icon("folder"), toolTip=title, accessibleName=title)
            button.clicked.connect(lambda _=False, field=field, title=title: self._browse(field, title))
            field.editingFinished.connect(self._try)
            rows.append(row(field, button))
        self.setLayout(column(*rows, self.error))
        self._tried: tuple[str, str, str] = ("", "", "")

    def show_model(self, model: str, lacking: bool) -> None:
        """Another model; what was given belongs to the last one."""
        if model != self._model:
            self._model = model
            for field in (self.encoder, self.vae):
                field.clear()
            self.error.tell("")
        self.setVisible(lacking or bool(self.encoder.text() or self.vae.text()))

    def value(self) -> tuple[str, str]:
        return self.encoder.text().strip(), self.vae.text().strip()

    def _browse(self, field: QLineEdit, title: str) -> None:
        dialog = QFileDialog(self, title, field.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda folder: (field.setText(folder), self._try()))
        dialog.open()

    def _try(self) -> None:
        model, (encoder, vae) = self._model, self.value()
        if (model, encoder, vae) == self._tried or not (encoder or vae):
            return
        self._tried = (model, encoder, vae)
        self._background.run(
            lambda: look_at(model, encoder, vae),
            lambda info: self._on_tried((model, encoder, vae), info),
            self.error.complain,
        )

    def _on_tried(self, tried: tuple[str, str, str], info: Exportable) -> None:
        if tried == self._tried and tried[0] == self._model:
            self.error.tell("")
            if info.problem is None:
                self.found.emit(self._model, info)
            elif not (info.problem.kind == "missing-part" and not all(tried)):  # the other one is still to come
                self.error.complain(info.problem)


class PrecisionField(QWidget):
    """fp32, fp16 or int8, each with what it costs."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        costs = {
            "fp32": self.tr("Four bytes a number. The same pictures as PyTorch; the largest files."),
            "fp16": self.tr("Two bytes a number. Half the size, for graphics cards; pictures differ by rounding."),
            "int8": self.tr(
                "One byte a weight of text encoder and denoiser. Smallest, fastest on processors; "
                "pictures differ visibly, by how much is measured."
            ),
        }
        self.buttons: dict[str, QRadioButton] = {}
        self._group = QButtonGroup(self)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["xs"])
        for name in PRECISIONS:
            button = self.buttons[name] = QRadioButton(name, accessibleDescription=costs[name])
            self._group.addButton(button)
            told = label(costs[name], "hint")
            told.setIndent(SPACE["xl"])
            whole.addWidget(button)
            whole.addWidget(told)
            button.toggled.connect(lambda on: on and self.changed.emit())
        self.buttons["fp32"].setChecked(True)

    def value(self) -> str:
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def set_value(self, name: object) -> None:
        if name in self.buttons:
            self.buttons[str(name)].setChecked(True)


def problem_of(models: ExportModels, loras: LoraField) -> tuple[QWidget, CommonArtError] | None:
    """The field to correct before anything can be exported."""
    for field, problem in ((models.combo, models.problem()), (loras.combo, loras.problem())):
        if problem is not None:
            return field, problem
    return None
