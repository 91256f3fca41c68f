"""The ledger as a table with expandable jobs: Qt's model interface, polling for changes, dragging and renaming."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QMimeData, QModelIndex, QObject, Qt, Signal

from commonart_desktop.gui.pages.queue.labels import ATTEMPTS, ERROR, LEFT, NAME, RowLabels
from commonart_desktop.gui.pages.queue.row_map import AnyIndex, RowMap
from engine.contract import events
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Job, Ledger, Line, Row
from engine.contract.ledger.rows import as_line

MIME = "application/x-commonart-jobs"
_STEPS_KEPT = 1000

_PICTURE = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
_JOB = _PICTURE | Qt.ItemFlag.ItemIsDragEnabled
_JOB_NAME = _JOB | Qt.ItemFlag.ItemIsEditable
_DISPLAY, _EDIT, _TIP, _SPOKEN = (
    Qt.ItemDataRole.DisplayRole,
    Qt.ItemDataRole.EditRole,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
)
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


class LedgerModel(RowMap):
    """Jobs in running order and their images. Reads through its own connection, so that writers do not block it."""

    refreshed = Signal()  # jobs or images have changed
    trouble = Signal(object)  # a CommonArtError while reading
    dropped = Signal(object, object)  # ids of jobs dragged, id of the job they go before (None: to the end)
    renamed = Signal(int, str)  # a job was renamed: id and name

    def __init__(self, path: Path, pace: Callable[[], float | None], parent: QObject | None = None) -> None:
        super().__init__(Ledger(path, timeout=1.0), pace, parent)
        self._results: list[Line] | None = None
        self._result_cells: dict[int, RowLabels] = {}
        self._job_cells: dict[int, RowLabels] = {}
        self._full: tuple[Line, Row] | None = None  # the image that was last read in full
        self._version = -1
        self.poll()

    # what a row is ------------------------------------------------------------------------------------------------

    def line(self, row: int) -> Job | Line | None:
        """The job or image of a row, as the table shows it; None if the ledger no longer has it."""
        if self._results is not None:
            return self._results[row] if 0 <= row < len(self._results) else None
        if not 0 <= row < self._rows:
            return None
        n, image = self._locate(row)
        return self._jobs[n] if image < 0 else self.pages.line(self._jobs[n].id, image)

    def item(self, row: int) -> Job | Row | None:
        """The same with everything the ledger has about an image, which is read now."""
        line = self.line(row)
        if not isinstance(line, Line):
            return line
        if self._full is None or self._full[0] != line:
            try:
                full = self.ledger.row(line.id)
            except CommonArtError:
                full = None
            if full is None:
                return None
            self._full = (line, full)
        return self._full[1]

    def cells(self, row: int) -> RowLabels | None:
        """The texts of a row."""
        if self._results is not None:
            if not 0 <= row < len(self._results):
                return None
            if row not in self._result_cells:
                self._result_cells[row] = self.labels.image(self._results[row])
            return self._result_cells[row]
        if not 0 <= row < self._rows:
            return None
        n, image = self._locate(row)
        job = self._jobs[n]
        if image >= 0:
            return self.pages.cells(job.id, image)
        cells = self._job_cells.get(job.id)
        if cells is None:
            cells = self._job_cells[job.id] = self.labels.job(job, unfolded=job.id in self._open)
        return cells

    def row_of_job(self, job: int) -> int | None:
        """The row of a job."""
        return self.start_of(job) if self._results is None else None

    def row_of(self, image: int) -> int | None:
        """The row of an image if it is cached; its texts are dropped."""
        if self._results is not None:
            row = next((n for n, r in enumerate(self._results) if r.id == image), None)
            self._result_cells.pop(-1 if row is None else row, None)
            return row
        for job, offset in self.pages.find(image):
            start = self.start_of(job) if job in self._open else None
            if start is not None and offset < self._sizes[self._locate(start)[0]]:
                return start + 1 + offset
        return None

    @property
    def searching(self) -> bool:
        return self._results is not None

    @property
    def state(self) -> str | None:
        """The only state whose images are shown; None for all."""
        return self.pages.state

    # expanding, filter, search --------------------------------------------------------------------------------------

    def fold(self, row: int, unfold: bool | None = None) -> None:
        """Collapse or expand the job at a row (None: toggle)."""
        job = self.line(row)
        if not isinstance(job, Job) or unfold is (job.id in self._open):
            return
        self._job_cells.pop(job.id, None)
        self._fold(row)
        self.dataChanged.emit(self.index(row, 0), self.index(row, ERROR))

    def set_state(self, state: str | None) -> None:
        """Show images in this state only, and jobs that have some."""
        self.beginResetModel()
        self.pages.state = state
        self.pages.clear()
        self._show(self.jobs)
        self.endResetModel()

    def set_results(self, rows: Sequence[Row] | None) -> None:
        """Show these images instead of the jobs (None: the jobs again)."""
        old, lines = self._results, None if rows is None else [as_line(r) for r in rows]
        if old is None and lines is None:
            return
        self._result_cells.clear()
        if old is not None and lines is not None and [r.id for r in old] == [r.id for r in lines]:
            self._results = lines
            if lines:
                self.dataChanged.emit(self.index(0, 0), self.index(len(lines) - 1, ERROR))
            return
        self.beginResetModel()
        self._results = lines
        self.endResetModel()

    # keeping up with the ledger -----------------------------------------------------------------------------------

    def poll(self) -> bool:
        """Update if the ledger has changed. Costs one pragma if it has not."""
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
        self._open &= {j.id for j in jobs}
        self._job_cells.clear()
        self._full = None
        self.pages.mark_stale()
        if self._results is not None:
            self._show(jobs)
        else:
            self._change_to(jobs)

    def on_event(self, event: events.Event) -> None:
        """Update the progress of running images; everything else comes through the ledger."""
        if isinstance(event, events.Progress):
            if len(self.labels.steps) > _STEPS_KEPT:
                self.labels.steps.clear()
            for image in event.images:
                self.labels.steps[image] = event
                row = self.row_of(image)
                if row is not None:
                    self.dataChanged.emit(self.index(row, 0), self.index(row, ERROR))
        elif isinstance(event, (events.Saved, events.Failed)):
            self.labels.steps.pop(event.image, None)
            self.poll()
        else:
            self.poll()

    # Qt's interface -----------------------------------------------------------------------------------------------

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:
        if parent.isValid():
            return 0
        return len(self._results) if self._results is not None else self._rows

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.labels.titles)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _DISPLAY) -> Any:
        if orientation == Qt.Orientation.Horizontal and role in (_DISPLAY, _TIP):
            return self.labels.titles[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if section in (LEFT, ATTEMPTS) else _LEFT
        return None

    def data(self, index: AnyIndex, role: int = _DISPLAY) -> Any:
        if not index.isValid() or role not in (_DISPLAY, _EDIT, _TIP, _SPOKEN):
            return None
        cells = self.cells(index.row())
        if cells is None:
            return "…" if role == _DISPLAY and index.column() == NAME else None
        text = cells.texts[index.column()]
        if role == _SPOKEN and index.column() == NAME:
            item = self.line(index.row())
            return f"{text}, {self.labels.state_text(item)}" if item is not None else text
        return text if role == _DISPLAY else text or None

    def flags(self, index: AnyIndex) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        if self._results is not None or self._locate(index.row())[1] >= 0:
            return _PICTURE
        return _JOB_NAME if index.column() == NAME else _JOB

    def setData(self, index: AnyIndex, value: Any, role: int = _EDIT) -> bool:
        """Rename a job; the new name is shown once the ledger has it."""
        job = self.line(index.row()) if index.isValid() else None
        name = str(value).strip()
        if role != _EDIT or index.column() != NAME or not isinstance(job, Job) or not name:
            return False
        if name != job.name:
            self.renamed.emit(job.id, name)
        return True

    # dragging jobs ------------------------------------------------------------------------------------------------

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        return self.carry([i.id for row in sorted({i.row() for i in indexes}) if isinstance(i := self.line(row), Job)])

    @staticmethod
    def carry(jobs: Sequence[int]) -> QMimeData:
        """The drag data of these jobs."""
        data = QMimeData()
        data.setData(MIME, QByteArray(" ".join(map(str, jobs)).encode()))
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: AnyIndex) -> bool:
        if not data.hasFormat(MIME) or self._results is not None:
            return False
        jobs = [int(i) for i in bytes(data.data(MIME).data()).split()]
        at = row if row >= 0 else parent.row() if parent.isValid() else self._rows
        before = next(
            (j.id for j, start in zip(self._jobs, self._starts, strict=False) if start >= at and j.id not in jobs), None
        )
        if jobs:
            self.dropped.emit(jobs, before)
        return bool(jobs)
