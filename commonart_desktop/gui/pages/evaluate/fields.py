"""Fields of the Evaluation page: a path that may be left empty, and a list of encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, column, row

MOST_ENCODERS = 16


class PathField(QWidget):
    """A file or folder that may be left empty; a drop on the field types it."""

    changed = Signal()

    def __init__(self, name: str, empty: str, choose: str, filters: str = "") -> None:
        super().__init__()
        self._choose, self._filters = choose, filters  # no filters: a folder
        self.field = QLineEdit(accessibleName=name, placeholderText=empty, toolTip=empty)
        self.button = QToolButton(icon=icon("folder"), toolTip=choose, accessibleName=choose)
        self.error = FieldHint()
        self.setLayout(column(row(self.field, self.button), self.error))
        self.button.clicked.connect(self._browse)
        self.field.textChanged.connect(self._on_text)

    def value(self) -> str:
        """The absolute path, or empty."""
        text = self.field.text().strip().removeprefix("file://")
        return str(Path(text).expanduser().absolute()) if text else ""

    def set_value(self, path: object) -> None:
        self.field.setText(path if isinstance(path, str) else "")

    def _on_text(self, text: str) -> None:
        self.field.setToolTip(text or self.field.placeholderText())
        self.error.tell("")
        self.changed.emit()

    def _browse(self) -> None:
        dialog = QFileDialog(self, self._choose, self.field.text(), self._filters)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile if self._filters else QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.field.setText)
        dialog.open()


class EncoderField(QWidget):
    """Local encoders, as many as wanted: folders, or ONNX files."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._paths: list[str] = []
        self.folder = QPushButton(
            icon("add"), self.tr("Folder…"), toolTip=self.tr("Add a local CLIP, SigLIP or DINO folder")
        )
        self.file = QPushButton(icon("add"), self.tr("ONNX file…"), toolTip=self.tr("Add an encoder as an ONNX file"))
        self.removers: list[QToolButton] = []
        self.rows = QWidget()
        self._grid = QGridLayout(self.rows, spacing=SPACE["s"])
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        buttons = row(self.folder, self.file)
        buttons.layout().setStretch(1, 1)
        self.setLayout(column(self.rows, buttons))
        self.folder.clicked.connect(lambda: self._browse(""))
        self.file.clicked.connect(lambda: self._browse("ONNX (*.onnx)"))
        self._show_rows()

    def value(self) -> list[str]:
        return list(self._paths)

    def set_value(self, paths: Any) -> None:
        """Take paths; what is none is passed over."""
        self._paths = (
            list(dict.fromkeys(p for p in paths if isinstance(p, str) and p))[:MOST_ENCODERS]
            if isinstance(paths, list)
            else []
        )
        self._show_rows()
        self.changed.emit()

    def add(self, path: str) -> None:
        self.set_value([*self._paths, path])

    def _show_rows(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        self.removers = []
        for n, path in enumerate(self._paths):
            text = QLabel(Path(path).name, textFormat=Qt.TextFormat.PlainText, toolTip=path)
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            remove = self.tr("Remove {name}").format(name=Path(path).name)
            button = QToolButton(icon=icon("close"), accessibleName=remove, toolTip=remove)
            button.clicked.connect(lambda _=False, n=n: self.set_value(self._paths[:n] + self._paths[n + 1 :]))
            self.removers.append(button)
            self._grid.addWidget(text, n, 0)
            self._grid.addWidget(button, n, 1)
        self.rows.setVisible(bool(self._paths))

    def _browse(self, filters: str) -> None:
        dialog = QFileDialog(self, self.tr("Choose an encoder"), self._paths[-1] if self._paths else "", filters)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile if filters else QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.add)
        dialog.open()
