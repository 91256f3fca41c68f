"""The middle of the window: pages by name, each built in turns when it is first wanted, one of them shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from commonart_desktop.gui.background.incremental import IncrementalBuild, Steps, at_once
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.style.theme import apply_style, style_roots
from commonart_desktop.gui.widgets.staged_page import StagedPage


class PageStack(QStackedWidget):
    """Knows no page before it is told of by ``add``."""

    built = Signal(str, object)  # a page was made: its name and the widget
    opened = Signal(str)  # the same, after all who waited for it had it

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, QWidget] = {}  # those built so far
        self.titles: dict[str, str] = {}  # of every page
        self.loaders: dict[str, Callable[[], object]] = {}  # of pages that are to be loaded before they are built
        self._builders: dict[str, Callable[[], StagedPage]] = {}
        self._openings: dict[str, IncrementalBuild] = {}  # of pages being built
        self._pending: dict[str, list[Callable[[Any], None]]] = {}  # what waits for a page
        self._undressed: set[str] = set()  # pages that still wear the last theme
        self._wanted = ""  # the page shown, or to be shown as soon as it is there
        self._blank = QWidget()  # stands in for a page while it is built, and keeps the keys from the one before
        self._keeper = QWidget(self._blank, focusPolicy=Qt.FocusPolicy.TabFocus)
        self.addWidget(self._blank)

    def add(self, name: str, title: str, build: Callable[[], StagedPage], load: Callable[[], object]) -> None:
        """``build`` begins the page when it is first wanted; ``load`` does beforehand what a thread can do."""
        self._builders[name], self.loaders[name], self.titles[name] = build, load, title

    # showing ----------------------------------------------------------------------------------------------------------

    def wanted(self) -> str:
        """The name of the page shown, or about to be."""
        return self._wanted

    def page(self, name: str) -> QWidget:
        """A page, whole: built at once if it was not there yet."""
        if name not in self.pages:
            self.open(name).finish()
        return self.pages[name]

    def go_to(self, name: str) -> None:
        """Show a page, as soon as it is there: one that was never shown is built in turns."""
        self._wanted = name
        if name in self.pages:
            if name in self._undressed:
                at_once(self._dress_page(name))
            self.setCurrentWidget(self.pages[name])
        else:
            self._cover()
            self.open(name)

    def _cover(self) -> None:
        self._keeper.setAccessibleName(self.titles.get(self._wanted, ""))
        self.setCurrentWidget(self._blank)

    def uncover(self) -> Steps:
        """For a window that comes into sight whole: it does so without its page, which follows, so that neither turn takes long."""
        self._cover()
        yield
        self.go_to(self._wanted)
        yield

    def prepare(self, name: str, then: Callable[[Any], None] = lambda page: None) -> None:
        """Have a page built in the turns to come, without showing it; ``then`` gets it, at once if it is there."""
        if name in self.pages:
            then(self.pages[name])
        else:
            self._pending.setdefault(name, []).append(then)
            self.open(name)

    def first(self, name: str) -> Steps:
        """Build the page that is shown when the window comes."""
        self._wanted = name
        yield from self._make(name)
        self.built.emit(name, self.pages[name])

    # building ---------------------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        """Whether no page is being built."""
        return not self._openings

    def missing(self) -> str | None:
        """The first page that is not built yet."""
        return next((n for n in self._builders if n not in self.pages), None)

    def finish(self) -> None:
        """No page is left half made."""
        for turns in list(self._openings.values()):
            turns.finish()

    def open(self, name: str) -> IncrementalBuild:
        """Begin to build a page, unless that has begun."""
        if name not in self._openings:
            self._openings[name] = turns = IncrementalBuild(self._make(name), self)
            turns.over.connect(lambda: self._on_opened(name))
        return self._openings[name]

    def _make(self, name: str) -> Steps:
        """Load, build, dress and measure a page, each part in a turn, out of sight."""
        load = self.loaders.pop(name, None)
        if load is not None:
            yield Task(self, lambda task: load(), name="page", finish_at_exit=True)
        page = self._builders[name]()
        yield
        yield from page.making
        page.hide()
        self.addWidget(page)
        yield
        for island in style_roots(page):
            apply_style(island)
            yield
        page.setGeometry(self.contentsRect())
        layout = page.layout()
        if layout is not None:
            layout.activate()
        yield
        self.pages[name] = page

    def _on_opened(self, name: str) -> None:
        del self._openings[name]
        self.built.emit(name, self.pages[name])
        for then in self._pending.pop(name, []):
            then(self.pages[name])
        if self._wanted == name:
            self.setUpdatesEnabled(False)  # it is laid out in this turn and painted in another
            QTimer.singleShot(1, self, lambda: self.setUpdatesEnabled(True))
            self.go_to(name)
        self.opened.emit(name)

    # looks and end ----------------------------------------------------------------------------------------------------

    def undress(self) -> None:
        """Another theme is in force: none of the pages wears it yet."""
        self.finish()
        self._undressed = set(self.pages)

    def dress_shown(self) -> Steps:
        """Put it on the page shown."""
        if self._wanted in self.pages:
            yield from self._dress_page(self._wanted)

    def dress_others(self) -> Steps:
        """Put it on the other pages; one that is wanted before its turn is dressed then."""
        for name in list(self._undressed):
            yield
            if name in self._undressed:
                yield from self._dress_page(name)

    def _dress_page(self, name: str) -> Steps:
        for island in style_roots(self.pages[name]):
            apply_style(island)
            yield
        self._undressed.discard(name)

    def keep(self) -> None:
        """Every page stores what it holds."""
        for page in self.pages.values():
            if hasattr(page, "keep"):
                page.keep()

    def clear(self) -> Steps:
        """Take the pages down, one a turn."""
        self.setCurrentWidget(self._blank)  # or each one's end would lay the next out and show it
        for name in list(self.pages):
            yield
            self.pages.pop(name).deleteLater()
        yield
