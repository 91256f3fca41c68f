"""Watches the folders of the gallery: files that are created, deleted or moved are noticed without a refresh."""

from __future__ import annotations

import time
from collections.abc import Iterable

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

MAX_WATCHED = 500  # folders: systems limit them, and macOS opens a file for each
SOON, UNFINISHED = 150, 500  # milliseconds
SHARE = 20  # slow scans are rare: at most this fraction of the time is spent on them


class FolderWatch(QObject):
    """``changed`` carries the folders to scan, debounced."""

    changed = Signal(object)  # sorted list of folders

    def __init__(self) -> None:
        super().__init__()
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self.touch)
        self._dirty: set[str] = set()
        self._not_before = 0.0
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._emit_changed)

    def watch(self, folders: Iterable[str], only: bool) -> None:
        """Watch these, and only these if ``whole``, up to MAX_WATCHED. Others are scanned when the page is shown."""
        now = set(self._watcher.directories())
        wanted = list(dict.fromkeys(folders if only else [*now, *folders]))[:MAX_WATCHED]
        if old := [f for f in now if f not in wanted]:
            self._watcher.removePaths(old)
        if new := [f for f in wanted if f not in now]:
            self._watcher.addPaths(new)

    def touch(self, folder: str, wait: int = SOON) -> None:
        """Scan a folder soon."""
        self._dirty.add(folder)
        if not self._soon.isActive():
            self._soon.start(max(wait, int((self._not_before - time.monotonic()) * 1000)))

    def scan_finished(self, unfinished: Iterable[str], seconds: float) -> None:
        """A scan is over; folders with an unfinished file are scanned again."""
        self._not_before = time.monotonic() + seconds * SHARE
        for folder in unfinished:
            self.touch(folder, UNFINISHED)

    def stop(self) -> None:
        self._soon.stop()
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())

    def _emit_changed(self) -> None:
        dirty, self._dirty = sorted(self._dirty), set()
        self.changed.emit(dirty)
