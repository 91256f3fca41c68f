"""Folders for the parts that a model lacks."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QLineEdit, QToolButton, QWidget

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.widgets.fields import FieldHint, column, row
from commonart_desktop.gui.widgets.model_list import Exportable, inspect_model

LACKING = ("missing-part", "wrong-tokenizer")  # kinds of error that a part's folder mends


class PartsField(QWidget):
    """Folders of text encoder and VAE for a model that lacks them; they are tried at once, and remembered when they fit."""

    found = Signal(str, object)  # the model, and what is known of it now

    def __init__(self) -> None:
        super().__init__()
        self._model = ""
        self.encoder, self.vae, self.error = (
            QLineEdit(accessibleName=self.tr("Text encoder folder")),
            QLineEdit(accessibleName=self.tr("VAE folder")),
            FieldHint(),
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
        Task(
            self,
            lambda task: inspect_model(model, encoder, vae),
            done=lambda info: self._on_tried((model, encoder, vae), info),
            failed=self.error.complain,
        )

    def _on_tried(self, tried: tuple[str, str, str], info: Exportable) -> None:
        if tried == self._tried and tried[0] == self._model:
            self.error.tell("")
            if info.problem is None:
                self.found.emit(self._model, info)
            elif not (info.problem.kind == "missing-part" and not all(tried)):  # the other one is still to come
                self.error.complain(info.problem)
