"""The queue's side of the Make page: strip, toolbar, table, preview and details."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core import i18n
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.images.image_view import ImageView
from commonart_desktop.gui.pages.queue.after_queue import AfterQueue
from commonart_desktop.gui.pages.queue.commands import QueueCommands
from commonart_desktop.gui.pages.queue.empty_state import EmptyQueue
from commonart_desktop.gui.pages.queue.job_editor import EditPanel
from commonart_desktop.gui.pages.queue.labels import left
from commonart_desktop.gui.pages.queue.preview import Details
from commonart_desktop.gui.pages.queue.selection import KeepCurrent
from commonart_desktop.gui.pages.queue.status_strip import RunStrip
from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from commonart_desktop.gui.pages.queue.table_view import QueueView
from commonart_desktop.gui.pages.queue.view_state import ViewState
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract import events
from engine.contract.errors import CommonArtError, EngineStopped
from engine.contract.ledger.ledger import Ledger, Line, Row
from engine.contract.ledger.schema import STATES

POLL, SEARCH_DELAY, MAX_RESULTS = (
    400,
    250,
    500,
)  # ms between polls of the ledger; ms after the last key; most search results


class QueuePanel(StagedPage):
    """Shows the ledger and lets the user change it. Everything shown comes from the ledger and the engine's events."""

    compose_wanted = Signal()  # the prompt field should get the focus

    def make(self, context: Context) -> Steps:
        self.context, self._engine = context, context.engine
        self.work = TaskQueue(self, "queue", open=partial(Ledger, context.ledger.path), finish=True)
        self.model = LedgerModel(context.ledger.path, context.engine.pace, self)
        self.destroyed.connect(self.model.ledger.close)
        self.strip = RunStrip(context)
        self.view = QueueView(self.model)
        yield
        self.edit = EditPanel()
        yield
        self.preview = ImageView(self.tr("Preview"), self.tr("The image being generated appears here."), fill=True)
        self.preview.setMinimumWidth(96)
        self.details = Details(self.model.labels)
        yield
        self.after = AfterQueue(context, lambda: self.model.poll() is not None and not left(self.model.jobs))
        self.commands = QueueCommands(context, self.model, self.view, self.work, self.strip, self.edit)
        self._stranded, self._live, self._searched = 0, "", 0
        yield
        self._build()
        yield
        self._connect()
        self._state = ViewState(context.state, self.view, self.model, (self.split, self.below), self.states)
        self._top = self._state.restore()
        self._check_stranded()
        self._on_refresh()

    # the parts ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.states = QComboBox(accessibleName=self.tr("Show only"), toolTip=self.tr("Show only images in this state"))
        self.states.addItem(self.tr("all"), None)
        for state in STATES:
            self.states.addItem(theme.icon(state), i18n.tr(state), state)
        self.search = QLineEdit(
            placeholderText=self.tr("Search prompts"),
            accessibleName=self.tr("Search prompts"),
            clearButtonEnabled=True,
            toolTip=self.tr("Search prompts (Ctrl+F)"),
        )
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.setMinimumWidth(96)
        self.search.setMaximumWidth(320)
        self.search.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.tools = QWidget()
        tools = QHBoxLayout(self.tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(SPACE["xs"])
        tools.addWidget(self.commands.toolbar())
        tools.addStretch()
        tools.addWidget(self.states)
        tools.addWidget(self.search, 1)
        self.empty = EmptyQueue()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.view)
        self.stack.addWidget(self.empty)
        self.below = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        self.below.addWidget(self.preview)
        self.below.addWidget(self.details)
        self.below.setStretchFactor(1, 1)
        self.below.setSizes([160, 320])
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.addWidget(self.stack)
        self.split.addWidget(self.below)
        self.split.setCollapsible(0, False)
        self.split.setStretchFactor(0, 1)
        self.split.setSizes([420, 180])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(SPACE["m"], SPACE["m"], SPACE["m"], SPACE["s"])
        outer.setSpacing(SPACE["s"])
        outer.addWidget(self.strip)
        outer.addWidget(self.tools)
        outer.addWidget(self.edit)
        outer.addWidget(self.split, 1)
        outer.addWidget(self.after)

    def _connect(self) -> None:
        context = self.context
        self.model.refreshed.connect(self._on_refresh)
        self.model.modelReset.connect(self._on_rows)
        self.model.trouble.connect(context.notices.complain)
        self.work.failed.connect(context.notices.complain)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.strip.wanted.connect(self.run)
        self.commands.wanted.connect(self.run)
        self.commands.search_wanted.connect(self.search.setFocus)
        self.empty.compose_wanted.connect(self._compose)
        self.empty.all_wanted.connect(self._show_all)
        self.details.copy_wanted.connect(self.commands.actions["copy_error"].trigger)
        self.states.currentIndexChanged.connect(self._on_state)
        self._search_timer = QTimer(self, singleShot=True, interval=SEARCH_DELAY)
        self._search_timer.timeout.connect(self._search)
        self.search.textChanged.connect(lambda: self._search_timer.start())
        context.engine.event.connect(self.model.on_event)
        context.engine.event.connect(self._on_event)
        context.engine.state.connect(self._on_engine)
        self._poll_timer = QTimer(self, interval=POLL)
        self._poll_timer.timeout.connect(self.model.poll)
        self._poll_timer.start()
        self._slow = QTimer(self, interval=3000)  # a worker of another window may die without an event
        self._slow.timeout.connect(self._show_strip)
        self._slow.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._top:  # the table has its height only now
            QTimer.singleShot(0, self, self._scroll_back)

    def _scroll_back(self) -> None:
        self.view.verticalScrollBar().setValue(self._top)
        self._top = 0

    def keep(self) -> None:
        """Save columns, sizes, expanded jobs, the filter and the scroll position."""
        self._state.save()

    # starting and pausing -----------------------------------------------------------------------------------------

    def run(self, what: str) -> None:
        """``start``, ``go_on``, ``pause`` or ``resume``."""
        if what == "start":
            self._start(resume=False)
        elif what == "go_on":
            self._stranded = 0
            self._start(resume=True)
        elif what == "pause":
            self.work.submit(Ledger.pause, None, True, done=self._after_write)
        elif what == "resume":
            self.work.submit(Ledger.pause, None, False, done=self._resumed)

    def _resumed(self, _: Any) -> None:
        self._after_write(None)
        if not self._engine.running and not self._stranded and left(self.model.jobs):
            self._start(resume=False)

    def _start(self, *, resume: bool) -> None:
        try:
            self._engine.start(resume=resume)
        except OSError as e:
            self.context.notices.complain(EngineStopped(why=e.strerror or str(e)))
        self._show_strip()

    def _after_write(self, _: Any) -> None:
        self.model.poll()

    def _check_stranded(self) -> None:
        def take(rows: list[Row]) -> None:
            self._stranded = len(rows) if not self._engine.running else 0
            self._show_strip()

        self.work.submit(Ledger.stranded, done=take)

    # keeping up ---------------------------------------------------------------------------------------------------

    def _on_refresh(self) -> None:
        if self._stranded and not any(j.running for j in self.model.jobs):
            self._stranded = 0
        self._show_strip()
        self._on_rows()
        self._on_selection()
        if self.model.searching and not self._search_timer.isActive():
            self._search_timer.start(1500)

    def _on_rows(self) -> None:
        """Show the table, or a text where it would be empty."""
        empty = self.model.rowCount() == 0
        for part in (self.tools, self.below, self.after):
            part.setVisible(bool(self.model.jobs))
        self.empty.show_reason(has_jobs=bool(self.model.jobs))
        self.stack.setCurrentIndex(int(empty))

    def _show_strip(self) -> None:
        try:
            paused, reason = self.model.ledger.paused()
        except CommonArtError:
            return  # the next poll reports it
        self.strip.update_from(
            self.model.jobs, paused=paused, reason=reason, running=self._engine.running, stranded=self._stranded
        )

    def _on_engine(self, state: str) -> None:
        if state in ("off", "dead"):
            self._live = ""
            self._check_stranded()
            self._on_selection()
        self._show_strip()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.preview:
            self._live = event.preview
            self.preview.show_file(
                event.preview, self.tr("step {step}/{steps}").format(step=event.step, steps=event.steps)
            )
        elif isinstance(event, (events.Idle, events.Paused)) and self._live:
            self._live = ""
            self._on_selection()

    def _on_selection(self, *_: object) -> None:
        item, count = self.commands.selected()
        ranges = self.view.ranges()
        self.details.show_item(self.model.item(ranges[0][0]) if count == 1 else None, count)
        self.commands.enable()
        if not self._live:
            path = item.path if isinstance(item, Line) and count == 1 and item.state == "done" and item.path else ""
            if path != self.preview.path:
                self.preview.show_file(
                    path, self.tr("seed {seed}").format(seed=item.seed) if path and isinstance(item, Line) else ""
                )

    # filter and search --------------------------------------------------------------------------------------------

    def _on_state(self) -> None:
        with self._keep_current():
            self.model.set_state(self.states.currentData())
        if self.search.text().strip():
            self._search()

    def _search(self) -> None:
        text = self.search.text().strip()
        self._searched += 1
        if not text:
            with self._keep_current():
                self.model.set_results(None)
            return
        mine = self._searched

        def take(rows: list[Row]) -> None:
            if mine == self._searched:
                with self._keep_current():
                    self.model.set_results(rows)

        self.work.submit(lambda ledger: ledger.search(text, self.model.state, MAX_RESULTS), done=take)

    def _keep_current(self) -> KeepCurrent:
        return KeepCurrent(self.model, self.view)

    def _compose(self) -> None:
        self.context.go_to("make")
        self.compose_wanted.emit()

    def _show_all(self) -> None:
        self.search.clear()
        self.states.setCurrentIndex(0)


__all__ = ["QueuePanel"]
