"""The settings that the window is using, with a signal when they change."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from commonart_desktop.core.home import home
from commonart_desktop.core.settings import Settings, load_settings, save_settings
from engine.contract.errors import BadFile, CommonArtError

if TYPE_CHECKING:
    pass


class SettingsStore(QObject):
    """The settings in force; ``changed`` after each change, which is saved at once."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.trouble: CommonArtError | None = None  # why settings.toml was put aside
        try:
            self.now = load_settings()
        except BadFile as e:
            self.now, self.trouble = self._rescue(), e

    def _rescue(self) -> Settings:
        """What can be understood of a damaged file, which is kept beside: the next change would write over it."""
        path = home() / "settings.toml"
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            data = {}
        known = {f.name: type(f.default) for f in fields(Settings)}
        good = Settings(**{k: v for k, v in data.items() if k in known and isinstance(v, known[k])})
        try:
            path.replace(path.with_name("settings.broken.toml"))
            save_settings(good)
        except (OSError, CommonArtError):
            pass  # a folder that cannot be written: it is read again, and told of again, at the next start
        return good

    def put(self, **values: str) -> None:
        """Change some settings. Raises BadFile if they cannot be saved; they are in force all the same."""
        self.now = replace(self.now, **values)
        try:
            save_settings(self.now)
        finally:
            self.changed.emit()
