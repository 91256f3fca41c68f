"""Maps rows of the table to jobs and images, and reports changes to Qt in the smallest steps.

A flat table and not a tree: Qt's tree view asks the model about every row that it lays out, its table view only about
those it paints, so that a job of 100,000 images expands at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex

from commonart_desktop.gui.pages.queue.labels import ERROR, QueueLabels
from commonart_desktop.gui.pages.queue.page_cache import PageCache
from engine.contract.ledger.ledger import Job, Ledger

AnyIndex = QModelIndex | QPersistentModelIndex


class RowMap(QAbstractTableModel):
    """A row per job and, below an expanded one, a row per image."""

    def __init__(self, ledger: Ledger, pace: Callable[[], float | None], parent: QObject | None) -> None:
        super().__init__(parent)
        self.ledger, self.labels = ledger, QueueLabels(pace, self)
        self.pages = PageCache(ledger, self.labels)
        self.jobs: list[Job] = []  # all, as of the last poll
        self._jobs: list[Job] = []  # those shown
        self._sizes: list[int] = []  # image rows shown below each
        self._starts: list[int] = []  # the row of each
        self._rows = 0
        self._open: set[int] = set()
        self.follows: Callable[[], bool] = lambda: (
            True
        )  # whether the selection is small enough to be tracked image by image

    # positions ---------------------------------------------------------------------------------------------------

    def _locate(self, row: int) -> tuple[int, int]:
        """(index of the shown job, offset of the image in it; -1 for the job itself)."""
        n = bisect_right(self._starts, row) - 1
        return n, row - self._starts[n] - 1

    def _lay_out(self) -> None:
        self._starts, at = [], 0
        for size in self._sizes:
            self._starts.append(at)
            at += 1 + size
        self._rows = at

    def _size_of(self, job: Job) -> int:
        if job.id not in self._open:
            return 0
        return int(getattr(job, self.pages.state)) if self.pages.state else job.total

    def spans(self, first: int, last: int) -> tuple[list[int], list[tuple[int, int, int]]]:
        """What the rows first to last are, without reading them: job ids, and spans (job, first image, last image)."""
        jobs, parts = [], []
        while first <= last and first < self._rows:
            n, image = self._locate(first)
            if image < 0:
                jobs.append(self._jobs[n].id)
                first += 1
            else:
                end = min(last, self._starts[n] + self._sizes[n])
                parts.append((self._jobs[n].id, image, end - self._starts[n] - 1))
                first = end + 1
        return jobs, parts

    def start_of(self, job: int) -> int | None:
        """The row of a job that is shown."""
        return next((start for j, start in zip(self._jobs, self._starts, strict=False) if j.id == job), None)

    def next_job(self, row: int) -> tuple[int | None, int]:
        """The first job at this row or below, and its row; (None, the number of rows) when there is none."""
        return next(
            ((j.id, start) for j, start in zip(self._jobs, self._starts, strict=False) if start >= row),
            (None, self._rows),
        )

    def is_open(self, job: int) -> bool:
        return job in self._open

    # structure ----------------------------------------------------------------------------------------------------

    def _fold(self, row: int) -> None:
        n = self._locate(row)[0]
        job = self._jobs[n]
        was = self._sizes[n]
        if job.id in self._open:
            if was:
                self.beginRemoveRows(QModelIndex(), row + 1, row + was)
            self._open.discard(job.id)
            self._sizes[n] = 0
            self._lay_out()
            if was:
                self.endRemoveRows()
        else:
            self._open.add(job.id)
            size = self._size_of(job)
            if size:
                self.beginInsertRows(QModelIndex(), row + 1, row + size)
            self._sizes[n] = size
            self._lay_out()
            if size:
                self.endInsertRows()

    def _show(self, jobs: Sequence[Job]) -> None:
        """Show these jobs; only inside a model reset."""
        self._jobs = [j for j in jobs if not self.pages.state or getattr(j, self.pages.state)]
        self._sizes = [self._size_of(j) for j in self._jobs]
        self._lay_out()

    def _change_to(self, jobs: Sequence[Job]) -> None:
        """Change to these jobs; expanded jobs and the selection stay."""
        shown = {j.id: j for j in jobs if not self.pages.state or getattr(j, self.pages.state)}
        self._drop_jobs(set(shown))
        have = {j.id for j in self._jobs}
        self._reorder([i for i in shown if i in have])
        self._add_jobs(list(shown.values()))
        changed = self._update_counts(shown)
        self._resize(changed, larger=True)
        if changed and self.follows() and self.persistentIndexList():
            self._follow(changed)
        self._resize(changed, larger=False)
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(self._rows - 1, ERROR))

    def _drop_jobs(self, stay: set[int]) -> None:
        for n in range(len(self._jobs) - 1, -1, -1):
            if self._jobs[n].id not in stay:
                self.beginRemoveRows(QModelIndex(), self._starts[n], self._starts[n] + self._sizes[n])
                del self._jobs[n], self._sizes[n]
                self._lay_out()
                self.endRemoveRows()

    def _reorder(self, order: list[int]) -> None:
        if order == [j.id for j in self._jobs]:
            return
        self.layoutAboutToBeChanged.emit()
        old = [(i, *self._locate(i.row())) for i in self.persistentIndexList()]
        ids = [j.id for j in self._jobs]
        by_id = {j.id: (j, s) for j, s in zip(self._jobs, self._sizes, strict=False)}
        self._jobs = [by_id[i][0] for i in order]
        self._sizes = [by_id[i][1] for i in order]
        self._lay_out()
        start = dict(zip(order, self._starts, strict=False))
        for index, n, image in old:
            self.changePersistentIndex(index, self.index(start[ids[n]] + 1 + image, index.column()))
        self.layoutChanged.emit()

    def _add_jobs(self, wanted: list[Job]) -> None:
        n, have = 0, {j.id for j in self._jobs}
        while n < len(wanted):
            if n < len(self._jobs) and self._jobs[n].id == wanted[n].id:
                n += 1
                continue
            end = n
            while end < len(wanted) and wanted[end].id not in have:
                end += 1
            at = self._starts[n] if n < len(self._jobs) else self._rows
            sizes = [self._size_of(j) for j in wanted[n:end]]
            self.beginInsertRows(QModelIndex(), at, at + sum(sizes) + len(sizes) - 1)
            self._jobs[n:n] = wanted[n:end]
            self._sizes[n:n] = sizes
            self._lay_out()
            self.endInsertRows()
            n = end

    def _update_counts(self, shown: dict[int, Job]) -> dict[int, int]:
        """Update the counters.

        Returns the expanded jobs whose rows were added, removed or changed: job -> its size now.
        """
        changed = {}
        for n, old in enumerate(self._jobs):
            self._jobs[n] = job = shown[old.id]
            now = self._size_of(job)
            if self._sizes[n] != now or (now and self.pages.state and job != old):
                changed[job.id] = now
        return changed

    def _resize(self, changed: dict[int, int], *, larger: bool) -> None:
        """Append rows to jobs that have more, or remove rows from those that have fewer."""
        for n, job in enumerate(self._jobs):
            was, now = self._sizes[n], changed.get(job.id, self._sizes[n])
            first = self._starts[n] + 1
            if larger and now > was:
                self.beginInsertRows(QModelIndex(), first + was, first + now - 1)
                self._sizes[n] = now
                self._lay_out()
                self.endInsertRows()
            elif not larger and now < was:
                self.beginRemoveRows(QModelIndex(), first + now, first + was - 1)
                self._sizes[n] = now
                self._lay_out()
                self.endRemoveRows()

    def _follow(self, changed: dict[int, int]) -> None:
        """Move the selection along with its images."""
        self.layoutAboutToBeChanged.emit()  # from here the selection has a persistent index for every row
        persistent = self.persistentIndexList()
        wanted: dict[int, dict[int, int]] = {}  # job -> image -> its old row
        for row in {i.row() for i in persistent}:
            n, offset = self._locate(row)
            job = self._jobs[n].id
            image = self.pages.cached_id(job, offset) if offset >= 0 and job in changed else None
            if image is not None:
                wanted.setdefault(job, {})[image] = row
        new_rows: dict[int, int | None] = {}
        for job, images in wanted.items():
            start = self.start_of(job)
            at = self.ledger.offsets(job, list(images), self.pages.state)
            for image, row in images.items():
                new_rows[row] = (
                    start + 1 + at[image] if start is not None and at.get(image, changed[job]) < changed[job] else None
                )
        for index in persistent:
            if index.row() in new_rows:
                new = new_rows[index.row()]
                self.changePersistentIndex(index, QModelIndex() if new is None else self.index(new, index.column()))
        self.layoutChanged.emit()
