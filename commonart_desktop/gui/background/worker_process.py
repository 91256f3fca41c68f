"""The engine's worker process as the window sees it.

It is started, followed by its events, sent commands, and left running when the window closes if the user wishes so.
"""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Signal

from commonart_desktop.core.process import Worker, error_of
from commonart_desktop.core.settings import provenance_options
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.settings_store import SettingsStore
from engine.contract import events
from engine.contract.ledger.ledger import Ledger


class WorkerProcess(QObject):
    """One worker for the ledger.

    It is started when there is work and the user wants it, never automatically after a crash.
    """

    event = Signal(object)  # type: ignore[assignment]  # every events.Event; no event of Qt comes here
    state = Signal(str)  # "off", "starting", "working", "idle", "paused", "dead"

    def __init__(self, ledger: Ledger, settings: SettingsStore, *, backend: str | None = None) -> None:
        super().__init__()
        self._ledger, self._settings, self._backend = ledger, settings, backend
        self._worker: Worker | None = None
        self.now = "off"
        self.device = ""
        self._saved: list[float] = []  # when images were saved, for the pace
        self._seen = False  # a worker that an earlier window or another program started is running

    @property
    def running(self) -> bool:
        """Whether a worker of this window, or one left by an earlier window, is alive."""
        return self._worker is not None or bool(self._others())

    def _others(self) -> list[str]:
        from engine.contract.ledger.process_lock import is_held

        locks = self._ledger.path.parent.glob(f"{self._ledger.path.name}.worker-*.lock")
        return [p.name for p in locks if is_held(p)]

    def look(self) -> None:
        """Look for a worker that this window did not start.

        It sends no events here, but its lock and its rows can be seen.
        """
        if self._worker is not None:
            self._seen = False
        elif self._others():
            self._seen = True
            counts = self._ledger.counts()
            self._set(
                "paused"
                if self._ledger.paused()[0]
                else "working"
                if counts["waiting"] or counts["running"]
                else "idle"
            )
        elif self._seen:
            self._seen = False
            self._set("off")

    def start(self, *, resume: bool = False) -> None:
        """Start a worker unless one is alive. ``resume`` also takes back the rows that a dead one left running."""
        if self._worker is not None and self.now == "dead" and self._worker.process.poll() is not None:
            self._worker = None  # its end has not been delivered yet
        if self._worker is not None or self._others():
            return
        options = [
            "--detached",
            "--preview",
            "4",
            "--device",
            self._settings.now.device,
            "--memory",
            self._settings.now.memory,
            *(["--resume"] if resume else []),
            *provenance_options(self._settings.now.provenance),
        ]
        if self._settings.now.cluster:
            options += ["--ray", self._settings.now.cluster]
        if self._backend:
            options += ["--backend", self._backend]
        self._worker = worker = Worker(self._ledger.path, options)
        self._set("starting")

        def listen(task: Task) -> None:
            for event in worker.events():
                task.progress(worker, event)

        Task(self, listen, progress=self._on_event, done=lambda _: self._on_event(worker, None), name="engine")

    def _set(self, state: str) -> None:
        if state != self.now:
            self.now = state
            self.state.emit(state)

    def _on_event(self, worker: Worker, event: events.Event | None) -> None:
        if worker is not self._worker:
            return
        if event is None:
            worker.close()
            self._worker = None
            if self.now != "dead":
                self._set("off")
            return
        if isinstance(event, events.Loaded):
            self.device = f"{event.device} · {event.dtype}"
        if isinstance(event, events.Saved):
            self._saved = [t for t in self._saved if t > time.monotonic() - 600] + [time.monotonic()]
        states = {
            events.Progress: "working",
            events.Saved: "working",
            events.Idle: "idle",
            events.Paused: "paused",
            events.Resumed: "working",
        }
        if isinstance(event, events.Broken):
            self._set("dead")
        elif type(event) in states:
            self._set(states[type(event)])
        self.event.emit(event)

    def pace(self) -> float | None:
        """Images per hour over the last ten minutes; None before the second image."""
        if len(self._saved) < 2:
            return None
        span = self._saved[-1] - self._saved[0]
        return (len(self._saved) - 1) / span * 3600 if span > 0 else None

    def release(self) -> None:
        """Unload the model from the device; the next image loads it again."""
        if self._worker is not None:
            self._worker.tell("release")
        else:
            self._ledger.command("release")

    def stop(self) -> None:
        """Ask every worker to quit after its current batch; does not wait."""
        self._ledger.command("quit")
        if self._worker is not None:
            self._worker.tell("quit")

    def shut(self, *, leave_working: bool) -> None:
        """Leave the worker running when the window closes, or end it.

        In that case, wait until it has returned its rows to the queue.
        """
        if self._worker is not None and not leave_working:
            worker, self._worker = self._worker, None
            self._ledger.command("quit")  # a detached worker does not read its standard input
            worker.stop(30)
            worker.close()


__all__ = ["WorkerProcess", "error_of"]
