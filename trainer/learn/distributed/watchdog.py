"""Whether the other processes of a run are still there, asked every second beside the training.

A collective operation waits for everybody: with NCCL a process whose fellow was killed would wait for hours. Three signs are
looked at: a fellow that fails says so in the group's key-value store before it goes; a fellow on this machine that was killed is
missing from the system's table of processes; one on another machine is given up when its neighbour in the ring of ranks
has not heard its beat for ``SILENCE`` seconds. Each process asks the store three things a second, however many there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from engine.contract.errors import CommonArtError, Phrase, ProcessLost, from_wire

PULSE = 1.0  # seconds between two looks
SILENCE = 30.0  # seconds without a beat; a stalled network disk may hold a process up for some
GRACE = 3.0  # seconds for the training itself to notice and to leave in order
WRITING = 600.0  # seconds that a checkpoint being written is given


@dataclass(frozen=True)
class Place:
    """Where a process runs. ``group`` parts two launches on one host."""

    host: str
    group: str
    pid: int

    @property
    def machine(self) -> tuple[str, str]:
        return self.host, self.group


def here() -> Place:
    """This process's."""
    return Place(platform.node(), os.environ.get("GROUP_RANK", "0"), os.getpid())


class Watch:
    """A thread that looks, and ends this process when another is lost and the training cannot leave by itself."""

    def __init__(self, rank: int, world: int) -> None:
        import psutil
        from torch.distributed import PrefixStore, TCPStore

        self.rank, self.world = rank, world
        server = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            None,
            False,
            timedelta(seconds=60),
            wait_for_workers=False,
        )
        # an agent that starts the processes again keeps its store
        self.store: Any = PrefixStore(f"commonart/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", server)
        self.lost: CommonArtError | None = None
        self.lost_rank = -1
        self._told_itself = False  # the first process failed, and tells the user why
        self.writing = False  # the main thread is at something that should be whole
        self._speak: Callable[[CommonArtError], None] = lambda error: None
        self._done, self._gone = threading.Event(), threading.Event()
        self.store.set(f"place/{rank}", json.dumps(asdict(here())))
        self.places = [
            Place(**json.loads(x)) for x in self.store.multi_get([f"place/{n}" for n in range(world)])
        ]  # waits for all
        self._fellows: dict[int, Any] = {}
        for n, place in enumerate(self.places):
            if n != rank and place.machine == self.places[rank].machine:
                try:
                    self._fellows[n] = psutil.Process(place.pid)
                except psutil.Error:
                    self._fellows[n] = None  # gone already
        self._ahead = (rank + 1) % world
        self._heard, self._heard_at, self._beat = b"", time.monotonic(), 0
        self.store.set(f"beat/{rank}", "0")
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()

    def on_lost(self, speak: Callable[[CommonArtError], None]) -> None:
        """Who tells the user, if this process must be ended from here."""
        self._speak = speak

    def announce(self, error: CommonArtError) -> bool:
        """Tell the others why this process ends; returns whether it is the first to say so."""
        mine = json.dumps({"rank": self.rank, "by": self.rank, "error": error.to_wire()})
        with contextlib.suppress(Exception):  # the store may be gone
            return bool(self.store.compare_set("lost", "", mine).decode() == mine)
        return True

    def speaker(self) -> bool:
        """Is it for this process to tell the user: the first, or whoever comes first among those that are left?"""
        if self._told_itself:
            return False
        return self.rank == min(n for n in range(self.world) if n != self.lost_rank)

    def stop(self) -> None:
        """The end in order; others are not alarmed by our silence."""
        self._done.set()
        self._thread.join(2 * PULSE)
        with contextlib.suppress(Exception):
            self.store.set(f"beat/{self.rank}", "left")

    def wait_lost(self, seconds: float) -> CommonArtError | None:
        """What was lost, if it becomes known within ``seconds``."""
        self._gone.wait(seconds)
        return self.lost

    def silent(self, seconds: float) -> CommonArtError | None:
        """Whose beat stands still for ``seconds``: asked when a connection broke and nobody has said why."""
        names = [f"beat/{n}" for n in range(self.world)]
        try:
            before = self.store.multi_get(names)
            if self._gone.wait(seconds):
                return self.lost
            after = self.store.multi_get(names)
        except Exception:  # the store died too
            return self.wait_lost(2 * PULSE)
        for n, (a, b) in enumerate(zip(before, after, strict=True)):
            if n != self.rank and a == b != b"left":
                self.lost_rank, self.lost = self._declare(n, Phrase("its connection closed"))
                return self.lost
        return None

    def _look(self) -> None:
        while not self._done.wait(PULSE):
            try:
                found = self._find()
            except Exception:  # the store died: it lives with the first process, or with what started it
                found = (0, self._error(0, Phrase("its connection closed")))
            if found is not None and not self._done.is_set():
                self.lost_rank, self.lost = found
                self._gone.set()
                self._end()
                return

    def _find(self) -> tuple[int, CommonArtError] | None:
        import psutil

        self._beat += 1
        self.store.set(f"beat/{self.rank}", str(self._beat))
        if self.store.check(["lost"]):
            told = json.loads(self.store.get("lost"))
            rank = int(told["rank"])
            self._told_itself = rank == told["by"] == 0
            return None if rank == self.rank else (rank, self._told(rank, told["error"]))
        for n, fellow in self._fellows.items():
            try:
                alive = fellow is not None and fellow.is_running() and fellow.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                alive = False
            if not alive and self._last(n) != b"left":
                return self._declare(n, Phrase("it was killed"))
        beat = self._last(self._ahead)
        now = time.monotonic()
        if beat != self._heard:
            self._heard, self._heard_at = beat, now
        elif beat != b"left" and now - self._heard_at > SILENCE:
            return self._declare(self._ahead, Phrase("nothing was heard of it for {seconds} s", seconds=round(SILENCE)))
        return None

    def _last(self, rank: int) -> bytes:
        return bytes(self.store.get(f"beat/{rank}")) if self.store.check([f"beat/{rank}"]) else b""

    def _declare(self, rank: int, why: Phrase) -> tuple[int, CommonArtError]:
        """Say it for all; what another said first is believed."""
        error = self._error(rank, why)
        said = json.loads(
            self.store.compare_set("lost", "", json.dumps({"rank": rank, "by": self.rank, "error": error.to_wire()}))
        )
        self._told_itself = said["rank"] == said["by"] == 0
        return int(said["rank"]), self._told(int(said["rank"]), said["error"])

    def _error(self, rank: int, why: str) -> ProcessLost:
        return ProcessLost(number=rank + 1, count=self.world, host=self.places[rank].host, why=why)

    def _told(self, rank: int, wire: dict[str, Any]) -> CommonArtError:
        """An error of another machine names it; one of this machine is its own."""
        error = from_wire(wire)
        if isinstance(error, ProcessLost) or self.places[rank].machine == self.places[self.rank].machine:
            return error
        return self._error(rank, Phrase(type(error).message, **error.fields))

    def _end(self) -> None:
        """The training is given a moment to leave in order, longer while it writes; then the process is ended from here."""
        began = time.monotonic()
        while time.monotonic() - began < (WRITING if self.writing else GRACE):
            if self._done.wait(0.05):
                return
        if self.speaker() and self.lost is not None:
            self._speak(self.lost)
        os._exit(self.lost.exit_status if self.lost else 1)
