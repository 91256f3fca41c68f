"""Which folders the gallery shows, and when they are scanned: when first shown, on request, and when they change."""

from __future__ import annotations

import time
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.gallery.folder_watch import FolderWatch
from commonart_desktop.gui.pages.gallery.library import Library
from engine.contract import events

LOOK_AGAIN = 30.0  # seconds after which showing the page scans the folders again


class GalleryFolders(QObject):
    """The output folder and those the user added.

    ``looking`` is emitted when a scan of all begins, ``Library.scanned`` after it.
    """

    scan_started = Signal()

    def __init__(self, context: Context, library: Library) -> None:
        super().__init__()
        self._context, self._library = context, library
        self._scanned_at = 0.0
        self._roots: list[str] = []  # at the last scan
        self._there: list[bool] = []  # which of them existed at the last check
        self.scanning = False
        self.watch = FolderWatch()
        self.watch.setParent(self)
        library.places.connect(self.watch.watch)
        library.scan_finished.connect(self.watch.scan_finished)
        library.scanned.connect(self._on_scanned)
        self.watch.changed.connect(self._on_changed)
        context.engine.event.connect(self._on_event)
        context.settings.changed.connect(self._on_settings)

    def added(self) -> list[str]:
        """The folders that the user added."""
        value = self._context.state.value("gallery/folders")
        return [str(v) for v in (value if isinstance(value, list) else [value] if value else [])]

    def roots(self) -> list[str]:
        """The folders that are shown with their subfolders."""
        return [str(self._context.out), *self.added()]

    def shown(self) -> None:
        """The page became visible."""
        if not self._scanned_at or time.monotonic() - self._scanned_at > LOOK_AGAIN:
            self.scan_all()

    def scan_all(self) -> None:
        """Update the list from the files."""
        self._scanned_at, self._roots, self.scanning = time.monotonic(), self.roots(), True
        self._library.scan_all(self._roots, self._context.ledger.path)
        self.scan_started.emit()

    def add(self, folder: str) -> None:
        """Show the images of another folder and its subfolders too."""
        folder = str(Path(folder).absolute())
        if folder not in self.added():
            self._context.state.setValue("gallery/folders", [*self.added(), folder])
            self.scan_all()

    def remove(self, folder: str) -> None:
        """Stop showing a folder that was added; the files stay."""
        self._context.state.setValue("gallery/folders", [f for f in self.added() if f != folder])
        self.scan_all()

    def ask(self, parent: QWidget) -> None:
        """Let the user choose a folder to add."""
        folder = QFileDialog.getExistingDirectory(
            parent, self.tr("Show the images of a folder"), str(self._context.out)
        )
        if folder:
            self.add(folder)

    def _on_scanned(self, changed: int) -> None:
        self.scanning = False

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Saved) and isinstance(event.report.get("path"), str):
            self._library.add_file(event.report["path"])

    def _on_settings(self) -> None:
        if self._scanned_at and self.roots() != self._roots:
            self.scan_all()

    def _on_changed(self, folders: list[str]) -> None:
        """A file was created, deleted or moved in these folders."""
        roots = self.roots()
        above = {f for f in folders if any(root != f and Path(root).is_relative_to(f) for root in roots)} - set(roots)
        if above:  # there it only matters whether a root appeared or disappeared
            self._library.ask(lambda: [Path(root).is_dir() for root in roots], self._on_there)
        if inside := [f for f in folders if f not in above]:
            self._library.scan_folders(inside, roots)

    def _on_there(self, there: list[bool]) -> None:
        if there != self._there:
            self._there = there
            self.scan_all()
