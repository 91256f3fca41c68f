"""Workers over one ledger, started again when they die: what one image kills, the others survive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from commonart_desktop.core.process import Worker, error_of
from engine.contract import events
from engine.contract.errors import CommonArtError, EngineStopped

GIVE_UP = 5  # deaths in a row without an image made or failed in between


class Supervisor:
    """``events()`` yields what all workers tell until the queue is empty or every worker has ended."""

    def __init__(self, ledger: Path, options: Sequence[str], *, workers: int = 1, debug: bool = False) -> None:
        self._ledger, self._options, self._debug = ledger, list(options), debug
        self._inbox: queue.Queue[tuple[int, events.Event | None]] = queue.Queue()
        self._workers: dict[int, Worker] = {}
        self._count = workers
        self._stopping = False

    def _start(self, slot: int, *, resume: bool) -> None:
        device = ["--device", f"auto:{slot}"] if self._count > 1 and "--device" not in self._options else []
        worker = Worker(self._ledger, [*self._options, *device, *(["--resume"] if resume else [])], debug=self._debug)
        self._workers[slot] = worker

        def listen() -> None:
            for event in worker.events():
                self._inbox.put((slot, event))
            self._inbox.put((slot, None))

        threading.Thread(target=listen, name=f"worker {slot}", daemon=True).start()

    def events(self, *, resume: bool) -> Iterator[events.Event]:
        """Start the workers and tell what they tell.

        Raises:
            CommonArtError: a worker said that it cannot go on; EngineStopped: workers die again and again.
        """
        deaths = 0
        for slot in range(self._count):
            self._start(slot, resume=resume)
        broken: CommonArtError | None = None
        while self._workers:
            slot, event = self._inbox.get()
            if event is None:
                self._workers.pop(slot).close()
                continue
            if isinstance(event, (events.Saved, events.Failed)):
                deaths = 0
            if isinstance(event, events.Broken):
                error = error_of(event)
                if not isinstance(error, EngineStopped) or self._stopping:
                    broken = broken or error
                    continue
                deaths += 1
                if deaths >= GIVE_UP:
                    broken = broken or error
                    continue
                self._workers[slot].process.wait()
                self._drain(slot)
                yield events.Note(
                    template="The engine stopped unexpectedly and was started again; nothing finished is lost"
                )
                self._start(slot, resume=True)
                continue
            yield event
        if broken is not None:
            raise broken

    def _drain(self, slot: int) -> None:
        """Take the dead worker's end out of the inbox, keeping what others said."""
        others: list[tuple[int, events.Event | None]] = []
        while (item := self._inbox.get()) != (slot, None):
            others.append(item)
        for item in others:
            self._inbox.put(item)
        self._workers.pop(slot).close()

    def tell(self, command: str) -> None:
        """Tell every worker."""
        self._stopping = self._stopping or command == "quit"
        for worker in list(self._workers.values()):
            worker.tell(command)

    def stop(self, seconds: float = 60.0) -> None:
        """End every worker, gently first."""
        self.tell("quit")
        for worker in list(self._workers.values()):
            worker.stop(seconds)
            worker.close()
        self._workers.clear()
