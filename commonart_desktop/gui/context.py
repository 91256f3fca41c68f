"""What every page is given: nothing is global."""

from __future__ import annotations

import json
import platform
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSettings, Signal

from commonart_desktop.core.home import home
from commonart_desktop.core.i18n import sentence
from commonart_desktop.core.settings import Settings, load_settings, save_settings
from engine.contract.errors import BadFile, CommonArtError
from engine.contract.queue import Ledger
from engine.contract.version import VERSION

if TYPE_CHECKING:
    from commonart_desktop.gui.engine import Engine


class Notices(QObject):
    """News for the quiet bar at the bottom: ``asked(text, hint, action text, action)``, and for errors ``detailed`` after it."""

    asked = Signal(str, str, str, object)
    detailed = Signal(str)  # what is known of the error just told, for somebody who can help

    def say(self, text: str, hint: str = "", action: str = "", do: Callable[[], None] | None = None) -> None:
        """Show a sentence, with a button if ``action`` is given (Undo, Restart)."""
        self.asked.emit(text, hint, action, do)

    def complain(self, error: CommonArtError, action: str = "", do: Callable[[], None] | None = None) -> None:
        """Show an error and what to do, in the user's language."""
        text, hint = sentence(error)
        self.say(text, hint, action, do)
        self.detailed.emit(details(error))


def details(error: CommonArtError) -> str:
    """An error as text to pass on: told, then as data, then the last lines of the engine's log."""
    lines = [
        *filter(None, sentence(error)),
        "",
        json.dumps(error.to_wire(), ensure_ascii=False, default=str),
        f"CommonArt Desktop {VERSION}, Python {platform.python_version()}, {platform.platform()}",
    ]
    try:
        with (home() / "logs" / "worker.log").open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - 4000))
            tail = log.read().decode("utf-8", "replace").splitlines()[-20:]
        lines += ["", "worker.log:", *tail] if tail else []
    except OSError:
        pass  # there is none
    return "\n".join(lines)


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


@dataclass(frozen=True)
class Context:
    """One window's parts. ``state`` keeps sizes, columns and drafts between starts."""

    ledger: Ledger
    engine: Engine
    settings: SettingsStore
    notices: Notices
    state: QSettings
    go_to: Callable[[str], None]  # show a page by its name: see pages.py

    @property
    def out(self) -> Path:
        """The output folder by the settings, absolute."""
        return Path(self.settings.now.out).expanduser().absolute()
