"""The Make page: the prompt on the left, the queue on the right."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSplitter

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make.compose_panel import ComposePanel
from commonart_desktop.gui.pages.queue.panel import QueuePanel
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.staged_page import StagedPage

SIZES = "make/splitter"  # in context.state


class MakePage(StagedPage):
    """``compose`` and ``queue`` side by side."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self.compose = ComposePanel(context, in_turns=True)
        yield from self.compose.making
        yield
        self.queue = QueuePanel(context, in_turns=True)
        yield from self.queue.making
        yield
        self.queue.compose_wanted.connect(self.compose.prompt.setFocus)
        self.splitter = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False, handleWidth=SPACE["xs"])
        self.splitter.addWidget(self.compose)
        self.splitter.addWidget(self.queue)
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([400, 800])
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)
        sizes = context.state.value(SIZES)
        if sizes is not None:
            self.splitter.restoreState(sizes)

    def keep(self) -> None:
        """Save drafts and sizes."""
        self._context.state.setValue(SIZES, self.splitter.saveState())
        for part in (self.compose, self.queue):
            if hasattr(part, "keep"):
                part.keep()
