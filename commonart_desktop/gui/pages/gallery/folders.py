"""Which folders the gallery shows, and when it looks into them: at first sight, when asked, and when something in them changes."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.gallery.folder_watch import FolderWatch
from commonart_desktop.gui.pages.gallery.library import Library
from engine.contract import events

LOOK_AGAIN = 30.0  # seconds after which showing the page looks through the folders anew


class GalleryFolders(QObject):
    """The output folder and what the user added. ``looking`` when a look through all of them begins; the library tells when it is over."""

    looking = Signal()

    def __init__(self, context: Context, library: Library) -> None:
        super().__init__()
        self._context, self._library = context, library
        self._looked = 0.0
        self._roots: list[str] = []  # at the last look
        self._there: list[bool] = []  # which of them were, when it last mattered
        self.scanning = False
        self.watch = FolderWatch()
        self.watch.setParent(self)
        library.places.connect(self.watch.watch)
        library.looked.connect(self.watch.looked)
        library.scanned.connect(self._on_scanned)
        self.watch.changed.connect(self._on_changed)
        context.engine.event.connect(self._on_event)
        context.settings.changed.connect(self._on_settings)

    def added(self) -> list[str]:
        """The folders that the user added."""
        value = self._context.state.value("gallery/folders")
        return [str(v) for v in (value if isinstance(value, list) else [value] if value else [])]

    def roots(self) -> list[str]:
        """The folders that are shown with all below them."""
        return [str(self._context.out), *self.added()]

    def shown(self) -> None:
        """The page is in sight."""
        if not self._looked or time.monotonic() - self._looked > LOOK_AGAIN:
            self.look_through()

    def look_through(self) -> None:
        """Bring the list up to date with the files."""
        self._looked, self._roots, self.scanning = time.monotonic(), self.roots(), True
        self._library.look_through(self._roots, self._context.ledger.path)
        self.looking.emit()

    def add(self, folder: str) -> None:
        """Show the pictures of another folder too, with all below it."""
        folder = str(Path(folder).absolute())
        if folder not in self.added():
            self._context.state.setValue("gallery/folders", [*self.added(), folder])
            self.look_through()

    def remove(self, folder: str) -> None:
        """Stop showing a folder that was added; the files stay."""
        self._context.state.setValue("gallery/folders", [f for f in self.added() if f != folder])
        self.look_through()

    def ask(self, parent: QWidget) -> None:
        """Let the user choose a folder to add."""
        folder = QFileDialog.getExistingDirectory(
            parent, self.tr("Show the pictures of a folder"), str(self._context.out)
        )
        if folder:
            self.add(folder)

    def _on_scanned(self, changed: int) -> None:
        self.scanning = False

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Saved) and isinstance(event.report.get("path"), str):
            self._library.add_file(event.report["path"])

    def _on_settings(self) -> None:
        if self._looked and self.roots() != self._roots:
            self.look_through()

    def _on_changed(self, folders: list[str]) -> None:
        """Something was made, deleted or moved there."""
        roots = self.roots()
        above = {f for f in folders if any(root != f and Path(root).is_relative_to(f) for root in roots)} - set(roots)
        if above:  # only whether a root has come or gone matters there
            self._library.ask(lambda: [Path(root).is_dir() for root in roots], self._on_there)
        if inside := [f for f in folders if f not in above]:
            self._library.look_into(inside, roots)

    def _on_there(self, there: list[bool]) -> None:
        if there != self._there:
            self._there = there
            self.look_through()
