"""The gallery's two threads: one looks through the folders, the other answers questions and keeps stars and ratings."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from commonart_desktop.gui.gallery_index import Index, Query, made_folders, scan
from engine.contract.errors import CommonArtError

#: (first, last, new ids to insert there; empty: remove them)
Step = tuple[int, int, "array[int]"]
MAX_STEPS = 60


def steps(old: array[int], new: array[int]) -> list[Step] | None:
    """Removals from the end, then insertions from the start, that make ``old`` into ``new``; None: begin anew."""
    if not old or not new:
        return None
    in_old, in_new = set(old), set(new)
    gone = [i for i, n in enumerate(old) if n not in in_new]
    come = [i for i, n in enumerate(new) if n not in in_old]
    if [n for n in old if n in in_new] != [n for n in new if n in in_old]:
        return None
    found: list[Step] = [(first, last, array("q")) for first, last in reversed(_runs(gone))]
    found += [(first, last, new[first:last + 1]) for first, last in _runs(come)]
    return found if len(found) <= MAX_STEPS else None


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return runs


class _Clerk(threading.Thread):
    """A thread with its own connection that does one thing after another. Daemon: it can hold nobody up at the end."""

    def __init__(self, name: str, path: Path, trouble: Callable[[Exception], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._path, self._trouble = path, trouble
        self._work: queue.Queue[Callable[[Index], None] | None] = queue.Queue()
        self.start()

    def do(self, work: Callable[[Index], None] | None) -> None:
        self._work.put(work)

    def run(self) -> None:
        try:
            index = Index(self._path)
        except (sqlite3.Error, OSError) as e:
            self._trouble(e)
            return
        while (work := self._work.get()) is not None:
            try:
                work(index)
            except (sqlite3.Error, OSError, CommonArtError) as e:
                self._trouble(e)
        index.close()


class Library(QObject):
    """What the page and the model ask. Answers come as signals, in the window's thread."""

    found = Signal(object, object, object)  # (what was asked from: array, array of ids, steps or None)
    changed = Signal(object)  # ids whose stars or ratings changed
    grown = Signal(object)  # None, or the path of a picture just made
    folders = Signal(object)  # [(folder, count)]
    scanned = Signal(int)  # a look through all folders is over; how many files changed
    trouble = Signal(object)  # an exception
    done = Signal(object, object)  # (what ``ask`` was told to call, its result)

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._stop = threading.Event()
        self._asked = 0
        self._told = 0.0
        set_aside = _open_or_set_aside(path)
        self.set_aside = set_aside
        self.read = Index(path)  # the window's own, for a few rows at a time
        self._desk = _Clerk("gallery desk", path, self._complain)
        self._scanner = _Clerk("gallery scan", path, self._complain)
        self.done.connect(lambda then, result: then(result))

    def stop(self) -> None:
        """End both threads and wait for them; safe to call twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        for clerk in (self._desk, self._scanner):
            clerk.do(None)
        for clerk in (self._desk, self._scanner):
            clerk.join(10)
        self.read.close()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def _say(self, signal: Any, *values: object) -> None:
        if not self._stop.is_set():
            try:
                signal.emit(*values)
            except RuntimeError:
                pass  # the window is gone

    def _complain(self, error: Exception) -> None:
        self._say(self.trouble, error)

    def _at_desk(self, work: Callable[[Index], None]) -> None:
        self._desk.do(lambda index: None if self._stop.is_set() else work(index))

    def ask(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do anything that may take a moment at the desk, and tell the result in the window's thread."""
        self._at_desk(lambda _: self._say(self.done, then, work()))

    # asking -----------------------------------------------------------------------------------------------------------

    def find(self, query: Query, now: array[int]) -> None:
        """Ask for the ids; a question asked meanwhile makes this one void."""
        self._asked += 1
        number = self._asked

        def work(index: Index) -> None:
            if number == self._asked:
                ids = index.ids(query)
                if number == self._asked:
                    self._say(self.found, now, ids, [] if ids == now else steps(now, ids))

        self._at_desk(work)

    def rate(self, ids: Sequence[int], rating: int) -> None:
        self._change(ids, lambda index: index.rate(ids, rating))

    def star(self, ids: Sequence[int], starred: bool) -> None:
        self._change(ids, lambda index: index.star(ids, starred))

    def _change(self, ids: Sequence[int], change: Callable[[Index], None]) -> None:
        def work(index: Index) -> None:
            change(index)
            self._say(self.changed, list(ids))

        self._at_desk(work)

    def refresh(self, gone: Sequence[str], back: Sequence[str] = ()) -> None:
        """These files were deleted, and these are there again."""
        def work(index: Index) -> None:
            for path in map(Path, gone):
                index.away(str(path.parent), [path.name])
            for path in back:
                index.add_file(Path(path))
            self._say(self.grown, None)

        self._at_desk(work)

    def add_file(self, path: str) -> None:
        """A picture was just made."""
        def work(index: Index) -> None:
            if index.add_file(Path(path)):
                self._say(self.grown, path)

        self._at_desk(work)

    def look_through(self, deep: Sequence[str], ledger: Path | None) -> None:
        """Bring the index up to date with the files of these folders and those where the queue's pictures lie."""
        count = 0

        def told(changed: int) -> None:
            nonlocal count
            count += changed
            if time.monotonic() - self._told > 1:
                self._told = time.monotonic()
                self._say(self.grown, None)

        def work(index: Index) -> None:
            if not self._stop.is_set() and scan(index, list(deep), made_folders(ledger) if ledger else [], self._stop, told):
                self._say(self.folders, index.folders())
                self._say(self.scanned, count)

        self._scanner.do(work)


def _open_or_set_aside(path: Path) -> Path | None:
    """A damaged index is put aside; where it is then."""
    try:
        Index(path).close()
        return None
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.OperationalError):
            raise
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        path.replace(aside)
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        Index(path).close()
        return aside
