"""The settings that the window is using, with a signal when they change."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from commonart_desktop.core.settings import read_settings
from commonart_desktop.core.settings_save import save_settings


class SettingsStore(QObject):
    """The settings in force; ``changed`` after each change, which is saved at once."""

    changed = Signal()
    kept = Signal(str)  # a copy of settings.toml, made before a file that could not be read was written over

    def __init__(self) -> None:
        super().__init__()
        self.read = read_settings()  # as the window found them; the file is left alone until something is changed here
        self.now = self.read.settings

    def put(self, **values: str) -> None:
        """Change some settings. Raises OutputFolder, DiskFull, BadFile if they cannot be saved; they are in force all the same."""
        self.now = replace(self.now, **values)
        try:
            kept = save_settings(self.now)
        finally:
            self.changed.emit()
        if kept is not None:
            self.kept.emit(str(kept))
