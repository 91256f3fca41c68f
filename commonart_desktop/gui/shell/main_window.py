"""The frame: side bar, pages, a quiet bar for news, the status line, Ctrl+K and F1.

Pages are listed in ``pages.py``; the window knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QLocale, Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.worker_process import error_of
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.shell.command_index import CommandIndex
from commonart_desktop.gui.shell.commands import Command
from commonart_desktop.gui.shell.notification_bar import NotificationBar
from commonart_desktop.gui.shell.page_stack import PageStack
from commonart_desktop.gui.style.theme import apply_style, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.shortcuts import native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract import events
from engine.contract.errors import from_wire

LEAVE = "engine/leave_working"  # in context.state: "true", "false", or not there: not asked yet


class MainWindow(QMainWindow):
    """Pages by name, in the order of the side bar."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("CommonArt Desktop")
        self.setMinimumSize(1024, 640)
        self.stack = PageStack()
        self.pages, self.titles = self.stack.pages, self.stack.titles  # those built so far; of every page
        self.finding = CommandIndex(
            self,
            self.stack,
            lambda: [Command(a.text(), "", native(a.shortcut()), a.trigger) for a in self._own],
            self.go_to,
        )
        self._buttons_of: dict[str, QToolButton] = {}
        self._own: list[QAction] = []
        self._asked_to_close = False
        self._side = QFrame(objectName="side")
        self._buttons = QVBoxLayout(self._side, spacing=SPACE["s"])
        self._buttons.setContentsMargins(SPACE["s"], SPACE["m"], SPACE["s"], SPACE["m"])
        self._group = QButtonGroup(self, exclusive=True)
        self.notice = NotificationBar()
        self.status = QLabel()
        self.find_button, self.keys_button = QToolButton(icon=icon("search")), QToolButton(icon=icon("keyboard"))
        self._foot = QFrame(objectName="status")
        line = QHBoxLayout(self._foot)
        line.setContentsMargins(SPACE["m"], 0, SPACE["s"], 0)
        line.addWidget(self.status)
        line.addStretch()
        line.addWidget(self.find_button)
        line.addWidget(self.keys_button)
        upper = QHBoxLayout(spacing=0)
        upper.addWidget(self._side)
        upper.addWidget(self.stack, 1)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(upper, 1)
        column.addWidget(self.notice)
        column.addWidget(self._foot)
        self.setCentralWidget(whole)
        self._context: Context | None = None

    # pages --------------------------------------------------------------------------------------------------------

    def add_page(
        self,
        name: str,
        title: str,
        icon_name: str,
        build: Callable[[], StagedPage],
        load: Callable[[], object] = lambda: None,
    ) -> None:
        """Put a page at the end of the side bar; ``build`` begins it when it is first shown. ``load`` does beforehand what a thread can do."""
        self.stack.add(name, title, build, load)
        number = len(self.titles)
        button = QToolButton(text=title, checkable=True, icon=icon(icon_name), accessibleName=title)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setMinimumWidth(
            max(72, button.fontMetrics().horizontalAdvance(title) + 2 * SPACE["s"])
        )  # a fixed one hides Qt's own
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        keys = f"Ctrl+{number}" if number < 10 else ""
        button.setToolTip(f"{title} ({native(keys)})" if keys else title)
        button.clicked.connect(lambda: self.go_to(name))
        self._act(self.tr("Go to: {page}").format(page=title), keys, lambda: self.go_to(name))
        self._group.addButton(button)
        self._buttons_of[name] = button
        self._buttons.addWidget(button)

    def page(self, name: str) -> QWidget:
        """A page, whole: built at once if it was not there yet."""
        return self.stack.page(name)

    def go_to(self, name: str) -> None:
        """Show a page, as soon as it is there."""
        self._buttons_of[name].setChecked(True)
        self.stack.go_to(name)

    def first_page(self, name: str) -> Steps:
        """Build the page that is shown when the window comes."""
        yield from self.stack.first(name)
        self.go_to(name)

    def settled(self) -> bool:
        """Whether no page is being built."""
        return self.stack.settled()

    def current(self) -> str:
        """The name of the page shown, or about to be."""
        return self.stack.wanted()

    # looks --------------------------------------------------------------------------------------------------------

    def dress(self) -> Steps:
        """Put the theme in force on everything, part by part: what is in sight first, behind a still picture, then the other pages."""
        self.stack.undress()
        self.setUpdatesEnabled(False)
        try:
            yield
            for part in (self._side, self.notice, self._foot, *([self.finding.finder] if self.finding.finder else [])):
                apply_style(part)
                yield
            yield from self.stack.dress_shown()
        finally:
            self.setUpdatesEnabled(True)
        yield from self.stack.dress_others()

    def clear_away(self) -> Steps:
        """Before another window takes this one's place: keep everything, then take the pages down behind a still picture, one a turn."""
        self.setUpdatesEnabled(False)
        self.stack.finish()
        self.keep()
        self.rest()
        yield
        yield from self.stack.clear()

    def keep(self) -> None:
        """Store where the window is, and what the pages hold."""
        if self._context is None:
            return  # kept already
        self._context.state.setValue("window/geometry", self.saveGeometry())
        self._context.state.setValue("window/page", self.current())
        self.stack.keep()

    # starting -----------------------------------------------------------------------------------------------------

    def finish(self, context: Context) -> None:
        """All pages are named: listen to the engine."""
        self._buttons.addStretch()
        self._context = context
        self.notice.listen(context.notices)
        context.engine.state.connect(self._show_status)
        context.engine.event.connect(self._on_event)
        self._timer = QTimer(self, interval=2000)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        for button, name, keys, do in (
            (self.find_button, self.tr("Find an action"), "Ctrl+K", self.find_action),
            (self.keys_button, self.tr("Keyboard shortcuts"), "F1", self.show_shortcuts),
        ):
            self._act(name, keys, do)
            button.setToolTip(f"{name} ({native(keys)})")
            button.setAccessibleName(name)
            button.clicked.connect(do)
        self._act(self.tr("Close the window"), "Ctrl+Q", self.close)
        self._act(self.tr("Light theme"), "", lambda: context.settings.put(theme="light"))
        self._act(self.tr("Dark theme"), "", lambda: context.settings.put(theme="dark"))
        self._act("日本語", "", lambda: context.settings.put(language="ja"))
        self._act("English", "", lambda: context.settings.put(language="en"))
        self._show_status()
        self.resize(1280, 800)
        geometry = context.state.value("window/geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)

    def _act(self, name: str, keys: str, do: Callable[[], object]) -> None:
        action = QAction(name, self)
        if keys:
            action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: do())
        self.addAction(action)
        self._own.append(action)

    def rest(self) -> None:
        """The ledger is about to close: ask it nothing more."""
        self.stack.finish()
        self._timer.stop()
        self._context = None

    # finding ------------------------------------------------------------------------------------------------------

    def find_action(self) -> None:
        """Ctrl+K."""
        self.finding.open(self.tr("Find an action"), self.tr("Type what you want to do"), lambda deed: True)

    def show_shortcuts(self) -> None:
        """F1."""
        self.finding.open(self.tr("Keyboard shortcuts"), self.tr("Search the shortcuts"), lambda deed: bool(deed.keys))

    # the engine ---------------------------------------------------------------------------------------------------

    def _on_event(self, event: events.Event) -> None:
        if self._context is None:
            return
        if isinstance(event, events.Broken):
            engine = self._context.engine
            self._context.notices.complain(
                error_of(event), self.tr("Restart the engine"), lambda: engine.start(resume=True)
            )
        elif isinstance(event, events.Paused) and event.error:
            self._context.notices.complain(from_wire(event.error))

    def _tick(self) -> None:
        if self._context is not None:
            self._context.engine.look()
            self._show_status()

    def _show_status(self, *_: object) -> None:
        context = self._context
        if context is None:
            return
        words = {
            "off": self.tr("engine off"),
            "starting": self.tr("engine starting"),
            "working": self.tr("engine working"),
            "idle": self.tr("engine ready"),
            "paused": self.tr("paused"),
            "dead": self.tr("engine stopped"),
        }
        marks = {"off": "○", "starting": "◐", "working": "●", "idle": "●", "paused": "‖", "dead": "!"}
        counts = context.ledger.counts()
        left = counts["waiting"] + counts["running"]
        parts = [f"{marks[context.engine.now]} {words[context.engine.now]}"]
        if context.engine.device:
            parts.append(context.engine.device)
        locale = QLocale()
        if left:
            parts.append(self.tr("{count} left").format(count=locale.toString(left)))
        pace = context.engine.pace()
        if pace:
            parts.append(self.tr("about {count} pictures/h").format(count=locale.toString(round(pace))))
            if left and context.engine.now == "working":
                done = time.localtime(time.time() + left / pace * 3600)
                parts.append(self.tr("done at about {time}").format(time=time.strftime("%H:%M", done)))
        text = "  ·  ".join(parts)
        if text != self.status.text():
            self.status.setText(text)

    # closing ------------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        context = self._context
        if context is not None and self._must_ask(context):
            self._asked_to_close = True
            event.ignore()
            context.notices.say(
                self.tr(
                    "The engine is at work. Close the window again to stop it after the picture in hand; nothing that waits is lost."
                ),
                "",
                self.tr("Leave it working and close"),
                self._leave_and_close,
            )
            return
        self.keep()
        super().closeEvent(event)

    def _must_ask(self, context: Context) -> bool:
        """The first time somebody closes the window over work; the settings remember an answer. Never while the system ends."""
        return (
            context.engine.now == "working"
            and context.state.value(LEAVE) is None
            and not self._asked_to_close
            and not (isinstance(app := QGuiApplication.instance(), QGuiApplication) and app.isSavingSession())
        )

    def _leave_and_close(self) -> None:
        assert self._context is not None
        self._context.state.setValue(LEAVE, "true")
        self.close()
