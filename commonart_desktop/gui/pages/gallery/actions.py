"""Actions on the selected images, with their shortcuts. Slow work is submitted to the library's threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QLocale, QMimeData, QObject, Qt, QUrl, Signal
from PySide6.QtGui import QAction, QDesktopServices, QGuiApplication, QImage, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.images.reader import read_image
from commonart_desktop.gui.pages.gallery.file_operations import (
    TrashedFiles,
    add_variations,
    move_to_trash,
    restore_from_trash,
)
from commonart_desktop.gui.pages.gallery.index import Chosen
from commonart_desktop.gui.pages.gallery.library import Library
from commonart_desktop.gui.style.theme import icon

_ALONE = ("copy", "folder")  # for one image
_RECIPE = ("use", "variations")  # for one with a recipe


class GalleryActions(QObject):
    """``use_recipe`` carries a recipe for the Make page.

    ``removed`` is emitted before deleted images leave the list.
    """

    use_recipe = Signal(object)
    removed = Signal()

    def __init__(self, context: Context, library: Library, home: QWidget) -> None:
        """Create the actions.

        Shortcuts work while ``home`` or a widget in it has the focus, so that they do not act in the search field.
        """
        super().__init__(home)
        self._context, self._library, self._home = context, library, home
        self._chosen = Chosen()
        self._binned: list[TrashedFiles] = []
        self.all: dict[str, QAction] = {}
        self._add("use", self.tr("Use these settings"), "Ctrl+U", "make", self.use_settings)
        self._add("variations", self.tr("Make variations"), "Ctrl+R", "add", self.make_variations)
        self._add("open", self.tr("View"), "", "pictures", lambda: None)
        self._add("compare", self.tr("Compare two"), "C", "compare", lambda: None)
        self._add("star", self.tr("Star"), "S", "star", self.star)
        self._add("copy_prompt", self.tr("Copy prompt"), "Ctrl+Shift+C", "copy", self.copy_prompt)
        self._add("copy", self.tr("Copy image"), "Ctrl+C", "pictures", self.copy_image)
        self._add("folder", self.tr("Open folder"), "Ctrl+O", "folder", self.open_folder)
        self._add("trash", self.tr("Move to the recycle bin"), "Delete", "trash", self.delete)
        self._add("undo", self.tr("Bring back what was deleted"), "Ctrl+Z", "retry", self.undo)
        for n in range(6):
            text = self.tr("Rating {n}").format(n=n) if n else self.tr("No rating")
            self._add(f"rate{n}", text, str(n), "star", partial(self.rate, n)).setIconVisibleInMenu(False)
        self.choose(Chosen())

    def _add(self, name: str, text: str, keys: str, icon_name: str, do: Callable[[], object]) -> QAction:
        action = QAction(icon(icon_name), text, self)
        if keys:
            action.setShortcut(QKeySequence(keys))
            action.setToolTip(f"{text} ({action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)})")
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda: do())
        self._home.addAction(action)
        self.all[name] = action
        return action

    def choose(self, chosen: Chosen) -> None:
        """Set the images that the actions apply to."""
        self._chosen = chosen
        count = len(chosen.ids)
        for name, action in self.all.items():
            action.setEnabled(
                count == 1 if name in _ALONE else chosen.recipe is not None if name in _RECIPE else count > 0
            )
        self.all["compare"].setEnabled(count == 2)
        self.all["copy_prompt"].setEnabled(bool(chosen.prompt))
        self.all["undo"].setEnabled(bool(self._binned))

    def menu(self) -> QMenu:
        """The context menu."""
        menu = QMenu(self._home)
        for name in (
            "open",
            "compare",
            "",
            "use",
            "variations",
            "",
            "star",
            "*",
            "",
            "copy_prompt",
            "copy",
            "folder",
            "",
            "trash",
            "undo",
        ):
            if name == "*":
                menu.addMenu(self._ratings(menu))
            elif name:
                menu.addAction(self.all[name])
            else:
                menu.addSeparator()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return menu

    def _ratings(self, menu: QMenu) -> QMenu:
        ratings = QMenu(self.tr("Rate"), menu)
        ratings.addActions([self.all[f"rate{n}"] for n in range(6)])
        return ratings

    # commands ---------------------------------------------------------------------------------------------------------

    def star(self) -> None:
        """Star the selected images, or remove the stars if all have one."""
        self._library.star(self._chosen.ids)

    def rate(self, rating: int) -> None:
        """0 removes the rating."""
        self._library.rate(self._chosen.ids, rating)

    def use_settings(self) -> None:
        """Use the settings on the Make page."""
        if self._chosen.recipe is not None:
            self.use_recipe.emit(self._chosen.recipe)
            self._context.go_to("make")

    def make_variations(self) -> None:
        """Queue images with the same settings and other seeds."""
        recipe, context = self._chosen.recipe, self._context
        if recipe is not None:
            name = self.tr("Variations: {prompt}").format(prompt=self._chosen.prompt[:40])
            model, out = context.settings.now.model, context.out
            self._library.ask(
                lambda: add_variations(context.ledger, recipe, name=name, model=model, out=out), self._on_variations
            )

    def _on_variations(self, stranded: bool) -> None:
        if stranded:
            self._context.notices.say(
                self.tr("Variations are in the queue, which waits: an earlier run was cut off."),
                "",
                self.tr("Go to the queue"),
                lambda: self._context.go_to("make"),
            )
        else:
            self._context.engine.start()
            self._context.notices.say(self.tr("Variations are in the queue and will appear here."))

    def copy_prompt(self) -> None:
        QGuiApplication.clipboard().setText(self._chosen.prompt)

    def copy_image(self) -> None:
        """Copy the image and its file; the other program takes either."""

        def read(paths: list[str]) -> tuple[str, QImage]:
            return (paths[0], read_image(paths[0]).image) if paths else ("", QImage())

        self._library.with_paths(self._chosen.ids[:1], read, self._on_copied)

    def _on_copied(self, answer: tuple[str, QImage]) -> None:
        path, image = answer
        data = QMimeData()
        if not image.isNull():
            data.setImageData(image)
        data.setUrls([QUrl.fromLocalFile(path)])
        QGuiApplication.clipboard().setMimeData(data)

    def open_folder(self) -> None:
        self._library.with_paths(
            self._chosen.ids[:1],
            lambda paths: [(str(Path(p).parent), Path(p).parent.is_dir()) for p in paths],
            self._on_folder,
        )

    def _on_folder(self, answer: list[tuple[str, bool]]) -> None:
        for folder, there in answer:
            if not there:
                self._context.notices.say(self.tr("The folder {path} is no longer there.").format(path=folder))
            elif not QDesktopServices.openUrl(QUrl.fromLocalFile(folder)):
                self._context.notices.say(
                    self.tr("No program to show folders was found. The folder is {path}").format(path=folder)
                )

    # the recycle bin --------------------------------------------------------------------------------------------------

    def delete(self) -> None:
        """Move the selected images to the recycle bin."""
        if self._chosen.ids:
            self._library.with_paths(self._chosen.ids, move_to_trash, self._on_deleted)

    def _on_deleted(self, done: TrashedFiles) -> None:
        if done.moved or done.missing:
            self.removed.emit()
            self._library.refresh([path for path, _ in done.moved] + list(done.missing))
        number = QLocale().toString
        undo = bool(done.moved) and all(now for _, now in done.moved)
        if undo:
            self._binned.append(done)
            self.all["undo"].setEnabled(True)
        if done.failed:
            self._context.notices.say(
                self.tr("{count} images could not be moved to the recycle bin; they stay where they are.").format(
                    count=number(len(done.failed))
                ),
                self.tr("The system says: {why}. There may be no recycle bin on that drive.").format(
                    why=done.failed[0][1]
                ),
            )
        elif not done.moved:
            self._context.notices.say(self.tr("The files were no longer there."))
        elif undo:
            self._context.notices.say(
                self.tr("Moved to the recycle bin: {count}").format(count=number(len(done.moved))),
                "",
                self.tr("Undo"),
                partial(self._bring_back, done),
            )
        else:
            self._context.notices.say(
                self.tr("Moved to the recycle bin: {count}").format(count=number(len(done.moved)))
            )

    def undo(self) -> None:
        """Bring back what was deleted last."""
        if self._binned:
            self._bring_back(self._binned[-1])

    def _bring_back(self, done: TrashedFiles) -> None:
        if done in self._binned:
            self._binned.remove(done)
            self.all["undo"].setEnabled(bool(self._binned))
            self._library.ask(lambda: restore_from_trash(done.moved), partial(self._on_restored, len(done.moved)))

    def _on_restored(self, wanted: int, restored: Sequence[str]) -> None:
        self._library.refresh([], restored)
        if len(restored) < wanted:
            self._context.notices.say(
                self.tr("{count} images could not be brought back.").format(
                    count=QLocale().toString(wanted - len(restored))
                )
            )
