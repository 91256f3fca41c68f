"""The gallery's three threads: one scans the folders, one searches and writes stars and ratings, one fetches the visible rows."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.pages.gallery.index import Index, Query, open_or_rename_damaged
from commonart_desktop.gui.pages.gallery.list_diff import diff
from commonart_desktop.gui.pages.gallery.scan import Scan, made_folders, nearest

#: the ids in which rows were asked for, and the first and last of them
Place = tuple["array[int]", int, int]


class Library(QObject):
    """What the page and the model ask. Answers come as signals, in the window's thread."""

    found = Signal(object, object, object)  # (what was asked from: array, array of ids, steps or None)
    changed = Signal(object)  # ids whose stars or ratings changed
    grown = Signal(object)  # None, or the path of a picture just made
    folders = Signal(object)  # [(folder, count)]
    rows = Signal(object, object)  # pictures that were asked for with ``fetch``, and its place
    chosen = Signal(object)  # the last selection asked for, as Chosen
    looked = Signal(object, float)  # (folders in which a picture is being written, seconds that the look took)
    places = Signal(object, bool)  # folders to watch, and whether these are all
    scanned = Signal(int)  # a look through all folders is over; how many files changed
    trouble = Signal(object)  # a CommonArtError; that of SQLite is its cause

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._stop = threading.Event()
        self._asked = self._chose = 0
        self._told = 0.0
        self.renamed = open_or_rename_damaged(path)  # where a damaged index is now
        self._reader, self._writer, self._scanner = (
            TaskQueue(self, f"gallery {name}", open=partial(Index, path)) for name in ("rows", "search", "scan")
        )
        for queue in (self._reader, self._writer, self._scanner):
            queue.failed.connect(self.trouble)

    def stop(self) -> None:
        """End the threads and wait for them; may be called twice."""
        self._stop.set()
        for queue in (self._reader, self._writer, self._scanner):
            queue.stop()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def _say(self, signal: Any, *values: object) -> None:
        if not self._stop.is_set():
            try:
                signal.emit(*values)
            except RuntimeError:
                pass  # the window is gone

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be done."""
        return not any(queue.pending for queue in (self._reader, self._writer, self._scanner))

    def ask(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Call ``work`` in the thread that writes to the index, then ``then(result)`` in the GUI thread."""
        self._writer.submit(lambda _: work(), done=then)

    # asking -----------------------------------------------------------------------------------------------------------

    def find(self, query: Query, now: array[int]) -> None:
        """Ask for the ids; a question asked meanwhile makes this one void."""
        self._asked += 1
        number = self._asked

        def work(index: Index) -> None:
            if number == self._asked:
                ids = index.ids(query)
                if number == self._asked:
                    self._say(self.found, now, ids, [] if ids == now else diff(now, ids))

        self._writer.submit(work)

    def fetch(self, ids: Sequence[int], place: Place | None) -> None:
        """Ask for these pictures; ``place`` comes back with them."""
        self._reader.submit(lambda index: index.pictures(ids), done=lambda rows: self.rows.emit(rows, place))

    def choose(self, ids: Sequence[int]) -> None:
        """Ask what a selection is; one made meanwhile makes this question void."""
        self._chose += 1
        number = self._chose

        def work(index: Index) -> None:
            if number == self._chose and not self._stop.is_set():
                chosen = index.chosen(ids)
                if number == self._chose:
                    self._say(self.chosen, chosen)

        self._reader.submit(work)

    def rate(self, ids: Sequence[int], rating: int) -> None:
        self._change(ids, lambda index: index.rate(ids, rating))

    def star(self, ids: Sequence[int], starred: bool | None = None) -> None:
        """None: star them all, or take the stars off if all have one."""
        self._change(ids, lambda index: index.star(ids, starred))

    def _change(self, ids: Sequence[int], change: Callable[[Index], None]) -> None:
        def work(index: Index) -> None:
            change(index)
            self._say(self.changed, list(ids))

        self._writer.submit(work)

    def with_paths(self, ids: Sequence[int], work: Callable[[list[str]], Any], then: Callable[[Any], None]) -> None:
        """Do something with the files of these pictures, in their order, and tell the result in the window's thread."""

        def find(index: Index) -> Any:
            paths = {p.id: p.path for p in index.pictures(ids)}
            return work([paths[i] for i in ids if i in paths])

        self._writer.submit(find, done=then)

    def refresh(self, gone: Sequence[str], back: Sequence[str] = ()) -> None:
        """These files were deleted, and these are there again."""

        def work(index: Index) -> None:
            for path in map(Path, gone):
                index.away(str(path.parent), [path.name])
            for path in back:
                index.add_file(Path(path))
            self._say(self.grown, None)

        self._writer.submit(work)

    def add_file(self, path: str) -> None:
        """A picture was just made."""

        def work(index: Index) -> None:
            if index.add_file(Path(path)):
                self._say(self.grown, path)

        self._writer.submit(work)

    def look_through(self, deep: Sequence[str], ledger: Path | None) -> None:
        """Bring the index up to date with the files of these folders and those where the queue's pictures lie."""

        def work(scan: Scan, index: Index, count: list[int]) -> None:
            if scan.all(list(deep), made_folders(ledger) if ledger else []):
                found = index.folders()
                self._say(self.folders, found)
                self._say(self.places, [*nearest(deep), *(f for f, _ in found), *sorted(scan.seen)], True)
                self._say(self.scanned, sum(count))

        self._scan(work)

    def look_into(self, folders: Sequence[str], roots: Sequence[str]) -> None:
        """Bring only these up to date: something in them has changed."""

        def work(scan: Scan, index: Index, count: list[int]) -> None:
            if scan.some(folders, roots) and sum(count):
                self._say(self.folders, index.folders())
                self._say(self.grown, None)
            self._say(self.places, sorted(scan.seen), False)

        self._scan(work)

    def _scan(self, work: Callable[[Scan, Index, list[int]], None]) -> None:
        count: list[int] = []

        def told(changed: int) -> None:
            count.append(changed)
            if time.monotonic() - self._told > 1:
                self._told = time.monotonic()
                self._say(self.grown, None)

        def begin(index: Index) -> None:
            scan = Scan(index, self._stop, told)
            began = time.monotonic()
            work(scan, index, count)
            self._say(self.looked, scan.unfinished, time.monotonic() - began)

        self._scanner.submit(begin)
