"""What every queue worker has: its commands, pauses reported once, and rows put back when the ledger itself fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.contract import events
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Ledger
from engine.contract.provenance_policy import ProvenancePolicy
from engine.output.save import settle
from engine.provenance.finalize import ImageFinalizer
from engine.worker.notes import Notifier
from engine.worker.stage_timer import StageTimer
from engine.worker.writer import ResultWriter

LOW_DISK = int(os.environ.get("COMMONART_MIN_FREE_MB", "200")) << 20  # bytes
CHECK_SECONDS = 0.1  # how often pause and cancel are polled: seldom enough to cost nothing


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The options of the command line, parsed."""

    device: str = "auto"
    kind: str = "auto"
    batch_size: int | None = None
    memory: int | None = None  # bytes of the device that the model may use
    replay: tuple[int, ...] | None = None  # (rows, index): see recipe.build
    preview: int = 0
    until_empty: bool = False
    debug: bool = False
    provenance: ProvenancePolicy = field(default_factory=ProvenancePolicy)


class QueueWorker:
    """One worker over the ledger, registered there as ``name``; ``notify`` gets its events."""

    def __init__(
        self, ledger: Ledger, name: str, options: WorkerOptions, notify: Callable[[events.Event], None]
    ) -> None:
        self.ledger, self.name, self.options, self.notify = ledger, name, options, notify
        self._quit = threading.Event()
        self._release = threading.Event()
        self._reported_paused = False  # a reported pause is followed by a reported end
        self._notifier = Notifier(notify)
        self._timer = StageTimer()
        self._finalizer = ImageFinalizer(options.provenance, self._notifier.unsigned)
        self._writer = ResultWriter(ledger, name, notify, self._timer, self._finalizer, self._quit, options.debug)

    def command(self, command: str) -> None:
        """``quit`` or ``release``, from any thread."""
        if command == "quit":
            self._quit.set()
        elif command == "release":
            self._release.set()

    def run(self) -> None:
        """Work until ``quit`` or, with ``until_empty``, until nothing is waiting."""
        raise NotImplementedError

    def _release_device(self) -> None:
        """Free the memory of every device."""
        raise NotImplementedError

    def _poll_commands(self) -> None:
        command = self.ledger.take_command(self.name)
        if command:
            self.command(command)
        if self._release.is_set():
            self._release_device()

    def _wait_for_ledger(self, error: CommonArtError, finish: Callable[[], None]) -> None:
        """The ledger cannot be written: wait until it can, then put back this worker's rows.

        ``finish`` completes what was begun.
        """
        self.notify(events.Paused(error=error.to_wire()))
        while not self._quit.wait(1.0):
            try:
                finish()
                self._writer.drain()
                self._put_back_own_rows()
                self.notify(events.Resumed())
                return
            except CommonArtError:
                continue

    def _put_back_own_rows(self) -> None:
        for row in self.ledger.page(state="running", limit=10_000):
            settle(self.ledger, row.id, self.name)

    def _report_resumed(self) -> None:
        """Report the end of a pause that ended unnoticed."""
        if self._reported_paused:
            self._reported_paused = False
            self.notify(events.Resumed())

    def _wait_while_paused(self) -> bool:
        paused, error = self.ledger.paused()
        if not paused:
            self._report_resumed()
            return False
        self._reported_paused = True
        self.notify(events.Paused(error=error))
        while not self._quit.is_set() and self.ledger.paused()[0]:
            self._poll_commands()
            self._quit.wait(CHECK_SECONDS)
        if not self._quit.is_set():
            self._reported_paused = False
            self.notify(events.Resumed())
        return True
