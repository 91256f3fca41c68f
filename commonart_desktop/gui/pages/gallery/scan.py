"""Updates the gallery's index from the files in the folders. No Qt: it runs in a thread."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from commonart_desktop.core.picture_text import ENDINGS
from commonart_desktop.gui.pages.gallery.index import Index, describe

BATCH = 200  # files between two writes
#: folders whose images are not for the gallery, by a file beside them: of an export's proof, of an evaluation
NOT_OURS = {"parity": "commonart_export.json", "pictures": "run.json"}
WRITING = 5.0  # seconds for which a truncated file counts as being written


def queue_folders(ledger: Path) -> list[str]:
    """The folders with the queue's images. Uses a read-only connection of its own, so as not to block the window's."""
    sep = os.sep
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            # the path without the trailing characters that are not the separator: its folder
            found = db.execute(
                "SELECT DISTINCT rtrim(path, replace(path, ?, '')) FROM images WHERE state = 'done' AND path IS "
                "NOT NULL",
                (sep,),
            )
            return [str(Path(r[0])) for r in found if r[0]]
    except sqlite3.Error:
        return []  # the queue page reports what is wrong with it


def nearest(folders: Sequence[str]) -> list[str]:
    """These and their parents, where a move of the folder is noticed; for a missing one its nearest existing parent."""
    found = []
    for folder in map(Path, folders):
        there = next((p for p in (folder, *folder.parents) if p.is_dir()), folder)
        found += [str(there), str(there.parent)] if there == folder else [str(there)]
    return found


def is_complete(path: Path) -> bool:
    """Whether an image file is not truncated; also True for other files and those that cannot be read."""
    try:
        with path.open("rb") as f:
            head = f.read(12)
            size = f.seek(0, os.SEEK_END)
            f.seek(max(0, size - 12))
            tail = f.read()
    except OSError:
        return True
    if head[:4] == b"\x89PNG":
        return tail[4:8] == b"IEND"
    if head[:2] == b"\xff\xd8":
        return b"\xff\xd9" in tail
    if head[:4] == b"RIFF":
        return size >= int.from_bytes(head[4:8], "little") + 8
    return bool(head)


class Scan:
    """One scan of folders.

    ``told`` is called after each write with how many files changed. ``unfinished`` collects folders with a file that is
    still being written.
    """

    def __init__(self, index: Index, stop: threading.Event, on_change: Callable[[int], None]) -> None:
        self._index, self._stop, self._on_change = index, stop, on_change
        self.unfinished: set[str] = set()
        self.seen: set[str] = set()  # folders that were scanned

    def all(self, deep: Sequence[str], flat: Sequence[str]) -> bool:
        """Scan ``deep`` folders with their subfolders and ``flat`` ones without; all others count as missing.

        Returns False if it was stopped.
        """
        seen: set[str] = set()
        if not self._walk([(f, False) for f in reversed(flat)] + [(f, True) for f in reversed(deep)], seen):
            return False
        self._index.only_folders(seen)
        return True

    def some(self, folders: Iterable[str], roots: Sequence[str]) -> bool:
        """Scan only these folders, and new folders in them if they are below one of ``roots``.

        Returns False if it was stopped.
        """
        for folder in folders:
            seen: set[str] = set()
            below = any(Path(folder).is_relative_to(r) for r in roots)
            files_in = self._index.folders_below(folder)
            if not self._walk([(folder, False)], seen):
                return False
            if folder not in seen:  # it was removed, with everything in it
                for one in files_in:
                    self._index.away(one, list(self._index.files_in(one)))
                self._on_change(len(files_in))
            elif below:
                inner = [e for e in self._inner if e not in files_in]
                if not self._walk([(f, True) for f in inner], seen):
                    return False
                for one in files_in:
                    if one != folder and not Path(one).is_dir():
                        self._index.away(one, list(self._index.files_in(one)))
                        self._on_change(1)
        return True

    def _walk(self, todo: list[tuple[str, bool]], seen: set[str]) -> bool:
        while todo:
            folder, below = todo.pop()
            if folder in seen:
                continue
            inner = self._folder(folder)
            if self._stop.is_set():
                return False
            self._inner = inner or []
            if inner is None:
                continue
            seen.add(folder)
            self.seen.add(folder)
            if below:
                todo += [(f, True) for f in sorted(inner)]  # the stack is popped from the end: the newest date first
        return True

    def _folder(self, folder: str) -> list[str] | None:
        """Scan one folder. Returns its subfolders; None if it cannot be read, or is not for the gallery."""
        folder_path = Path(folder)
        if folder_path.name in NOT_OURS and folder_path.with_name(NOT_OURS[folder_path.name]).is_file():
            return None
        files_in = self._index.files_in(folder)
        inner: list[str] = []
        changed: list[tuple[int, int, str]] = []
        back: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for number, e in enumerate(entries):
                    if number % 100 == 99:
                        time.sleep(0.001)  # yield to the GUI thread
                        if self._stop.is_set():
                            return None
                    if e.name.startswith("."):
                        continue
                    if e.is_dir(follow_symlinks=False):
                        inner.append(e.path)
                    elif e.name.lower().endswith(ENDINGS) and e.is_file():
                        stat = e.stat()
                        old = files_in.pop(e.name, None)
                        if old is None or old[:2] != (stat.st_mtime_ns, stat.st_size):
                            if abs(time.time() - stat.st_mtime) < WRITING and not is_complete(Path(e.path)):
                                self.unfinished.add(folder)  # not complete yet
                            else:
                                changed.append((stat.st_mtime_ns, stat.st_size, e.name))
                        elif not old[2]:
                            back.append(e.name)
        except OSError:
            return None
        gone = [n for n, (_, _, here) in files_in.items() if here]
        self._index.back(folder, back)
        self._index.away(folder, gone)
        if back or gone:
            self._on_change(len(back) + len(gone))
        changed.sort(reverse=True)  # the newest are shown first
        for start in range(0, len(changed), BATCH):
            rows = []
            for mtime, size, name in changed[start : start + BATCH]:
                path = Path(folder, name)
                rows.append((str(path), folder, name, mtime, size, *describe(path)))
                if self._stop.wait(0.0005):
                    return None
            self._index.put(rows)
            self._on_change(len(rows))
        return inner
