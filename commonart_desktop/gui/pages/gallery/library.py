"""The gallery's three threads.

One scans folders, one searches and writes stars and ratings, one fetches visible rows.
"""

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
from commonart_desktop.gui.pages.gallery.scan import Scan, nearest, queue_folders

#: the ids from which rows were requested, and the first and last row
RowRange = tuple["array[int]", int, int]


class Library(QObject):
    """Queries of the page and the model. Results are emitted as signals in the GUI thread."""

    results = Signal(object, object, object)  # (the ids before: array, the ids now: array, steps or None)
    changed = Signal(object)  # ids whose stars or ratings changed
    updated = Signal(object)  # None, or the path of an image that was just saved
    folders = Signal(object)  # [(folder, count)]
    rows = Signal(object, object)  # images that were requested with ``fetch``, and its place
    chosen = Signal(object)  # the last selection that was requested, as Chosen
    scan_finished = Signal(object, float)  # (folders with an unfinished file, seconds that the scan took)
    places = Signal(object, bool)  # folders to watch, and whether these are all
    scanned = Signal(int)  # a scan of all folders is over; how many files changed
    trouble = Signal(object)  # a CommonArtError; that of SQLite is its cause

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._stop = threading.Event()
        self._query_number = self._selection_number = 0
        self._updated_at = 0.0
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

    def _emit(self, signal: Any, *values: object) -> None:
        if not self._stop.is_set():
            try:
                signal.emit(*values)
            except RuntimeError:
                pass  # the window is gone

    @property
    def idle(self) -> bool:
        """Whether no call is waiting or running."""
        return not any(queue.pending for queue in (self._reader, self._writer, self._scanner))

    def ask(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Call ``work`` in the thread that writes to the index, then ``then(result)`` in the GUI thread."""
        self._writer.submit(lambda _: work(), done=then)

    # queries ----------------------------------------------------------------------------------------------------------

    def find(self, query: Query, now: array[int]) -> None:
        """Request the ids; a later request supersedes this one."""
        self._query_number += 1
        number = self._query_number

        def work(index: Index) -> None:
            if number == self._query_number:
                ids = index.ids(query)
                if number == self._query_number:
                    self._emit(self.results, now, ids, [] if ids == now else diff(now, ids))

        self._writer.submit(work)

    def fetch(self, ids: Sequence[int], row_range: RowRange | None) -> None:
        """Request these images; ``place`` is returned with them."""
        self._reader.submit(lambda index: index.images(ids), done=lambda rows: self.rows.emit(rows, row_range))

    def choose(self, ids: Sequence[int]) -> None:
        """Request a selection; a later request supersedes this one."""
        self._selection_number += 1
        number = self._selection_number

        def work(index: Index) -> None:
            if number == self._selection_number and not self._stop.is_set():
                chosen = index.chosen(ids)
                if number == self._selection_number:
                    self._emit(self.chosen, chosen)

        self._reader.submit(work)

    def rate(self, ids: Sequence[int], rating: int) -> None:
        self._change(ids, lambda index: index.rate(ids, rating))

    def star(self, ids: Sequence[int], starred: bool | None = None) -> None:
        """Star or unstar; None: star them all, or remove the stars if all have one."""
        self._change(ids, lambda index: index.star(ids, starred))

    def _change(self, ids: Sequence[int], change: Callable[[Index], None]) -> None:
        def work(index: Index) -> None:
            change(index)
            self._emit(self.changed, list(ids))

        self._writer.submit(work)

    def with_paths(self, ids: Sequence[int], work: Callable[[list[str]], Any], then: Callable[[Any], None]) -> None:
        """Call ``work`` with the paths of these images, in their order, then ``then(result)`` in the GUI thread."""

        def find(index: Index) -> Any:
            paths = {p.id: p.path for p in index.images(ids)}
            return work([paths[i] for i in ids if i in paths])

        self._writer.submit(find, done=then)

    def refresh(self, gone: Sequence[str], back: Sequence[str] = ()) -> None:
        """Update the index after files were deleted (``gone``) or restored (``back``)."""

        def work(index: Index) -> None:
            for path in map(Path, gone):
                index.away(str(path.parent), [path.name])
            for file in back:
                index.add_file(Path(file))
            self._emit(self.updated, None)

        self._writer.submit(work)

    def add_file(self, path: str) -> None:
        """Add an image that was just saved."""

        def work(index: Index) -> None:
            if index.add_file(Path(path)):
                self._emit(self.updated, path)

        self._writer.submit(work)

    def scan_all(self, deep: Sequence[str], ledger: Path | None) -> None:
        """Update the index from these folders and those with the queue's images."""

        def work(scan: Scan, index: Index, count: list[int]) -> None:
            if scan.all(list(deep), queue_folders(ledger) if ledger else []):
                results = index.folders()
                self._emit(self.folders, results)
                self._emit(self.places, [*nearest(deep), *(f for f, _ in results), *sorted(scan.seen)], True)
                self._emit(self.scanned, sum(count))

        self._scan(work)

    def scan_folders(self, folders: Sequence[str], roots: Sequence[str]) -> None:
        """Update the index from folders in which something has changed."""

        def work(scan: Scan, index: Index, count: list[int]) -> None:
            complete = scan.some(folders, roots)
            if complete and any(count):
                self._emit(self.folders, index.folders())
                self._emit(self.updated, None)
            self._emit(self.places, sorted(scan.seen), False)

        self._scan(work)

    def _scan(self, work: Callable[[Scan, Index, list[int]], None]) -> None:
        count: list[int] = []

        def on_change(changed: int) -> None:
            count.append(changed)
            if time.monotonic() - self._updated_at > 1:
                self._updated_at = time.monotonic()
                self._emit(self.updated, None)

        def begin(index: Index) -> None:
            scan = Scan(index, self._stop, on_change)
            began = time.monotonic()
            work(scan, index, count)
            self._emit(self.scan_finished, scan.unfinished, time.monotonic() - began)

        self._scanner.submit(begin)
