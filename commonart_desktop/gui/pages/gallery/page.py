"""The Images page: find, view, compare, rate and vary everything that was generated."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.pages.gallery.actions import GalleryActions
from commonart_desktop.gui.pages.gallery.filter_bar import EmptyState, FilterBar, SizeBar
from commonart_desktop.gui.pages.gallery.folders import GalleryFolders
from commonart_desktop.gui.pages.gallery.grid_view import GalleryView
from commonart_desktop.gui.pages.gallery.index import Chosen
from commonart_desktop.gui.pages.gallery.library import Library
from commonart_desktop.gui.pages.gallery.model import ImagesModel
from commonart_desktop.gui.pages.gallery.side_panel import SidePanel
from commonart_desktop.gui.pages.gallery.viewer import Viewer
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError
from engine.contract.paths import home


def _stop(library: Library, thumbnails: Thumbnails, viewer_stop: Callable[[], None]) -> None:
    library.stop()
    thumbnails.stop()
    viewer_stop()


class GalleryPage(StagedPage):
    """``use_recipe`` carries a recipe for the Make page. ``side.add_section`` takes more sections about an image."""

    use_recipe = Signal(object)  # dict, as engine.contract.recipe builds it

    def make(self, context: Context, *sections: Callable[[Context], Any]) -> Steps:
        self._context, self._sections = context, sections
        self.library = Library(home() / "gallery.db")
        self.thumbnails = Thumbnails(home() / "cache" / "thumbnails")
        self.model = ImagesModel(self.library)
        self.model.setParent(self)
        self.folders = GalleryFolders(context, self.library)
        self.folders.setParent(self)
        self.chosen = Chosen()  # the selection, once it was fetched
        self._selected_ids: list[int] = []
        self._next_row: int | None = None
        self._opening = False  # the viewer, as soon as the selection was fetched
        yield
        yield from self._build()
        self._connect()
        self._restore()

    # building ---------------------------------------------------------------------------------------------------------

    def _build(self) -> Steps:
        self.filters = FilterBar()
        yield
        self.view = GalleryView(self.model, self.thumbnails, int(str(self._context.state.value("gallery/side", 160))))
        self.sizes = SizeBar(self.view.side)
        yield
        self.viewer = Viewer()
        self.empty = EmptyState()
        yield
        self.stack = QStackedWidget()
        for widget in (self.view, self.empty, self.viewer):
            self.stack.addWidget(widget)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["s"])
        column.addWidget(self.filters)
        column.addWidget(self.stack, 1)
        column.addWidget(self.sizes)
        yield
        self.commands = GalleryActions(self._context, self.library, self.stack)
        self.actions_ = self.commands.all
        yield
        self.side = SidePanel(self.actions_)
        yield
        for section in self._sections:
            widget = section(self._context)
            self.side.add_section(widget.title(), widget)
            yield
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.side)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setCollapsible(0, False)
        self.splitter.setSizes([900, 280])
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE["m"], SPACE["m"], SPACE["m"], SPACE["s"])
        row.addWidget(self.splitter)

    def _connect(self) -> None:
        for keys, do in (("Ctrl+F", self.filters.focus_search), ("F5", self.folders.scan_all)):
            action = QAction(
                self, shortcut=QKeySequence(keys), shortcutContext=Qt.ShortcutContext.WidgetWithChildrenShortcut
            )
            action.triggered.connect(do)
            self.addAction(action)
        self.filters.changed.connect(self._ask)
        self.filters.left.connect(self.view.setFocus)
        self.filters.add_folder.connect(lambda: self.folders.ask(self))
        self.filters.remove_folder.connect(self.folders.remove)
        self.filters.again.connect(self.folders.scan_all)
        self.sizes.changed.connect(self.view.set_side)
        self.side.rated.connect(self.commands.rate)
        self.commands.use_recipe.connect(self.use_recipe)
        self.commands.removed.connect(self._remember_row)
        self.actions_["open"].triggered.connect(self.open_viewer)
        self.actions_["compare"].triggered.connect(self.compare)
        self.view.opened.connect(self.open_viewer)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._menu)
        self.view.selectionModel().selectionChanged.connect(self._choose)
        self.viewer.back.connect(self._close_viewer)
        self.viewer.step.connect(self._step)
        self.empty.button.clicked.connect(self._first_action)
        self.model.modelAboutToBeReset.connect(self._remember_selection)
        self.model.answered.connect(self._on_answer)
        self.library.chosen.connect(self._on_chosen)
        self.library.changed.connect(self._choose)
        self.library.folders.connect(lambda found: self.filters.set_folders(found, self.folders.added()))
        self.folders.scan_started.connect(self._show_state)
        self.library.scanned.connect(self._ask)
        self.library.trouble.connect(self._on_trouble)
        stop = partial(_stop, self.library, self.thumbnails, self.viewer.stop)
        self.destroyed.connect(stop)
        if (app := QCoreApplication.instance()) is not None:
            app.aboutToQuit.connect(stop)
        if self.library.renamed is not None:
            QTimer.singleShot(
                0,
                self,
                lambda: self._context.notices.say(
                    self.tr(
                        "The list of images was damaged and has been rebuilt. Stars and ratings are in {path}."
                    ).format(path=self.library.renamed)
                ),
            )

    def _restore(self) -> None:
        state = self._context.state
        self.filters.set_sort(str(state.value("gallery/sort", "newest")))
        if (sizes := state.value("gallery/splitter")) is not None:
            self.splitter.restoreState(sizes)

    def keep(self) -> None:
        """Save the tile size, the sort order and the splitter."""
        state = self._context.state
        state.setValue("gallery/side", self.view.side)
        state.setValue("gallery/sort", self.filters.query().sort)
        state.setValue("gallery/splitter", self.splitter.saveState())

    # what is shown ----------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.model.loaded:
            self.view.setFocus()
            self._ask()
        self.folders.shown()

    def _ask(self, *_: object) -> None:
        self.model.set_query(self.filters.query())

    def _on_trouble(self, error: CommonArtError) -> None:
        if error.__cause__ is None:
            self._context.notices.complain(error)
        else:
            what = (
                self.tr("The list of images cannot be used ({why}).")
                if isinstance(error.__cause__, sqlite3.Error)
                else self.tr("It could not be done ({why}).")
            )
            self._context.notices.say(what.format(why=error.__cause__))

    def _remember_selection(self) -> None:
        self._selected_ids = list(self.view.chosen()[:200])

    def _remember_row(self) -> None:
        self._next_row = (self.view.rows() or [0])[0]

    def _on_answer(self) -> None:
        count, rows = self.model.rowCount(), []
        if not self.view.runs():
            rows = self.model.rows_of(self._selected_ids)
            if self._next_row is not None and count:
                rows = [min(self._next_row, count - 1)]  # the deleted ones were selected until they were removed
                self._next_row = None
        self._selected_ids = []
        if rows:
            self.view.select_rows(rows)
        if not count and self._viewing():
            self._close_viewer()
        self._show_state()
        self._choose()

    def _show_state(self) -> None:
        """Show the grid, or why it is empty."""
        count = self.model.rowCount()
        self.sizes.set_count(count if self.model.loaded else None, scanning=self.folders.scanning)
        self.side.setVisible(bool(count) or self.filters.filtered)  # useless with nothing to select
        if not self._viewing():
            self.stack.setCurrentWidget(self.view if count or not self.model.loaded else self.empty)
            self.empty.show_reason(filtered=self.filters.filtered, scanning=self.folders.scanning)

    def _first_action(self) -> None:
        self.filters.clear() if self.filters.filtered else self._context.go_to("make")

    # the selection ----------------------------------------------------------------------------------------------------

    def _choose(self, *_: object) -> None:
        """Request the selection; until it is here the actions apply to its ids."""
        ids = self.view.chosen()
        if ids != self.chosen.ids:
            self.commands.choose(Chosen(ids))
        self.library.choose(ids)

    def _on_chosen(self, chosen: Chosen) -> None:
        if chosen.ids != self.view.chosen():
            return  # another request is pending
        same = [(p.path, p.mtime) for p in chosen.images] == [(p.path, p.mtime) for p in self.chosen.images]
        self.chosen = chosen
        self.commands.choose(chosen)
        self.side.show_chosen(chosen)
        if self._opening or (self._viewing() and not same):
            self._show_in_viewer(fit=self._opening)

    def _menu(self, at: QPoint) -> None:
        if self.view.runs():
            self.commands.menu().popup(self.view.viewport().mapToGlobal(at))

    # viewing ----------------------------------------------------------------------------------------------------------

    def _viewing(self) -> bool:
        return self.stack.currentWidget() is self.viewer

    def _open(self) -> None:
        """Show the selection in the viewer, now or as soon as it was fetched."""
        self._opening = True
        if self.chosen.ids == self.view.chosen():
            self._show_in_viewer(fit=True)

    def _show_in_viewer(self, *, fit: bool) -> None:
        self._opening = False
        shown = [(p.path, self.thumbnails.peek(p), Path(p.path).name) for p in self.chosen.images]
        if shown:
            self.filters.hide()
            self.stack.setCurrentWidget(self.viewer)
            self.viewer.show_images(shown, fit=fit)
        elif self._viewing():
            self._close_viewer()

    def open_viewer(self) -> None:
        """Show the current image in the viewer."""
        row = self.view.currentIndex().row() if self.view.currentIndex().isValid() else (self.view.rows() or [-1])[0]
        if row >= 0:
            self.view.select_rows([row])
            self._open()

    def compare(self) -> None:
        """Show the two selected images side by side."""
        if len(self.view.rows()) == 2:
            self._open()

    def _step(self, by: int) -> None:
        row = self.view.currentIndex().row() + by
        if 0 <= row < self.model.rowCount():
            self.view.select_rows([row])

    def _close_viewer(self) -> None:
        self.filters.show()
        self.stack.setCurrentWidget(self.view)
        self._show_state()
        self.view.scrollTo(self.view.currentIndex())
        self.view.setFocus()
