"""The queue as a table that unfolds: a row per job and, under an unfolded one, a row per picture.

A flat table and not a tree: Qt's tree view asks the model about every row that it lays out, its table view only about
those it paints, so that a job of 100,000 pictures unfolds at once. Pictures are read page by page.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QByteArray, QMimeData, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from commonart_desktop.gui.queue_words import ATTEMPTS, ERROR, LEFT, NAME, Words
from engine.contract import events
from engine.contract.errors import CommonArtError
from engine.contract.queue import Job, Ledger, Row

PAGE, PAGES = 200, 20  # rows read at once; pages kept
MIME = "application/x-commonart-jobs"
_FOLLOW = 200  # so many selected rows are followed when rows before them come or go

_PICTURE = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
_JOB = _PICTURE | Qt.ItemFlag.ItemIsDragEnabled

AnyIndex = QModelIndex | QPersistentModelIndex


class LedgerModel(QAbstractTableModel):
    """Jobs in running order and their pictures. Reads through its own connection, so that no writer of ours makes it wait."""

    refreshed = Signal()  # jobs or pictures have changed
    trouble = Signal(object)  # a CommonArtError met while reading
    dropped = Signal(object, object)  # ids of jobs dragged, id of the job they go before (None: to the end)

    def __init__(self, path: Path, pace: Callable[[], float | None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.ledger = Ledger(path, timeout=1.0)
        self.words = Words(pace, self)
        self.jobs: list[Job] = []  # all, as of the last look
        self._jobs: list[Job] = []  # those shown
        self._sizes: list[int] = []  # picture rows shown under each
        self._starts: list[int] = []  # the table's row of each
        self._rows = 0
        self._open: set[int] = set()
        self._state: str | None = None
        self._found: list[Row] | None = None
        self._cache: OrderedDict[tuple[int, int], list[Row]] = OrderedDict()
        self._stale: set[tuple[int, int]] = set()
        self._version = -1
        self.poll()

    # what is where ------------------------------------------------------------------------------------------------

    def _place(self, row: int) -> tuple[int, int]:
        """(which shown job, which picture of it; -1 for the job itself)."""
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
        return int(getattr(job, self._state)) if self._state else job.total

    def item(self, row: int) -> Job | Row | None:
        """What a row stands for; None while the ledger no longer has it."""
        if self._found is not None:
            return self._found[row] if row < len(self._found) else None
        if not 0 <= row < self._rows:
            return None
        n, picture = self._place(row)
        return self._jobs[n] if picture < 0 else self._picture(self._jobs[n].id, picture)

    def _picture(self, job: int, offset: int) -> Row | None:
        page, within = divmod(offset, PAGE)
        key = (job, page)
        rows = self._cache.get(key)
        if rows is None or key in self._stale:
            try:
                rows = self.ledger.page(job=job, offset=page * PAGE, limit=PAGE, state=self._state)
            except CommonArtError:
                rows = []  # the job has gone; the next look at the ledger takes its rows away
            self._stale.discard(key)
            self._cache[key] = rows
            if len(self._cache) > PAGES:
                self._stale.discard(self._cache.popitem(last=False)[0])
        self._cache.move_to_end(key)
        return rows[within] if within < len(rows) else None

    def spans(self, first: int, last: int) -> tuple[list[int], list[tuple[int, int, int]]]:
        """What rows first to last are, without reading them: ids of jobs, and (job, first picture, last picture)."""
        jobs, parts = [], []
        while first <= last and self._found is None and first < self._rows:
            n, picture = self._place(first)
            if picture < 0:
                jobs.append(self._jobs[n].id)
                first += 1
            else:
                end = min(last, self._starts[n] + self._sizes[n])
                parts.append((self._jobs[n].id, picture, end - self._starts[n] - 1))
                first = end + 1
        return jobs, parts

    def row_of_job(self, job: int) -> int | None:
        """Where a job is shown."""
        return next((self._starts[n] for n, j in enumerate(self._jobs) if j.id == job), None) if self._found is None else None

    def is_open(self, job: int) -> bool:
        return job in self._open

    @property
    def searching(self) -> bool:
        return self._found is not None

    # folding, filter, search --------------------------------------------------------------------------------------

    def fold(self, row: int, unfold: bool | None = None) -> None:
        """Fold or unfold the job at a row (None: the other way round)."""
        job = self.item(row)
        if not isinstance(job, Job) or unfold is (job.id in self._open):
            return
        n = self._place(row)[0]
        if job.id in self._open:
            last = row + self._sizes[n]
            if last > row:
                self.beginRemoveRows(QModelIndex(), row + 1, last)
            self._open.discard(job.id)
            size = self._sizes[n]
            self._sizes[n] = 0
            self._lay_out()
            if size:
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
        self.dataChanged.emit(self.index(row, 0), self.index(row, ERROR))

    def set_state(self, state: str | None) -> None:
        """Show pictures in this state only, and jobs that have some."""
        self.beginResetModel()
        self._state = state
        self._cache.clear()
        self._stale.clear()
        self._show(self.jobs)
        self.endResetModel()

    @property
    def state(self) -> str | None:
        return self._state

    def set_found(self, rows: list[Row] | None) -> None:
        """Show these pictures instead of the jobs (None: the jobs again)."""
        old = self._found
        if old is not None and rows is not None and [r.id for r in old] == [r.id for r in rows]:
            self._found = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, ERROR))
            return
        if old is None and rows is None:
            return
        self.beginResetModel()
        self._found = rows
        self.endResetModel()

    def _show(self, jobs: Sequence[Job]) -> None:
        self._jobs = [j for j in jobs if not self._state or getattr(j, self._state)]
        self._sizes = [self._size_of(j) for j in self._jobs]
        self._lay_out()

    # keeping up with the ledger -----------------------------------------------------------------------------------

    def poll(self) -> bool:
        """Look whether anyone has written; if so, take it in. Costs one pragma when nobody has."""
        try:
            version = self.ledger.version()
            if version == self._version:
                return False
            self._version = version
            self._take(self.ledger.jobs())
        except CommonArtError as e:
            self.trouble.emit(e)
            return False
        self.refreshed.emit()
        return True

    def _take(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        known = {j.id for j in jobs}
        self._open &= known
        if self._found is not None:
            self._show(jobs)
            self._stale.update(self._cache)
            return
        before = dict(self._cache)
        self._stale.update(self._cache)
        self.words.errors.clear()
        shown = {j.id: j for j in jobs if not self._state or getattr(j, self._state)}
        self._drop_jobs(set(shown))
        have = {j.id for j in self._jobs}
        self._reorder([i for i in shown if i in have])
        self._add_jobs(list(shown.values()))
        changed = self._count_anew(shown)
        self._resize(changed, larger=True)
        if changed and self.persistentIndexList():
            self._follow(changed, before)
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
        old = [(i, *self._place(i.row())) for i in self.persistentIndexList()]
        ids = [j.id for j in self._jobs]
        by_id = {j.id: (j, s) for j, s in zip(self._jobs, self._sizes)}
        self._jobs = [by_id[i][0] for i in order]
        self._sizes = [by_id[i][1] for i in order]
        self._lay_out()
        start = dict(zip(order, self._starts))
        for index, n, picture in old:
            self.changePersistentIndex(index, self.index(start[ids[n]] + 1 + picture, index.column()))
        self.layoutChanged.emit()

    def _add_jobs(self, wanted: list[Job]) -> None:
        n = 0
        while n < len(wanted):
            if n < len(self._jobs) and self._jobs[n].id == wanted[n].id:
                n += 1
                continue
            have = {j.id for j in self._jobs}
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

    def _count_anew(self, shown: dict[int, Job]) -> dict[int, int]:
        """Take in the new counters; returns the unfolded jobs whose rows came, went or became others: job -> its size now."""
        changed = {}
        for n, old in enumerate(self._jobs):
            self._jobs[n] = job = shown[old.id]
            now = self._size_of(job)
            if self._sizes[n] != now or (now and self._state and job != old):
                changed[job.id] = now
        return changed

    def _resize(self, changed: dict[int, int], *, larger: bool) -> None:
        """Add rows at the ends of jobs that have more, or take them off those that have fewer."""
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

    def _follow(self, changed: dict[int, int], before: dict[tuple[int, int], list[Row]]) -> None:
        """Point what is selected at the same pictures again, wherever they stand now."""
        self.layoutAboutToBeChanged.emit()  # the selection now holds an index for every row
        held = self.persistentIndexList()
        new_rows: dict[int, int | None] = {}
        for row in {i.row() for i in held} if len({i.row() for i in held}) <= _FOLLOW else ():
            n, offset = self._place(row)
            job = self._jobs[n].id
            old = before.get((job, offset // PAGE), [])
            if offset >= 0 and job in changed and offset % PAGE < len(old):
                found = self._offset_of(job, old[offset % PAGE].id, changed[job], offset - (self._sizes[n] - changed[job]))
                new_rows[row] = None if found is None else self._starts[n] + 1 + found
        for index in held:
            if index.row() in new_rows:
                new = new_rows[index.row()]
                self.changePersistentIndex(index, QModelIndex() if new is None else self.index(new, index.column()))
        self.layoutChanged.emit()

    def _offset_of(self, job: int, picture: int, size: int, guess: int) -> int | None:
        """Where a picture stands among those of its job that are shown."""
        def at(offset: int) -> int | None:
            rows = self.ledger.page(job=job, offset=offset, limit=1, state=self._state)
            return rows[0].id if rows else None

        for likely in (guess, guess + 1):
            if 0 <= likely < size and at(likely) == picture:
                return likely
        low, high = 0, size
        while low < high:
            middle = (low + high) // 2
            if (found := at(middle)) is None or found >= picture:
                high = middle
            else:
                low = middle + 1
        return low if low < size and at(low) == picture else None

    def on_event(self, event: events.Event) -> None:
        """Take in what the engine tells: steps of running pictures; the rest comes through the ledger."""
        if isinstance(event, events.Progress):
            if len(self.words.steps) > 1000:
                self.words.steps.clear()
            for image in event.images:
                self.words.steps[image] = event
                row = self.row_of(image)
                if row is not None:
                    self.dataChanged.emit(self.index(row, 0), self.index(row, ERROR))
        elif isinstance(event, (events.Saved, events.Failed)):
            self.words.steps.pop(event.image, None)
            self.poll()
        else:
            self.poll()

    def row_of(self, image: int) -> int | None:
        """The table's row of a picture, if it is among those read."""
        if self._found is not None:
            return next((n for n, r in enumerate(self._found) if r.id == image), None)
        for (job, page), rows in self._cache.items():
            if job in self._open and rows and rows[0].id <= image <= rows[-1].id:
                n = next((n for n, j in enumerate(self._jobs) if j.id == job), None)
                within = next((k for k, r in enumerate(rows) if r.id == image), None)
                if n is not None and within is not None and page * PAGE + within < self._sizes[n]:
                    return self._starts[n] + 1 + page * PAGE + within
        return None

    # what Qt asks -------------------------------------------------------------------------------------------------

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:
        if parent.isValid():
            return 0
        return len(self._found) if self._found is not None else self._rows

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.words.titles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self.words.titles[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.TextAlignmentRole:
            return int((Qt.AlignmentFlag.AlignRight if section in (LEFT, ATTEMPTS) else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter)
        return None

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.words.text(self.item(index.row()), index.column())
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            item = self.item(index.row())
            text = self.words.text(item, index.column())
            if index.column() == NAME and item is not None and role == Qt.ItemDataRole.AccessibleTextRole:
                return f"{text}, {self.words.word(item)}"
            return text or None
        return None

    # dragging jobs ------------------------------------------------------------------------------------------------

    def flags(self, index: AnyIndex) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        return _JOB if self._found is None and self._place(index.row())[1] < 0 else _PICTURE

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        jobs = [i.id for row in sorted({i.row() for i in indexes}) if isinstance(i := self.item(row), Job)]
        data = QMimeData()
        data.setData(MIME, QByteArray(" ".join(map(str, jobs)).encode()))
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: AnyIndex) -> bool:
        if not data.hasFormat(MIME) or self._found is not None:
            return False
        jobs = [int(i) for i in bytes(data.data(MIME).data()).split()]
        at = row if row >= 0 else parent.row() if parent.isValid() else self._rows
        before = next((j.id for j, start in zip(self._jobs, self._starts) if start >= at and j.id not in jobs), None)
        if jobs:
            self.dropped.emit(jobs, before)
        return bool(jobs)
