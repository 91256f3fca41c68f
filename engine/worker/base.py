"""What every worker over the queue has: its commands, pauses told once, and rows put back when the ledger itself fails."""

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
CHECK_SECONDS = 0.1  # how often pause and cancel are looked for: seldom enough to cost nothing


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
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
    """One worker over the ledger under its ``name``; ``say`` hears what it tells."""

    def __init__(self, ledger: Ledger, name: str, options: WorkerOptions, say: Callable[[events.Event], None]) -> None:
        self.ledger, self.name, self.options, self.say = ledger, name, options, say
        self._quit = threading.Event()
        self._release = threading.Event()
        self._told_paused = False  # whoever heard of a pause also hears of its end
        self._teller = Notifier(say)
        self._clock = StageTimer()
        self._seal = ImageFinalizer(options.provenance, self._teller.unsigned)
        self._finisher = ResultWriter(ledger, name, say, self._clock, self._seal, self._quit, options.debug)

    def command(self, command: str) -> None:
        """``quit`` or ``release``, from any thread."""
        if command == "quit":
            self._quit.set()
        elif command == "release":
            self._release.set()

    def run(self) -> None:
        """Until told to quit or, if so asked, until nothing is left."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Free every device."""
        raise NotImplementedError

    def _hear(self) -> None:
        command = self.ledger.take_command(self.name)
        if command:
            self.command(command)
        if self._release.is_set():
            self._drop()

    def _hold(self, error: CommonArtError, quieten: Callable[[], None]) -> None:
        """The ledger itself cannot be written: hold still until it can, then put back what is ours. ``quieten`` ends what is in hand."""
        self.say(events.Paused(error=error.to_wire()))
        while not self._quit.wait(1.0):
            try:
                quieten()
                self._finisher.drain()
                self._put_back_mine()
                self.say(events.Resumed())
                return
            except CommonArtError:
                continue

    def _put_back_mine(self) -> None:
        for row in self.ledger.page(state="running", limit=10_000):
            settle(self.ledger, row.id, self.name)

    def _tell_resumed(self) -> None:
        """A pause that ended while something else was being done."""
        if self._told_paused:
            self._told_paused = False
            self.say(events.Resumed())

    def _wait_while_paused(self) -> bool:
        paused, error = self.ledger.paused()
        if not paused:
            self._tell_resumed()
            return False
        self._told_paused = True
        self.say(events.Paused(error=error))
        while not self._quit.is_set() and self.ledger.paused()[0]:
            self._hear()
            self._quit.wait(CHECK_SECONDS)
        if not self._quit.is_set():
            self._told_paused = False
            self.say(events.Resumed())
        return True
