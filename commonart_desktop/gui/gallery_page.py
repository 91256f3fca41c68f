"""The Pictures page: everything that was made, to find, look at, compare, rate and make more of."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QItemSelectionModel, QLocale, QMimeData, QPoint, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication, QImage, QKeySequence, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMenu, QPushButton, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from commonart_desktop.core.home import home
from commonart_desktop.core.picture_text import recipe_of
from commonart_desktop.gui.compare import Viewer
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.gallery_bars import FilterBar, SidePanel, SizeBar
from commonart_desktop.gui.gallery_deeds import add_variations, from_bin, to_bin
from commonart_desktop.gui.gallery_index import Picture, Query
from commonart_desktop.gui.gallery_library import Library
from commonart_desktop.gui.gallery_model import PicturesModel
from commonart_desktop.gui.gallery_view import GalleryView
from commonart_desktop.gui.theme import icon
from commonart_desktop.gui.thumbnails import Thumbnails, read_image
from commonart_desktop.gui.tokens import SPACE
from engine.contract import events
from engine.contract.errors import CommonArtError

LOOK_AGAIN = 30.0  # seconds after which showing the page looks through the folders anew


def _stop(library: Library, thumbnails: Thumbnails, viewer_stop: Callable[[], None]) -> None:
    library.stop()
    thumbnails.stop()
    viewer_stop()


class GalleryPage(QWidget):
    """``use_recipe`` carries the recipe whose settings the user wants on the Make page."""

    use_recipe = Signal(object)  # dict, as engine.contract.recipe builds it

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.library = Library(home() / "gallery.db")
        self.thumbnails = Thumbnails(home() / "cache" / "thumbnails")
        self.model = PicturesModel(self.library)
        self.model.setParent(self)
        self._recipe: dict[str, Any] | None = None
        self._prompt = ""
        self._looked = 0.0
        self._scanning = False
        self._kept_ids: list[int] = []
        self._next_row: int | None = None
        self._build()
        self._connect()
        self._restore()
        self._show_selection()

    # building ---------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.filters = FilterBar()
        self.view = GalleryView(self.model, self.thumbnails, int(str(self._context.state.value("gallery/side", 160))))
        self.sizes = SizeBar(self.view.side)
        self.viewer = Viewer()
        self.hint = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.hint_title = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.hint_title.setProperty("role", "title")
        self.hint_button = QPushButton()
        self.hint_button.setProperty("main", True)
        empty = QWidget()
        column = QVBoxLayout(empty)
        column.setSpacing(SPACE["m"])
        column.addStretch(2)
        column.addWidget(self.hint_title)
        column.addWidget(self.hint)
        column.addWidget(self.hint_button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(3)
        self.stack = QStackedWidget()
        for widget in (self.view, empty, self.viewer):
            self.stack.addWidget(widget)
        self._empty = empty
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["s"])
        column.addWidget(self.filters)
        column.addWidget(self.stack, 1)
        column.addWidget(self.sizes)
        self._make_actions()
        self.side = SidePanel(self.actions_)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.side)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setCollapsible(0, False)
        self.splitter.setSizes([900, 280])
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE["m"], SPACE["m"], SPACE["m"], SPACE["s"])
        row.addWidget(self.splitter)

    def _action(self, name: str, text: str, keys: str, icon_name: str, do: Callable[[], object]) -> QAction:
        action = QAction(icon(icon_name), text, self)
        if keys:
            action.setShortcut(QKeySequence(keys))
            action.setToolTip(f"{text} ({action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)})")
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda: do())
        self.stack.addAction(action)  # only here: letters typed into the search field stay letters
        self.actions_[name] = action
        return action

    def _make_actions(self) -> None:
        self.actions_: dict[str, QAction] = {}
        self._action("use", self.tr("Use these settings"), "Ctrl+U", "make", self.use_settings)
        self._action("variations", self.tr("Make variations"), "Ctrl+R", "add", self.make_variations)
        self._action("open", self.tr("View"), "", "pictures", self.open_viewer)
        self._action("compare", self.tr("Compare two"), "C", "compare", self.compare)
        self._action("star", self.tr("Star"), "S", "star", self.star)
        self._action("copy_prompt", self.tr("Copy prompt"), "Ctrl+Shift+C", "copy", self.copy_prompt)
        self._action("copy", self.tr("Copy picture"), "Ctrl+C", "pictures", self.copy_picture)
        self._action("folder", self.tr("Open folder"), "Ctrl+O", "folder", self.open_folder)
        self._action("trash", self.tr("Move to the recycle bin"), "Delete", "trash", self.delete)
        for n in range(6):
            text = self.tr("Rating {n}").format(n=n) if n else self.tr("No rating")
            self._action(f"rate{n}", text, str(n), "star", partial(self.rate, n)).setIconVisibleInMenu(False)

    def _connect(self) -> None:
        for keys, do in (("Ctrl+F", self.filters.focus_search), ("F5", self.look_through)):
            action = QAction(self, shortcut=QKeySequence(keys), shortcutContext=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(do)
            self.addAction(action)
        self.filters.asked.connect(self._ask)
        self.filters.left.connect(self.view.setFocus)
        self.filters.add_folder.connect(self._choose_folder)
        self.filters.remove_folder.connect(self.remove_folder)
        self.filters.again.connect(self.look_through)
        self.sizes.changed.connect(self.view.set_side)
        self.side.rated.connect(self.rate)
        self.view.opened.connect(self.open_viewer)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._menu)
        self.view.selectionModel().selectionChanged.connect(self._show_selection)
        self.viewer.back.connect(self._close_viewer)
        self.viewer.step.connect(self._step)
        self.hint_button.clicked.connect(self._first_action)
        self.model.modelAboutToBeReset.connect(self._keep_selection)
        self.model.answered.connect(self._on_answer)
        self.model.dataChanged.connect(self._show_selection)
        self.library.folders.connect(lambda found: self.filters.set_folders(found, self.folders()))
        self.library.scanned.connect(self._on_scanned)
        self.library.trouble.connect(self._on_trouble)
        self._context.engine.event.connect(self._on_event)
        self._context.settings.changed.connect(self.look_through)
        stop = partial(_stop, self.library, self.thumbnails, self.viewer.stop)
        self.destroyed.connect(stop)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(stop)
        if self.library.set_aside is not None:
            QTimer.singleShot(0, self, lambda: self._context.notices.say(
                self.tr("The list of pictures was damaged and is made anew. Stars and ratings are in {path}.").format(path=self.library.set_aside)))

    def _restore(self) -> None:
        state = self._context.state
        self.filters.set_sort(str(state.value("gallery/sort", "newest")))
        sizes = state.value("gallery/splitter")
        if sizes is not None:
            self.splitter.restoreState(sizes)

    def keep(self) -> None:
        """Tile size, order and the splitter, for the next start."""
        state = self._context.state
        state.setValue("gallery/side", self.view.side)
        state.setValue("gallery/sort", self.filters.query().sort)
        state.setValue("gallery/splitter", self.splitter.saveState())

    # what is shown ----------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self.model.known:
            self.view.setFocus()
            self._ask()
        if time.monotonic() - self._looked > LOOK_AGAIN or not self._looked:
            self.look_through()

    def folders(self) -> list[str]:
        """The folders that the user added."""
        value = self._context.state.value("gallery/folders")
        return [str(v) for v in (value if isinstance(value, list) else [value] if value else [])]

    def look_through(self) -> None:
        """Bring the list up to date with the files."""
        self._looked = time.monotonic()
        self._scanning = True
        self.library.look_through([str(self._context.out), *self.folders()], self._context.ledger.path)
        self._show_state()

    def add_folder(self, folder: str) -> None:
        """Show the pictures of another folder too, with all below it."""
        folder = str(Path(folder).absolute())
        if folder not in self.folders():
            self._context.state.setValue("gallery/folders", [*self.folders(), folder])
            self.look_through()

    def remove_folder(self, folder: str) -> None:
        """Stop showing a folder that was added; the files stay."""
        self._context.state.setValue("gallery/folders", [f for f in self.folders() if f != folder])
        self.look_through()

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Show the pictures of a folder"), str(self._context.out))
        if folder:
            self.add_folder(folder)

    def _ask(self) -> None:
        self.model.look_for(self.filters.query())

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Saved) and isinstance(event.report.get("path"), str):
            self.library.add_file(event.report["path"])

    def _on_scanned(self, changed: int) -> None:
        self._scanning = False
        self._ask()

    def _on_trouble(self, error: Exception) -> None:
        if isinstance(error, CommonArtError):
            self._context.notices.complain(error)
        else:
            what = self.tr("The list of pictures cannot be used ({why}).") if isinstance(error, sqlite3.Error) else self.tr("It could not be done ({why}).")
            self._context.notices.say(what.format(why=error))

    def _keep_selection(self) -> None:
        self._kept_ids = [p.id for p in self.selected()[:200]]

    def _on_answer(self) -> None:
        rows = [r for r in map(self.model.place_of, self._kept_ids) if r is not None] if not self.view.rows() else []
        self._kept_ids = []
        if self._next_row is not None and not self.view.rows() and self.model.rowCount():
            rows = [min(self._next_row, self.model.rowCount() - 1)]  # the deleted ones were selected until they went
            self._next_row = None
            if self._viewing():
                self._select(rows)
                self._show_in_viewer(fit=True)
        if rows:
            self._select(rows)
        if not self.model.rowCount() and self._viewing():
            self._close_viewer()
        self._show_state()
        self._show_selection()

    def _show_state(self) -> None:
        """The wall of pictures, or why it is empty."""
        count = self.model.rowCount()
        self.sizes.set_count(count if self.model.known else None, scanning=self._scanning)
        self.side.setVisible(bool(count) or self.filters.narrowed)  # with nothing to select it would be dead weight
        if self._viewing():
            return
        self.stack.setCurrentWidget(self.view if count or not self.model.known else self._empty)
        if count or not self.model.known:
            return
        narrowed = self.filters.narrowed
        if narrowed:
            self.hint_title.setText(self.tr("No picture fits"))
            self.hint.setText(self.tr("Every word must occur in the prompt or the settings."))
            self.hint_button.setText(self.tr("Show all pictures"))
        else:
            self.hint_title.setText(self.tr("Looking through the folders…") if self._scanning else self.tr("Your pictures will be here"))
            self.hint.setText(self.tr("Find, compare and rate what you made, and make more of what you like."))
            self.hint_button.setText(self.tr("Make pictures"))

    def _first_action(self) -> None:
        if self.filters.narrowed:
            self.filters.clear()
        else:
            self._context.go_to("make")

    # the selection ----------------------------------------------------------------------------------------------------

    def selected(self) -> list[Picture]:
        """In the order of the view."""
        return [p for p in map(self.model.picture, self.view.rows()) if p is not None]

    def _select(self, rows: list[int]) -> None:
        flags = QItemSelectionModel.SelectionFlag
        self.view.selectionModel().setCurrentIndex(self.model.index(rows[0]), flags.ClearAndSelect)
        for row in rows[1:]:
            self.view.selectionModel().select(self.model.index(row), flags.Select)

    def _show_selection(self, *_: object) -> None:
        count = len(self.view.rows())
        one = self.model.picture(self.view.rows()[0]) if count else None
        self._prompt, text = self.library.read.details(one.id) if one is not None and count == 1 else ("", "")
        self._recipe = recipe_of(text)
        self.side.show_picture(one, self._prompt, text, count)
        for name, action in self.actions_.items():
            action.setEnabled(count > 0)
            if name in ("use", "variations"):
                action.setEnabled(self._recipe is not None)
        self.actions_["compare"].setEnabled(count == 2)
        self.actions_["copy_prompt"].setEnabled(bool(self._prompt))
        for name in ("copy", "folder"):
            self.actions_[name].setEnabled(count == 1)

    def _menu(self, at: QPoint) -> None:
        if not self.view.rows():
            return
        menu = QMenu(self)
        for name in ("open", "compare", "", "use", "variations", "", "star", "*", "", "copy_prompt", "copy", "folder", "", "trash"):
            if name == "*":
                ratings = menu.addMenu(self.tr("Rate"))
                ratings.addActions([self.actions_[f"rate{n}"] for n in range(6)])
            elif name:
                menu.addAction(self.actions_[name])
            else:
                menu.addSeparator()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.view.viewport().mapToGlobal(at))

    # looking ----------------------------------------------------------------------------------------------------------

    def _viewing(self) -> bool:
        return self.stack.currentWidget() is self.viewer

    def _show_in_viewer(self, *, fit: bool) -> None:
        shown = [(p.path, self.thumbnails.get(p), Path(p.path).name) for p in self.selected()[:2]]
        if shown:
            self.filters.hide()
            self.stack.setCurrentWidget(self.viewer)
            self.viewer.show_pictures(shown, fit=fit)

    def open_viewer(self) -> None:
        """Show the current picture large."""
        row = self.view.currentIndex().row() if self.view.currentIndex().isValid() else (self.view.rows() or [-1])[0]
        if row >= 0:
            self._select([row])
            self._show_in_viewer(fit=True)

    def compare(self) -> None:
        """Show the two selected pictures side by side."""
        if len(self.view.rows()) == 2:
            self._show_in_viewer(fit=True)

    def _step(self, by: int) -> None:
        row = self.view.currentIndex().row() + by
        if 0 <= row < self.model.rowCount():
            self._select([row])
            self._show_in_viewer(fit=False)

    def _close_viewer(self) -> None:
        self.filters.show()
        self.stack.setCurrentWidget(self.view)
        self._show_state()
        self.view.scrollTo(self.view.currentIndex())
        self.view.setFocus()

    # doing ------------------------------------------------------------------------------------------------------------

    def star(self) -> None:
        """Star the selected pictures, or take the stars off if all have one."""
        pictures = self.selected()
        self.library.star([p.id for p in pictures], not all(p.starred for p in pictures))

    def rate(self, rating: int) -> None:
        """0 takes the rating away."""
        self.library.rate([p.id for p in self.selected()], rating)

    def use_settings(self) -> None:
        """Carry the settings to the Make page."""
        if self._recipe is not None:
            self.use_recipe.emit(self._recipe)
            self._context.go_to("make")

    def make_variations(self) -> None:
        """Queue pictures with the same settings and other seeds."""
        if self._recipe is None:
            return
        name = self.tr("Variations: {prompt}").format(prompt=self._prompt[:40])
        context, recipe, model, out = self._context, self._recipe, self._context.settings.now.model, self._context.out
        self.library.ask(lambda: add_variations(context.ledger, recipe, name=name, model=model, out=out), self._on_variations)

    def _on_variations(self, stranded: bool) -> None:
        if stranded:
            self._context.notices.say(self.tr("Variations are in the queue, which waits: an earlier run was cut off."),
                                      "", self.tr("Go to the queue"), lambda: self._context.go_to("make"))
        else:
            self._context.engine.start()
            self._context.notices.say(self.tr("Variations are in the queue and will appear here."))

    def copy_prompt(self) -> None:
        QGuiApplication.clipboard().setText(self._prompt)

    def copy_picture(self) -> None:
        """The picture itself and its file, whichever the other program takes."""
        pictures = self.selected()
        if len(pictures) == 1:
            path = pictures[0].path
            self.library.ask(lambda: read_image(path), partial(self._on_copied, path))

    def _on_copied(self, path: str, image: QImage) -> None:
        data = QMimeData()
        if not image.isNull():
            data.setImageData(image)
        data.setUrls([QUrl.fromLocalFile(path)])
        QGuiApplication.clipboard().setMimeData(data)

    def open_folder(self) -> None:
        for one in self.selected()[:1]:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(one.path).parent)))

    def delete(self) -> None:
        """Move the selected pictures to the recycle bin."""
        paths, rows = [p.path for p in self.selected()], self.view.rows()
        if paths:
            self.library.ask(lambda: to_bin(paths), partial(self._on_deleted, len(paths), rows[0]))

    def _on_deleted(self, wanted: int, row: int, went: list[tuple[str, str]]) -> None:
        self._next_row = row if went else None
        self.library.refresh([path for path, _ in went])
        locale = QLocale()
        if len(went) < wanted:
            self._context.notices.say(self.tr("{count} of {all} pictures could not be moved to the recycle bin.").format(
                count=locale.toString(wanted - len(went)), all=locale.toString(wanted)))
            return
        text = self.tr("Moved to the recycle bin: {count}").format(count=locale.toString(wanted))
        if all(now for _, now in went):
            self._context.notices.say(text, "", self.tr("Undo"), lambda: self.library.ask(lambda: from_bin(went), partial(self._on_restored, len(went))))
        else:
            self._context.notices.say(text)

    def _on_restored(self, wanted: int, came: list[str]) -> None:
        self.library.refresh([], came)
        if len(came) < wanted:
            self._context.notices.say(self.tr("{count} pictures could not be brought back.").format(count=QLocale().toString(wanted - len(came))))


__all__ = ["GalleryPage", "Query"]
