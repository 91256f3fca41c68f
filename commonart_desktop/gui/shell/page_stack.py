"""The central area of the window: pages by name, each built incrementally when first requested, one of them shown."""

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
    """Pages are registered with ``add`` and built on demand."""

    built = Signal(str, object)  # a page was built: its name and the widget
    opened = Signal(str)  # the same, after every callback that waited for it

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, QWidget] = {}  # those built so far
        self.titles: dict[str, str] = {}  # of every page
        self.loaders: dict[str, Callable[[], object]] = {}  # of pages whose modules are not imported yet
        self._builders: dict[str, Callable[[], StagedPage]] = {}
        self._openings: dict[str, IncrementalBuild] = {}  # of pages being built
        self._pending: dict[str, list[Callable[[Any], None]]] = {}  # callbacks that wait for a page
        self._unstyled: set[str] = set()  # pages that still have the previous theme
        self._current = ""  # the page shown, or to be shown once it is built
        self._blank = QWidget()  # shown while a page is built, so that keys do not reach the previous one
        self._focus_holder = QWidget(self._blank, focusPolicy=Qt.FocusPolicy.TabFocus)
        self.addWidget(self._blank)

    def add(self, name: str, title: str, build: Callable[[], StagedPage], load: Callable[[], object]) -> None:
        """``build`` creates the page when it is first requested; ``load``, in a thread, does what can be done before."""
        self._builders[name], self.loaders[name], self.titles[name] = build, load, title

    # showing ----------------------------------------------------------------------------------------------------------

    def current_name(self) -> str:
        """The name of the page shown, or about to be."""
        return self._current

    def page(self, name: str) -> QWidget:
        """A page, complete: built synchronously if necessary."""
        if name not in self.pages:
            self.open(name).finish()
        return self.pages[name]

    def go_to(self, name: str) -> None:
        """Show a page, once it is built: one that was never shown is built incrementally."""
        self._current = name
        if name in self.pages:
            if name in self._unstyled:
                at_once(self._style_page(name))
            self.setCurrentWidget(self.pages[name])
        else:
            self._show_blank()
            self.open(name)

    def _show_blank(self) -> None:
        self._focus_holder.setAccessibleName(self.titles.get(self._current, ""))
        self.setCurrentWidget(self._blank)

    def reveal(self) -> Steps:
        """Show a new window first without its page, then with it, so that neither step takes long."""
        self._show_blank()
        yield
        self.go_to(self._current)
        yield

    def prepare(self, name: str, then: Callable[[Any], None] = lambda page: None) -> None:
        """Build a page incrementally without showing it; ``then`` gets it, at once if it is built already."""
        if name in self.pages:
            then(self.pages[name])
        else:
            self._pending.setdefault(name, []).append(then)
            self.open(name)

    def first(self, name: str) -> Steps:
        """Build the page that the window shows first."""
        self._current = name
        yield from self._build(name)
        self.built.emit(name, self.pages[name])

    # building ---------------------------------------------------------------------------------------------------------

    def settled(self) -> bool:
        """Whether no page is being built."""
        return not self._openings

    def next_unbuilt(self) -> str | None:
        """The first page that is not built yet."""
        return next((n for n in self._builders if n not in self.pages), None)

    def finish(self) -> None:
        """Finish every page that is being built."""
        for build in list(self._openings.values()):
            build.finish()

    def open(self, name: str) -> IncrementalBuild:
        """Start building a page, unless that has started."""
        if name not in self._openings:
            self._openings[name] = build = IncrementalBuild(self._build(name), self)
            build.over.connect(lambda: self._on_opened(name))
        return self._openings[name]

    def _build(self, name: str) -> Steps:
        """Load, build, style and measure a page step by step, hidden."""
        load = self.loaders.pop(name, None)
        if load is not None:
            yield Task(self, lambda task: load(), name="page", finish_at_exit=True)
        page = self._builders[name]()
        yield
        yield from page.making
        page.hide()
        self.addWidget(page)
        yield
        for root in style_roots(page):
            apply_style(root)
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
        if self._current == name:
            self.setUpdatesEnabled(False)  # laid out now and painted in a later event-loop turn
            QTimer.singleShot(1, self, lambda: self.setUpdatesEnabled(True))
            self.go_to(name)
        self.opened.emit(name)

    # theme and end ----------------------------------------------------------------------------------------------------

    def mark_unstyled(self) -> None:
        """The theme has changed: no page has the new one yet."""
        self.finish()
        self._unstyled = set(self.pages)

    def style_shown(self) -> Steps:
        """Apply it to the page shown."""
        if self._current in self.pages:
            yield from self._style_page(self._current)

    def style_others(self) -> Steps:
        """Apply it to the other pages; one that is shown before that is styled when it is shown."""
        for name in list(self._unstyled):
            yield
            if name in self._unstyled:
                yield from self._style_page(name)

    def _style_page(self, name: str) -> Steps:
        for root in style_roots(self.pages[name]):
            apply_style(root)
            yield
        self._unstyled.discard(name)

    def keep(self) -> None:
        """Let every page store its state."""
        for page in self.pages.values():
            if hasattr(page, "keep"):
                page.keep()

    def clear(self) -> Steps:
        """Delete the pages, one per step."""
        self.setCurrentWidget(self._blank)  # otherwise deleting one would lay out and show the next
        for name in list(self.pages):
            yield
            self.pages.pop(name).deleteLater()
        yield
