"""The licence policy that a dataset is checked against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog


class PolicyField(QComboBox):
    """Commercial use, non-commercial use, or a policy file; ``chosen`` when another one was chosen."""

    chosen = Signal()

    def __init__(self, value: str, folder: Callable[[], str]) -> None:
        super().__init__()
        self.setAccessibleName(self.tr("Policy"))
        self._folder = folder  # where the file dialog starts
        for key, text in (
            ("commercial", self.tr("commercial use")),
            ("noncommercial", self.tr("non-commercial use")),
            ("file", self.tr("policy file…")),
        ):
            self.addItem(text, key)
        if self.findData(value) < 0:
            self._add_file(value)
        self.setCurrentIndex(max(0, self.findData(value)))
        self._last = self.currentIndex()
        self.activated.connect(self._on_activated)

    def value(self) -> str:
        """``commercial``, ``noncommercial`` or a file's path."""
        return str(self.currentData())

    def set_file(self, path: str) -> None:
        """Choose a policy file."""
        if self.findData(path) < 0:
            self._add_file(path)
        self.setCurrentIndex(self.findData(path))
        self._on_activated(self.currentIndex())

    def _add_file(self, path: str) -> None:
        self.insertItem(2, Path(path).name, path)
        self.setItemData(2, path, Qt.ItemDataRole.ToolTipRole)

    def _on_activated(self, index: int) -> None:
        if self.itemData(index) != "file":
            self._last = index
            self.chosen.emit()
            return
        self.setCurrentIndex(self._last)
        dialog = QFileDialog(self, self.tr("Choose a policy file"), self._folder(), "TOML (*.toml)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_file)
        dialog.open()
