"""The main window: side bar, pages, notification bar, status line, Ctrl+K and F1.

The pages are listed in ``pages.py``; the window imports none of them.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
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
from commonart_desktop.gui.shell.status_line import StatusLine
from commonart_desktop.gui.style.theme import apply_style, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.shortcuts import native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract import events
from engine.contract.errors import from_wire

LEAVE = "engine/leave_working"  # in context.state: "true", "false", or missing: not asked yet


class MainWindow(QMainWindow):
    """Shows pages by name, in the order of the side bar."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("CommonArt Desktop")
        self.setMinimumSize(1024, 640)
        self.stack = PageStack()
        self.pages, self.titles = self.stack.pages, self.stack.titles  # of the pages built so far; of every page
        self.command_index = CommandIndex(
            self,
            self.stack,
            lambda: [Command(a.text(), "", native(a.shortcut()), a.trigger) for a in self._global_actions],
            self.go_to,
        )
        self._button_of: dict[str, QToolButton] = {}
        self._global_actions: list[QAction] = []
        self._asked_to_close = False
        self._side = QFrame(objectName="side")
        self._buttons = QVBoxLayout(self._side, spacing=SPACE["s"])
        self._buttons.setContentsMargins(SPACE["s"], SPACE["m"], SPACE["s"], SPACE["m"])
        self._group = QButtonGroup(self, exclusive=True)
        self.notice = NotificationBar()
        self.status_line = StatusLine()
        upper = QHBoxLayout(spacing=0)
        upper.addWidget(self._side)
        upper.addWidget(self.stack, 1)
        central = QWidget()
        column = QVBoxLayout(central)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(upper, 1)
        column.addWidget(self.notice)
        column.addWidget(self.status_line)
        self.setCentralWidget(central)
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
        """Append a page to the side bar.

        ``build`` creates it when it is first shown; ``load``, in a thread, does what can be done before.
        """
        self.stack.add(name, title, build, load)
        number = len(self.titles)
        button = QToolButton(text=title, checkable=True, icon=icon(icon_name), accessibleName=title)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        # no fixed width: that would override Qt's own minimum
        button.setMinimumWidth(max(72, button.fontMetrics().horizontalAdvance(title) + 2 * SPACE["s"]))
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        keys = f"Ctrl+{number}" if number < 10 else ""
        button.setToolTip(f"{title} ({native(keys)})" if keys else title)
        button.clicked.connect(lambda: self.go_to(name))
        self._add_action(self.tr("Go to: {page}").format(page=title), keys, lambda: self.go_to(name))
        self._group.addButton(button)
        self._button_of[name] = button
        self._buttons.addWidget(button)

    def page(self, name: str) -> QWidget:
        """A page, complete: built synchronously if necessary."""
        return self.stack.page(name)

    def go_to(self, name: str) -> None:
        """Show a page, once it is built."""
        self._button_of[name].setChecked(True)
        self.stack.go_to(name)

    def first_page(self, name: str) -> Steps:
        """Build the page that the window shows first."""
        yield from self.stack.first(name)
        self.go_to(name)

    def settled(self) -> bool:
        """Whether no page is being built."""
        return self.stack.settled()

    def current(self) -> str:
        """The name of the page shown, or about to be."""
        return self.stack.current_name()

    # theme --------------------------------------------------------------------------------------------------------

    def apply_theme(self) -> Steps:
        """Apply the current theme step by step: to what is visible first, with painting suspended, then to other pages."""
        self.stack.mark_unstyled()
        self.setUpdatesEnabled(False)
        try:
            yield
            palette = self.command_index.palette
            for part in (self._side, self.notice, self.status_line, *([palette] if palette else [])):
                apply_style(part)
                yield
            yield from self.stack.style_shown()
        finally:
            self.setUpdatesEnabled(True)
        yield from self.stack.style_others()

    def tear_down(self) -> Steps:
        """Before another window replaces this one: store everything, then delete the pages, with painting suspended."""
        self.setUpdatesEnabled(False)
        self.stack.finish()
        self.keep()
        self.detach()
        yield
        yield from self.stack.clear()

    def keep(self) -> None:
        """Store the geometry of the window, and the state of the pages."""
        if self._context is None:
            return  # stored already
        self._context.state.setValue("window/geometry", self.saveGeometry())
        self._context.state.setValue("window/page", self.current())
        self.stack.keep()

    # starting -----------------------------------------------------------------------------------------------------

    def finish(self, context: Context) -> None:
        """All pages are added: follow the engine."""
        self._buttons.addStretch()
        self._context = context
        self.notice.listen(context.notices)
        context.engine.state.connect(self._show_status)
        context.engine.event.connect(self._on_event)
        self._timer = QTimer(self, interval=2000)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        for button, name, keys, command in (
            (self.status_line.find_button, self.tr("Find an action"), "Ctrl+K", self.find_action),
            (self.status_line.keys_button, self.tr("Keyboard shortcuts"), "F1", self.show_shortcuts),
        ):
            self._add_action(name, keys, command)
            button.setToolTip(f"{name} ({native(keys)})")
            button.setAccessibleName(name)
            button.clicked.connect(command)
        self._add_action(self.tr("Close the window"), "Ctrl+Q", self.close)
        self._add_action(self.tr("Light theme"), "", lambda: context.settings.put(theme="light"))
        self._add_action(self.tr("Dark theme"), "", lambda: context.settings.put(theme="dark"))
        self._add_action("日本語", "", lambda: context.settings.put(language="ja"))
        self._add_action("English", "", lambda: context.settings.put(language="en"))
        self._show_status()
        self.resize(1280, 800)
        geometry = context.state.value("window/geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)

    def _add_action(self, name: str, keys: str, command: Callable[[], object]) -> None:
        action = QAction(name, self)
        if keys:
            action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: command())
        self.addAction(action)
        self._global_actions.append(action)

    def detach(self) -> None:
        """Stop using the context: the ledger is about to close."""
        self.stack.finish()
        self._timer.stop()
        self._context = None

    # commands -----------------------------------------------------------------------------------------------------

    def find_action(self) -> None:
        """Ctrl+K."""
        self.command_index.open(self.tr("Find an action"), self.tr("Type what you want to do"), lambda command: True)

    def show_shortcuts(self) -> None:
        """F1."""
        self.command_index.open(
            self.tr("Keyboard shortcuts"), self.tr("Search the shortcuts"), lambda command: bool(command.keys)
        )

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
        self.status_line.show_status(context)

    # closing ------------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        context = self._context
        if context is not None and self._must_ask(context):
            self._asked_to_close = True
            event.ignore()
            context.notices.say(
                self.tr(
                    "The engine is working. Close the window again to stop it after the current image; nothing that waits "
                    "is lost."
                ),
                "",
                self.tr("Leave it working and close"),
                self._leave_and_close,
            )
            return
        self.keep()
        super().closeEvent(event)

    def _must_ask(self, context: Context) -> bool:
        """Whether to ask: the first time that the window is closed over work, never while the session ends.

        An answer is remembered in the settings.
        """
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
