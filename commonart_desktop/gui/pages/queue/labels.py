"""Texts of the queue's cells, in the user's language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from PySide6.QtCore import QLocale, QObject

from commonart_desktop.core import i18n
from engine.contract import events
from engine.contract.errors import from_wire
from engine.contract.ledger.ledger import Job, Line, Row
from engine.contract.ledger.rows import as_line
from engine.contract.ledger.schema import STATES

NAME, SETTINGS, PROGRESS, LEFT, ATTEMPTS, ERROR = range(6)


class RowLabels(NamedTuple):
    """One row of the table, ready to be drawn."""

    texts: tuple[str, str, str, str, str, str]
    state: str  # which icon precedes the name
    fraction: float | None  # of a job that is finished; None: an image
    paused: bool  # a paused job
    open: bool  # an unfolded job


def job_state(job: Job) -> str:
    """The state of a job as a whole."""
    if job.running:
        return "running"
    if job.waiting:
        return "paused" if job.paused else "waiting"
    return "failed" if job.failed else "done" if job.done else "cancelled"


def fraction(job: Job) -> float:
    """The finished fraction of a job."""
    return (job.done + job.failed + job.cancelled) / job.total if job.total else 0.0


def left(jobs: Sequence[Job]) -> int:
    """How many images are waiting or running."""
    return sum(j.waiting + j.running for j in jobs)


class QueueLabels(QObject):
    """Texts of jobs and images, from templates translated once. ``steps`` holds the progress of running images."""

    def __init__(self, pace: Callable[[], float | None], parent: QObject) -> None:
        super().__init__(parent)
        self._pace = pace
        self.titles = [
            self.tr("Name or prompt"),
            self.tr("Settings"),
            self.tr("Progress"),
            self.tr("Time left"),
            self.tr("Attempts"),
            self.tr("Error"),
        ]
        self.steps: dict[int, events.Progress] = {}
        self._number = QLocale().toString
        self._states = {s: i18n.tr(s) for s in STATES} | {"paused": self.tr("paused")}
        self._seed, self._of_steps, self._step = (
            self.tr("seed {seed}"),
            self.tr("{steps} steps"),
            self.tr("step {step}/{steps}"),
        )
        self._priority, self._failed = self.tr("priority {number}"), self.tr("{count} failed")
        self._minutes, self._hours = self.tr("about {minutes} m"), self.tr("about {hours} h {minutes} m")

    def samples(self) -> dict[int, list[str]]:
        """The widest common texts of columns that should not be elided."""
        return {
            PROGRESS: [
                *self._states.values(),
                self._step.format(step=20, steps=20),
                self._number(99_999) + "/" + self._number(99_999),
            ],
            LEFT: [self.titles[LEFT], self._hours.format(hours=20, minutes=50)],
            ATTEMPTS: [self.titles[ATTEMPTS]],
        }

    def state_text(self, item: Job | Line | Row) -> str:
        """The name of its state."""
        return self._states[job_state(item) if isinstance(item, Job) else item.state]

    def text(self, item: Job | Line | Row | None, column: int) -> str:
        """The text of a cell."""
        if item is None:
            return "…" if column == NAME else ""
        if isinstance(item, Job):
            return self.job(item, unfolded=False).texts[column]
        return self.image(as_line(item) if isinstance(item, Row) else item).texts[column]

    def job(self, job: Job, *, unfolded: bool) -> RowLabels:
        """A job's row, which depends on the pace."""
        settings = self._priority.format(number=f"{job.priority:+d}") if job.priority else ""
        time_left = ""
        if job.paused and job.waiting:
            time_left = self._states["paused"]
        else:
            left, pace = job.waiting + job.running, self._pace()
            if left and pace:
                time_left = self.duration(left / pace * 3600)
        error = self._failed.format(count=self._number(job.failed)) if job.failed else ""
        return RowLabels(
            (job.name, settings, f"{self._number(job.done)}/{self._number(job.total)}", time_left, "", error),
            job_state(job),
            fraction(job),
            job.paused,
            unfolded,
        )

    def image(self, line: Line) -> RowLabels:
        """An image's row."""
        parts = [self._seed.format(seed=line.seed), self._of_steps.format(steps=line.steps)]
        if line.width and line.height:
            parts.insert(1, f"{line.width}×{line.height}")
        steps = self.steps.get(line.id) if line.state == "running" else None
        progress = (
            self._step.format(step=steps.step, steps=steps.steps) if steps is not None else self._states[line.state]
        )
        error = i18n.sentence(from_wire(line.error))[0] if line.error is not None else ""
        return RowLabels(
            (
                line.prompt.replace("\n", " "),
                "  ".join(parts),
                progress,
                "",
                str(line.attempts) if line.attempts else "",
                error,
            ),
            line.state,
            None,
            False,
            False,
        )

    def duration(self, seconds: float) -> str:
        """An estimated time, worded as such."""
        minutes = max(1, round(seconds / 60))
        if minutes < 60:
            return self._minutes.format(minutes=minutes)
        return self._hours.format(hours=self._number(minutes // 60), minutes=minutes % 60)
