"""The engine's process as the window sees it: started, listened to, told, and left to work when the window goes."""

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
    """One worker over the ledger. It is started when there is work and the user wants it, never by itself after a crash."""

    event = Signal(object)  # every events.Event
    state = Signal(str)  # "off", "starting", "working", "idle", "paused", "dead"

    def __init__(self, ledger: Ledger, settings: SettingsStore, *, backend: str | None = None) -> None:
        super().__init__()
        self._ledger, self._settings, self._backend = ledger, settings, backend
        self._worker: Worker | None = None
        self.now = "off"
        self.device = ""
        self._saved: list[float] = []  # when pictures came, for the pace
        self._seen = False  # a worker that an earlier window or another program started is at work

    @property
    def running(self) -> bool:
        """A worker of this window, or one left by an earlier window, is alive."""
        return self._worker is not None or bool(self._others())

    def _others(self) -> list[str]:
        from engine.contract.ledger.process_lock import is_held

        found = self._ledger.path.parent.glob(f"{self._ledger.path.name}.worker-*.lock")
        return [p.name for p in found if is_held(p)]

    def look(self) -> None:
        """Find a worker that this window did not start: it tells nothing here, but its lease and its rows can be seen."""
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
        """Start a worker unless one is alive. ``resume`` also brings home what a dead one left."""
        if self._worker is not None and self.now == "dead" and self._worker.process.poll() is not None:
            self._worker = None  # its end is on its way to us
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
        """Pictures an hour, by the last ten minutes; None before the second picture."""
        if len(self._saved) < 2:
            return None
        span = self._saved[-1] - self._saved[0]
        return (len(self._saved) - 1) / span * 3600 if span > 0 else None

    def release(self) -> None:
        """Free the device; the next picture loads the model again."""
        if self._worker is not None:
            self._worker.tell("release")
        else:
            self._ledger.command("release")

    def stop(self) -> None:
        """Ask every worker to quit after what is in hand; does not wait."""
        self._ledger.command("quit")
        if self._worker is not None:
            self._worker.tell("quit")

    def shut(self, *, leave_working: bool) -> None:
        """The window closes: leave the worker at work, or end it and wait until it has put back what it held."""
        if self._worker is not None and not leave_working:
            worker, self._worker = self._worker, None
            self._ledger.command("quit")  # a detached worker does not listen to its standard input
            worker.stop(30)
            worker.close()


__all__ = ["WorkerProcess", "error_of"]
