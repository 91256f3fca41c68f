"""Messages shown in the window for a while, and the details of an error."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from commonart_desktop.core.i18n import sentence
from engine.contract.errors import CommonArtError
from engine.contract.paths import home
from engine.contract.version import VERSION

if TYPE_CHECKING:
    pass


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
