"""The folders of the gallery, watched: what is made, deleted or moved by anybody shows by itself."""

from __future__ import annotations

import time
from collections.abc import Iterable

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

MAX_WATCHED = 500  # folders: systems limit these, and macOS opens a file for each
SOON, UNFINISHED = 150, 500  # milliseconds
SHARE = 20  # a look that takes long comes seldom: at most this part of the time goes to it


class FolderWatch(QObject):
    """``changed`` carries the folders to look into, gathered."""

    changed = Signal(object)  # sorted list of folders

    def __init__(self) -> None:
        super().__init__()
        self._watcher = QFileSystemWatcher(self)
        self._watcher.directoryChanged.connect(self.touch)
        self._dirty: set[str] = set()
        self._not_before = 0.0
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._tell)

    def watch(self, folders: Iterable[str], whole: bool) -> None:
        """These, and if ``whole`` no others; the first MAX_WATCHED. What cannot be watched is looked through when the page is shown."""
        now = set(self._watcher.directories())
        wanted = list(dict.fromkeys(folders if whole else [*now, *folders]))[:MAX_WATCHED]
        if old := [f for f in now if f not in wanted]:
            self._watcher.removePaths(old)
        if new := [f for f in wanted if f not in now]:
            self._watcher.addPaths(new)

    def touch(self, folder: str, wait: int = SOON) -> None:
        """Look into a folder soon."""
        self._dirty.add(folder)
        if not self._soon.isActive():
            self._soon.start(max(wait, int((self._not_before - time.monotonic()) * 1000)))

    def looked(self, unfinished: Iterable[str], seconds: float) -> None:
        """A look is over: where a picture was being written, another follows."""
        self._not_before = time.monotonic() + seconds * SHARE
        for folder in unfinished:
            self.touch(folder, UNFINISHED)

    def stop(self) -> None:
        self._soon.stop()
        if self._watcher.directories():
            self._watcher.removePaths(self._watcher.directories())

    def _tell(self) -> None:
        dirty, self._dirty = sorted(self._dirty), set()
        self.changed.emit(dirty)
