"""The additional folders in which LoRAs of checked images are searched: a button with a menu."""

from __future__ import annotations

import json

from PySide6.QtCore import QSettings, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton

from commonart_desktop.gui.style.theme import icon

KEY = "verify/loras"  # in context.state: a JSON list


def folders_in(value: object) -> list[str]:
    """The list as it is stored; empty for anything else."""
    try:
        found = json.loads(str(value))
    except ValueError:
        return []
    return [f for f in found if isinstance(f, str)] if isinstance(found, list) else []


class LoraFolders(QPushButton):
    """``changed`` is emitted when a folder was added or removed."""

    changed = Signal()

    def __init__(self, state: QSettings) -> None:
        super().__init__(icon("models"), self.tr("LoRA folders"))
        self._state = state
        self.setToolTip(self.tr("Where to look for the LoRAs of the images, beside the program's own LoRA folder"))
        self.setMenu(QMenu(self))
        self._fill()

    def folders(self) -> list[str]:
        """The folders that the user added."""
        return folders_in(self._state.value(KEY))

    def put(self, folders: list[str]) -> None:
        """Set the folders."""
        if folders != self.folders():
            self._state.setValue(KEY, json.dumps(list(dict.fromkeys(folders)), ensure_ascii=False))
            self._fill()
            self.changed.emit()

    def ask(self) -> None:
        """Let the user choose another one."""
        folder = QFileDialog.getExistingDirectory(self, self.tr("A folder of LoRAs"))
        if folder:
            self.put([*self.folders(), folder])

    def _fill(self) -> None:
        menu = self.menu()
        menu.clear()
        add = menu.addAction(icon("add"), self.tr("Add a folder of LoRAs…"))
        add.triggered.connect(self.ask)
        if self.folders():
            menu.addSeparator()
        for folder in self.folders():
            action = QAction(icon("close"), self.tr("Forget: {folder}").format(folder=folder.replace("&", "&&")), menu)
            action.triggered.connect(
                lambda _=False, folder=folder: self.put([f for f in self.folders() if f != folder])
            )
            menu.addAction(action)
