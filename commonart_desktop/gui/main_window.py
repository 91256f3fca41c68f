"""The frame: side bar, pages built when they are first shown, a quiet bar for news, the status line, Ctrl+K and F1.

Pages are listed in ``pages.py``; the window knows none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QCloseEvent, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QMainWindow, QSizePolicy, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.gui.actions import Deed, deeds_of, native
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.engine import error_of
from commonart_desktop.gui.finder import Finder
from commonart_desktop.gui.in_turns import InTurns, StagedPage, Steps, at_once
from commonart_desktop.gui.notice_bar import NoticeBar
from commonart_desktop.gui.theme import dress, icon, islands
from commonart_desktop.gui.tokens import SPACE
from engine.contract import events
from engine.contract.errors import from_wire

LEAVE = "engine/leave_working"  # in context.state: "true", "false", or not there: not asked yet


class MainWindow(QMainWindow):
    """Pages by name, in the order of the side bar."""

    built = Signal(str, object)  # a page was made: its name and the widget

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("CommonArt Desktop")
        self.setMinimumSize(1024, 640)
        self.pages: dict[str, QWidget] = {}  # those built so far
        self.titles: dict[str, str] = {}  # of every page
        self._builders: dict[str, Callable[[], StagedPage]] = {}
        self._loaders: dict[str, Callable[[], object]] = {}  # of pages that are to be loaded before they are built
        self._openings: dict[str, InTurns] = {}  # of pages being built
        self._pending: dict[str, list[Callable[[Any], None]]] = {}  # what waits for a page
        self._undressed: set[str] = set()  # pages that still wear the last theme
        self._wanted = ""  # the page shown, or to be shown as soon as it is there
        self._buttons_of: dict[str, QToolButton] = {}
        self._own: list[QAction] = []
        self._asked_to_close = False
        self._unlisted: list[str] = []  # pages that the finder does not know yet
        self._listing: Callable[[Deed], bool] = lambda deed: True  # what the finder wants of them
        self._stack = QStackedWidget()
        self._blank = QWidget()  # stands in for a page while it is built, and keeps the keys from the one before
        self._keeper = QWidget(self._blank, focusPolicy=Qt.FocusPolicy.TabFocus)
        self._stack.addWidget(self._blank)
        self._side = QFrame(objectName="side")
        self._buttons = QVBoxLayout(self._side)
        self._buttons.setContentsMargins(SPACE["s"], SPACE["m"], SPACE["s"], SPACE["m"])
        self._buttons.setSpacing(SPACE["s"])
        self._group = QButtonGroup(self, exclusive=True)
        self.notice = NoticeBar()
        self.status = QLabel()
        self.find_button, self.keys_button = QToolButton(icon=icon("search")), QToolButton(icon=icon("keyboard"))
        self._foot = QFrame(objectName="status")
        line = QHBoxLayout(self._foot)
        line.setContentsMargins(SPACE["m"], 0, SPACE["s"], 0)
        line.addWidget(self.status)
        line.addStretch()
        line.addWidget(self.find_button)
        line.addWidget(self.keys_button)
        upper = QHBoxLayout()
        upper.setSpacing(0)
        upper.addWidget(self._side)
        upper.addWidget(self._stack, 1)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(upper, 1)
        column.addWidget(self.notice)
        column.addWidget(self._foot)
        self.setCentralWidget(whole)
        self.finder: Finder | None = None  # made when it is first wanted
        self._context: Context | None = None

    # pages --------------------------------------------------------------------------------------------------------

    def add_page(self, name: str, title: str, icon_name: str, build: Callable[[], StagedPage], load: Callable[[], object] = lambda: None) -> None:
        """Put a page at the end of the side bar; ``build`` begins it when it is first shown. ``load`` does beforehand what a thread can do."""
        number = len(self._builders) + 1
        self._builders[name], self._loaders[name], self.titles[name] = build, load, title
        button = QToolButton(text=title, checkable=True, icon=icon(icon_name), accessibleName=title)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setMinimumWidth(max(72, button.fontMetrics().horizontalAdvance(title) + 2 * SPACE["s"]))  # a fixed one hides Qt's own
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
        if name not in self.pages:
            self._open(name).finish()
        return self.pages[name]

    def go_to(self, name: str) -> None:
        """Show a page, as soon as it is there: one that was never shown is built in turns."""
        self._wanted = name
        self._buttons_of[name].setChecked(True)
        if name in self.pages:
            if name in self._undressed:
                at_once(self._dress_page(name))
            self._stack.setCurrentWidget(self.pages[name])
        else:
            self._keeper.setAccessibleName(self.titles[name])
            self._stack.setCurrentWidget(self._blank)
            self._open(name)

    def prepare(self, name: str, then: Callable[[Any], None] = lambda page: None) -> None:
        """Have a page built in the turns to come, without showing it; ``then`` gets it, at once if it is there."""
        if name in self.pages:
            then(self.pages[name])
        else:
            self._pending.setdefault(name, []).append(then)
            self._open(name)

    def first_page(self, name: str) -> Steps:
        """Build the page that is shown when the window comes."""
        self._wanted = name
        yield from self._make(name)
        self.built.emit(name, self.pages[name])
        self.go_to(name)

    def _finish_pages(self) -> None:
        """No page is left half made."""
        for turns in list(self._openings.values()):
            turns.finish()

    def settled(self) -> bool:
        """Whether no page is being built."""
        return not self._openings

    def _open(self, name: str) -> InTurns:
        """Begin to build a page, unless that has begun."""
        if name not in self._openings:
            self._openings[name] = turns = InTurns(self._make(name), self)
            turns.over.connect(lambda: self._on_opened(name))
        return self._openings[name]

    def _make(self, name: str) -> Steps:
        """Load, build, dress and measure a page, each part in a turn, out of sight."""
        load = self._loaders.pop(name, None)
        if load is not None:
            thread = threading.Thread(target=load, name="page")
            thread.start()
            yield thread
        page = self._builders[name]()
        yield
        yield from page.making
        page.hide()
        self._stack.addWidget(page)
        yield
        for island in islands(page):
            dress(island)
            yield
        page.setGeometry(self._stack.contentsRect())
        layout = page.layout()
        if layout is not None:
            layout.activate()
        self.pages[name] = page

    def _on_opened(self, name: str) -> None:
        del self._openings[name]
        self.built.emit(name, self.pages[name])
        for then in self._pending.pop(name, []):
            then(self.pages[name])
        if self._wanted == name:
            self.go_to(name)
        if self.finder is not None and self.finder.isVisible():
            self._unlisted.append(name)
            QTimer.singleShot(1, self, self._list_more)

    def current(self) -> str:
        """The name of the page shown, or about to be."""
        return self._wanted

    # looks --------------------------------------------------------------------------------------------------------

    def dress(self) -> Steps:
        """Put the theme in force on everything, part by part: what is in sight first, behind a still picture, then the other pages."""
        self._finish_pages()
        self._undressed = set(self.pages)
        self.setUpdatesEnabled(False)
        try:
            yield
            for part in (self._side, self.notice, self._foot, *([self.finder] if self.finder else [])):
                dress(part)
                yield
            if self._wanted in self.pages:
                yield from self._dress_page(self._wanted)
        finally:
            self.setUpdatesEnabled(True)
        for name in list(self._undressed):
            yield
            if name in self._undressed:
                yield from self._dress_page(name)

    def _dress_page(self, name: str) -> Steps:
        for island in islands(self.pages[name]):
            dress(island)
            yield
        self._undressed.discard(name)

    def clear_away(self) -> Steps:
        """Before another window takes this one's place: keep everything, then take the pages down behind a still picture, one a turn."""
        self.setUpdatesEnabled(False)
        self._finish_pages()
        self.keep()
        self.rest()
        for name in list(self.pages):
            yield
            self.pages.pop(name).deleteLater()
        yield

    def keep(self) -> None:
        """Store where the window is, and what the pages hold."""
        if self._context is None:
            return  # kept already
        self._context.state.setValue("window/geometry", self.saveGeometry())
        self._context.state.setValue("window/page", self.current())
        for page in self.pages.values():
            if hasattr(page, "keep"):
                page.keep()

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
        for button, name, keys, do in ((self.find_button, self.tr("Find an action"), "Ctrl+K", self.find_action),
                                       (self.keys_button, self.tr("Keyboard shortcuts"), "F1", self.show_shortcuts)):
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
        geometry = context.state.value("window/geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        else:
            self.resize(1280, 800)

    def _act(self, name: str, keys: str, do: Callable[[], object]) -> None:
        action = QAction(name, self)
        if keys:
            action.setShortcut(QKeySequence(keys))
        action.triggered.connect(lambda: do())
        self.addAction(action)
        self._own.append(action)

    def rest(self) -> None:
        """The ledger is about to close: ask it nothing more."""
        self._finish_pages()
        self._timer.stop()
        self._context = None

    # finding ------------------------------------------------------------------------------------------------------

    def deeds(self) -> list[Deed]:
        """What can be done on the page shown, then everywhere."""
        here = self.current()
        found = list(deeds_of(self.pages[here], here)) if here in self.pages else []
        return found + [Deed(a.text(), "", native(a.shortcut()), a.trigger) for a in self._own]

    def find_action(self) -> None:
        """Ctrl+K."""
        self._open_finder(self.tr("Find an action"), self.tr("Type what you want to do"), lambda deed: True)

    def show_shortcuts(self) -> None:
        """F1."""
        self._open_finder(self.tr("Keyboard shortcuts"), self.tr("Search the shortcuts"), lambda deed: bool(deed.keys))

    def ready_finder(self) -> Finder:
        """The finder, made if it was not there yet; not shown."""
        if self.finder is None:
            self.finder = Finder(self)
            dress(self.finder)
            self.finder.chosen.connect(self._do)
        return self.finder

    def _open_finder(self, title: str, hint: str, listing: Callable[[Deed], bool]) -> None:
        finder = self.ready_finder()
        self._listing = listing
        self._unlisted = [n for n in self.titles if n in self.pages and n != self.current()]
        finder.open(title, hint, [d for d in self.deeds() if listing(d)], self.titles)
        QTimer.singleShot(1, self, self._list_more)  # once it is on the screen

    def _list_more(self) -> None:
        """One page after the other while the finder is open, so that it knows all: built and listed in turns, keys in between."""
        if self.finder is None or not self.finder.isVisible():
            return
        if self._unlisted:
            name = self._unlisted.pop(0)
            self.finder.add([d for d in deeds_of(self.pages[name], name) if self._listing(d)])
            QTimer.singleShot(1, self, self._list_more)
        elif not self._openings:
            left = next((n for n in self._builders if n not in self.pages), None)
            if left is not None:
                self._open(left)  # told of when it is there

    def _do(self, deed: Deed) -> None:
        if deed.page:
            self.go_to(deed.page)  # it is there: the deed is its own
        deed.run()

    # the engine ---------------------------------------------------------------------------------------------------

    def _on_event(self, event: events.Event) -> None:
        if self._context is None:
            return
        if isinstance(event, events.Broken):
            engine = self._context.engine
            self._context.notices.complain(error_of(event), self.tr("Restart the engine"), lambda: engine.start(resume=True))
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
        words = {"off": self.tr("engine off"), "starting": self.tr("engine starting"), "working": self.tr("engine working"),
                 "idle": self.tr("engine ready"), "paused": self.tr("paused"), "dead": self.tr("engine stopped")}
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
            context.notices.say(self.tr("The engine is at work. Close the window again to stop it after the picture in hand; nothing that waits is lost."),
                                "", self.tr("Leave it working and close"), self._leave_and_close)
            return
        self.keep()
        super().closeEvent(event)

    def _must_ask(self, context: Context) -> bool:
        """The first time somebody closes the window over work; the settings remember an answer. Never while the system ends."""
        return (context.engine.now == "working" and context.state.value(LEAVE) is None and not self._asked_to_close
                and not (isinstance(app := QGuiApplication.instance(), QGuiApplication) and app.isSavingSession()))

    def _leave_and_close(self) -> None:
        assert self._context is not None
        self._context.state.setValue(LEAVE, "true")
        self.close()
