"""The events of a run: sent to the user and written to the run's log, by the first process only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.contract import training_events as events
from engine.contract.errors import Phrase
from engine.contract.events import Event
from trainer.learn.distributed.processes import Processes
from trainer.learn.log import RunLog

Notify = Callable[[Event], None]
_PROGRESS_INTERVAL = 0.2  # seconds between two events of preparation


class Reporter:
    """``notify`` gets every event; those after ``open_log`` and before ``close`` are logged too."""

    def __init__(self, notify: Notify, processes: Processes) -> None:
        self._notify, self._processes = notify, processes
        self._log: RunLog | None = None
        self._progress_at = 0.0

    def open_log(self, log: RunLog) -> None:
        """Write the following events to ``log``; the reporter closes it."""
        self._log = log

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def emit(self, event: Event) -> None:
        """Send an event and log it; does nothing in all processes but the first."""
        if self._processes.first:
            self._notify(event)
            if self._log is not None:
                self._log.write(event)

    def note(self, template: str, **fields: Any) -> None:
        """Emit a sentence: an English template and its fields, which the reader's side translates."""
        self.emit(
            events.Note(
                template=template,
                fields={
                    k: {"template": v.template, "fields": v.fields} if isinstance(v, Phrase) else v
                    for k, v in fields.items()
                },
            )
        )

    def progress(self, what: str, done: int, total: int) -> None:
        """Emit the progress of the preparation, at most five times a second; raises what ended another process."""
        now = time.monotonic()
        if done == total or now - self._progress_at > _PROGRESS_INTERVAL:
            self._progress_at = now
            self._processes.check()
            self.emit(events.Preparing(what=what, done=done, total=total))
