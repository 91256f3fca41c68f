"""What the queue's cells say, in the user's language."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QLocale, QObject

from commonart_desktop.core import i18n
from engine.contract import events
from engine.contract.errors import from_wire
from engine.contract.ledger_file import STATES
from engine.contract.queue import Job, Row

NAME, SETTINGS, PROGRESS, LEFT, ATTEMPTS, ERROR = range(6)


def job_state(job: Job) -> str:
    """One word for a whole job."""
    if job.running:
        return "running"
    if job.waiting:
        return "paused" if job.paused else "waiting"
    return "failed" if job.failed else "done" if job.done else "cancelled"


def fraction(job: Job) -> float:
    """How much of a job is behind us."""
    return (job.done + job.failed + job.cancelled) / job.total if job.total else 0.0


class Words(QObject):
    """Texts of jobs and pictures. ``steps`` is what the engine told of running ones; ``errors`` sentences already made."""

    def __init__(self, pace: Callable[[], float | None], parent: QObject) -> None:
        super().__init__(parent)
        self._pace = pace
        self.titles = [self.tr("Name or prompt"), self.tr("Settings"), self.tr("Progress"), self.tr("Time left"), self.tr("Attempts"), self.tr("Error")]
        self.steps: dict[int, events.Progress] = {}
        self.errors: dict[int, str] = {}

    def word(self, item: Job | Row) -> str:
        """Its state."""
        state = item.state if isinstance(item, Row) else job_state(item)
        return i18n.tr(state) if state in STATES else self.tr("paused")

    def text(self, item: Job | Row | None, column: int) -> str:
        """A cell's words."""
        if item is None:
            return "…" if column == NAME else ""
        return self._job(item, column) if isinstance(item, Job) else self._picture(item, column)

    def _job(self, job: Job, column: int) -> str:
        number = QLocale().toString
        if column == NAME:
            return job.name
        if column == SETTINGS:
            return self.tr("priority {number}").format(number=f"{job.priority:+d}") if job.priority else ""
        if column == PROGRESS:
            return f"{number(job.done)}/{number(job.total)}"
        if column == LEFT:
            if job.paused and job.waiting:
                return self.tr("paused")
            left, pace = job.waiting + job.running, self._pace()
            return self.duration(left / pace * 3600) if left and pace else ""
        return self.tr("{count} failed").format(count=number(job.failed)) if column == ERROR and job.failed else ""

    def _picture(self, row: Row, column: int) -> str:
        request = row.request
        if column == NAME:
            return request.prompt.replace("\n", " ")
        if column == SETTINGS:
            size = f"{request.width}×{request.height}  " if request.width and request.height else ""
            return size + self.tr("{steps} steps  seed {seed}").format(steps=request.steps, seed=request.seed)
        if column == PROGRESS:
            steps = self.steps.get(row.id)
            if row.state == "running" and steps is not None:
                return self.tr("step {step}/{steps}").format(step=steps.step, steps=steps.steps)
            return i18n.tr(row.state)
        if column == ATTEMPTS:
            return str(row.attempts) if row.attempts else ""
        if column == ERROR and row.error is not None:
            if row.id not in self.errors:
                self.errors[row.id] = i18n.sentence(from_wire(row.error))[0]
            return self.errors[row.id]
        return ""

    def duration(self, seconds: float) -> str:
        """A guessed time, and it says so."""
        minutes = max(1, round(seconds / 60))
        if minutes < 60:
            return self.tr("about {minutes} m").format(minutes=minutes)
        return self.tr("about {hours} h {minutes} m").format(hours=QLocale().toString(minutes // 60), minutes=minutes % 60)
