"""A page that is built in parts, so that the window stays responsive."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.background.incremental import Steps, at_once
from commonart_desktop.gui.context import Context


class StagedPage(QWidget):
    """A page, or a large part of one, that is made in parts. Made by itself it is whole at once; with ``in_turns`` it is empty until ``making`` has been run."""

    def __init__(self, context: Context, *more: Any, in_turns: bool = False) -> None:
        super().__init__()
        self.making = self.make(context, *more)
        if not in_turns:
            at_once(self.making)

    def make(self, context: Context, *more: Any) -> Steps:
        """Build it, of what it was given; each part between two yields should take less than 20 ms."""
        raise NotImplementedError
