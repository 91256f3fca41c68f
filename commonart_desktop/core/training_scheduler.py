"""Which training runs when: one at a time, in order, and never beside the queue on the same device.

The queue is paused while a training uses its device and resumed when no training is left. Without Qt or threads: the
caller lists the runs, calls ``schedule`` when something may have changed, and shows the states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from commonart_desktop.core import runs
from commonart_desktop.core.runs import Run
from engine.contract.errors import CommonArtError, QueueHeld
from engine.contract.ledger.ledger import Ledger


class Engine(Protocol):
    """The process that drains the queue."""

    @property
    def now(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def release(self) -> None:
        """Give the device back; the queue is paused."""


class TrainingScheduler:
    """The known runs and their states.

    Args:
        device: The queue's device setting, asked anew each time.
        on_error: Called with the error of a run that could not be started.
    """

    def __init__(
        self, ledger: Ledger, engine: Engine, device: Callable[[], str], on_error: Callable[[CommonArtError], None]
    ) -> None:
        self._ledger, self._engine, self._device, self._on_error = ledger, engine, device, on_error
        self.runs: list[Run] = []
        self._states: dict[str, str] = {}  # by folder
        self.listed = False

    def update(self, listing: list[tuple[Run, str]]) -> None:
        """Take over what was read from the folders. Known ``Run`` objects stay, with the plan that was read."""
        known = {str(r.folder): r for r in self.runs}
        self.runs = []
        for run, state in listing:
            old = known.get(str(run.folder))
            if old is not None:
                old.plan = run.plan
                run = old
            self.runs.append(run)
            self._states[str(run.folder)] = state
        self.listed = True

    def add(self, run: Run) -> None:
        """Put a new run at the top, unless it is there."""
        if all(r.folder != run.folder for r in self.runs):
            self.runs.insert(0, run)

    def state(self, run: Run) -> str:
        """ "draft", "waiting", "running", "paused", "stopped", "done", "failed", "broken-off" or "off"."""
        return self._states.get(str(run.folder), "draft")

    def set_paused(self, run: Run, paused: bool) -> bool:
        """What a live run's events report; returns whether that is news."""
        state = "paused" if paused else "running"
        if self.state(run) not in ("running", "paused") or self.state(run) == state:
            return False
        self._states[str(run.folder)] = state
        return True

    def active(self) -> list[Run]:
        """The runs whose process is alive."""
        return [r for r in self.runs if self.state(r) in ("running", "paused")]

    def waiting(self) -> list[Run]:
        """In the order in which they will start."""
        return sorted(
            (r for r in self.runs if self.state(r) == "waiting"),
            key=lambda r: float(r.plan.get("order") or r.plan.get("created") or 0),
        )

    def queue_busy(self, run: Run | None = None) -> bool:
        """Whether the queue generates images on the device that this run wants."""
        counts = self._ledger.counts()
        busy = self._engine.now in ("working", "starting") or (self._engine.running and not self._ledger.paused()[0])
        return busy and bool(counts["waiting"] + counts["running"]) and self._same_device(run)

    def _same_device(self, run: Run | None) -> bool:
        ours = str(run.plan.get("device") or "auto") if run is not None else "auto"
        theirs = self._device()
        return "auto" in (ours, theirs) or ours.partition(":")[0] == theirs.partition(":")[0]

    def enqueue(self, run: Run, *, after_queue: bool) -> None:
        """Let it start once no other training is active, and with ``after_queue`` not before the queue is empty.

        Raises:
            OutputFolder: its plan cannot be written.
        """
        last = max([float(r.plan.get("order") or 0) for r in self.runs], default=0)
        run.change(state="waiting", after_queue=after_queue, order=last + 1)
        self.add(run)
        self._states[str(run.folder)] = "waiting"

    def schedule(self) -> Run | None:
        """Start the next run if it may start, and return it; resume the queue when no training is left."""
        if self.active():
            return None
        waiting = self.waiting()
        if not waiting:
            self._resume_queue()
            return None
        run = waiting[0]
        if run.plan.get("after_queue") and self.queue_busy(run):
            return None
        try:
            if self._same_device(run) and not self._ledger.paused()[0]:
                self._ledger.pause(None, True, QueueHeld(name=run.name))
                self._engine.release()
            runs.start(run)
        except CommonArtError as e:
            run.plan["state"] = "off"
            self._states[str(run.folder)] = "failed"
            self._on_error(e)
            return None
        self._states[str(run.folder)] = "running"
        return run

    def queue_held(self) -> bool:
        """Whether the queue is paused for a training, perhaps since an earlier start of the program."""
        paused, reason = self._ledger.paused()
        return paused and reason is not None and reason.get("kind") == QueueHeld.kind

    def _resume_queue(self) -> None:
        if self.listed and self.queue_held():
            self._ledger.pause(None, False)
