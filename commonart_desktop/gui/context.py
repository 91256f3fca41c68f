"""What every page is given: nothing is global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSettings, Signal

from commonart_desktop.core.i18n import sentence
from commonart_desktop.core.settings import Settings, load_settings, save_settings
from engine.contract.errors import BadFile, CommonArtError
from engine.contract.queue import Ledger

if TYPE_CHECKING:
    from commonart_desktop.gui.engine import Engine


class Notices(QObject):
    """News for the quiet bar at the bottom: ``asked(text, hint, action text, action)``."""

    asked = Signal(str, str, str, object)

    def say(self, text: str, hint: str = "", action: str = "", do: Callable[[], None] | None = None) -> None:
        """Show a sentence, with a button if ``action`` is given (Undo, Restart)."""
        self.asked.emit(text, hint, action, do)

    def complain(self, error: CommonArtError) -> None:
        """Show an error and what to do, in the user's language."""
        self.say(*sentence(error))


class SettingsStore(QObject):
    """The settings in force; ``changed`` after each change, which is saved at once."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        try:
            self.now = load_settings()
        except BadFile:
            self.now = Settings()

    def put(self, **values: str) -> None:
        """Change some settings. Raises BadFile if they cannot be saved; they are in force all the same."""
        from dataclasses import replace

        self.now = replace(self.now, **values)
        try:
            save_settings(self.now)
        finally:
            self.changed.emit()


@dataclass(frozen=True)
class Context:
    """One window's parts. ``state`` keeps sizes, columns and drafts between starts."""

    ledger: Ledger
    engine: Engine
    settings: SettingsStore
    notices: Notices
    state: QSettings
    go_to: Callable[[str], None]  # show a page by name: "make", "pictures", "models", "settings"

    @property
    def out(self) -> Path:
        """The output folder by the settings, absolute."""
        return Path(self.settings.now.out).expanduser().absolute()
