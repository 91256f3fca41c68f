"""A thread that checks every second whether the other processes of a run are still alive.

A collective operation waits for all processes: with NCCL a process would wait hours for one that was killed. Three
signs are checked: a process that fails writes so to the group's key-value store before it exits; a killed process on
this machine is missing from the system's process table; one on another machine counts as lost when its neighbour in the
ring of ranks has seen no heartbeat for ``SILENCE`` seconds. Each process makes three requests a second to the store,
however many processes there are.
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

PULSE = 1.0  # seconds between two checks
SILENCE = 30.0  # seconds without a heartbeat; a stalled network disk may block a process for a while
GRACE = 3.0  # seconds for the training to notice by itself and to exit in order
WRITING = 600.0  # seconds allowed for a checkpoint that is being written


@dataclass(frozen=True)
class ProcessLocation:
    """Where a process runs. ``group`` distinguishes two launches on one host."""

    host: str
    group: str
    pid: int

    @property
    def machine(self) -> tuple[str, str]:
        return self.host, self.group


def this_process() -> ProcessLocation:
    """The location of this process."""
    return ProcessLocation(platform.node(), os.environ.get("GROUP_RANK", "0"), os.getpid())


class Watch:
    """Watches the other processes; ends this one when another is lost and the training does not exit by itself."""

    def __init__(self, rank: int, world: int) -> None:
        import psutil
        from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in __all__

        self.rank, self.world = rank, world
        server = TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            None,
            False,
            timedelta(seconds=60),
            wait_for_workers=False,
        )
        # an agent that restarts the processes retains its store
        self.store: Any = PrefixStore(f"commonart/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", server)
        self.lost: CommonArtError | None = None
        self.lost_rank = -1
        self._first_reports = False  # the first process failed and reports to the user itself
        self.writing = False  # the main thread is writing a file that should be complete
        self._report: Callable[[CommonArtError], None] = lambda error: None
        self._done, self._gone = threading.Event(), threading.Event()
        self.store.set(f"location/{rank}", json.dumps(asdict(this_process())))
        self.locations = [
            ProcessLocation(**json.loads(x)) for x in self.store.multi_get([f"location/{n}" for n in range(world)])
        ]  # waits for all
        self._local_peers: dict[int, Any] = {}
        for n, location in enumerate(self.locations):
            if n != rank and location.machine == self.locations[rank].machine:
                try:
                    self._local_peers[n] = psutil.Process(location.pid)
                except psutil.Error:
                    self._local_peers[n] = None  # it has exited already
        self._neighbour = (rank + 1) % world
        self._heard, self._heard_at, self._heartbeats = b"", time.monotonic(), 0
        self.store.set(f"heartbeat/{rank}", "0")
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def on_lost(self, report: Callable[[CommonArtError], None]) -> None:
        """Set how to report to the user if this thread must end the process."""
        self._report = report

    def announce(self, error: CommonArtError) -> bool:
        """Inform the others why this process ends; returns whether it is the first to announce an error."""
        mine = json.dumps({"rank": self.rank, "by": self.rank, "error": error.to_wire()})
        with contextlib.suppress(Exception):  # the store may be gone
            return bool(self.store.compare_set("lost", "", mine).decode() == mine)
        return True

    def reports(self) -> bool:
        """Whether this process must report to the user: the first process, or the lowest rank of the remaining ones."""
        if self._first_reports:
            return False
        return self.rank == min(n for n in range(self.world) if n != self.lost_rank)

    def stop(self) -> None:
        """Stop watching; the others do not count this process as lost."""
        self._done.set()
        self._thread.join(2 * PULSE)
        with contextlib.suppress(Exception):
            self.store.set(f"heartbeat/{self.rank}", "left")

    def wait_lost(self, seconds: float) -> CommonArtError | None:
        """The error of a lost process, if it becomes known within ``seconds``."""
        self._gone.wait(seconds)
        return self.lost

    def silent(self, seconds: float) -> CommonArtError | None:
        """The process without a heartbeat for ``seconds``: for a connection that broke without an announced reason."""
        names = [f"heartbeat/{n}" for n in range(self.world)]
        try:
            before = self.store.multi_get(names)
            if self._gone.wait(seconds):
                return self.lost
            after = self.store.multi_get(names)
        except Exception:  # the store is gone, too
            return self.wait_lost(2 * PULSE)
        for n, (a, b) in enumerate(zip(before, after, strict=True)):
            if n != self.rank and a == b != b"left":
                self.lost_rank, self.lost = self._declare(n, Phrase("its connection closed"))
                return self.lost
        return None

    def _run(self) -> None:
        while not self._done.wait(PULSE):
            try:
                lost = self._check()
            except Exception:  # the store is gone: it belongs to the first process, or to what started it
                lost = (0, self._error(0, Phrase("its connection closed")))
            if lost is not None and not self._done.is_set():
                self.lost_rank, self.lost = lost
                self._gone.set()
                self._end()
                return

    def _check(self) -> tuple[int, CommonArtError] | None:
        import psutil

        self._heartbeats += 1
        self.store.set(f"heartbeat/{self.rank}", str(self._heartbeats))
        if self.store.check(["lost"]):
            announced = json.loads(self.store.get("lost"))
            rank = int(announced["rank"])
            self._first_reports = rank == announced["by"] == 0
            return None if rank == self.rank else (rank, self._as_seen_here(rank, announced["error"]))
        for n, peer in self._local_peers.items():
            try:
                alive = peer is not None and peer.is_running() and peer.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                alive = False
            if not alive and self._last(n) != b"left":
                return self._declare(n, Phrase("it was killed"))
        heartbeat = self._last(self._neighbour)
        now = time.monotonic()
        if heartbeat != self._heard:
            self._heard, self._heard_at = heartbeat, now
        elif heartbeat != b"left" and now - self._heard_at > SILENCE:
            return self._declare(
                self._neighbour, Phrase("nothing was heard of it for {seconds} s", seconds=round(SILENCE))
            )
        return None

    def _last(self, rank: int) -> bytes:
        return bytes(self.store.get(f"heartbeat/{rank}")) if self.store.check([f"heartbeat/{rank}"]) else b""

    def _declare(self, rank: int, why: Phrase) -> tuple[int, CommonArtError]:
        """Announce a lost process; an earlier announcement by another process wins."""
        error = self._error(rank, why)
        announced = json.loads(
            self.store.compare_set("lost", "", json.dumps({"rank": rank, "by": self.rank, "error": error.to_wire()}))
        )
        self._first_reports = announced["rank"] == announced["by"] == 0
        return int(announced["rank"]), self._as_seen_here(int(announced["rank"]), announced["error"])

    def _error(self, rank: int, why: str) -> ProcessLost:
        return ProcessLost(number=rank + 1, count=self.world, host=self.locations[rank].host, why=why)

    def _as_seen_here(self, rank: int, wire: dict[str, Any]) -> CommonArtError:
        """The error as reported here: one from another machine names that machine."""
        error = from_wire(wire)
        if isinstance(error, ProcessLost) or self.locations[rank].machine == self.locations[self.rank].machine:
            return error
        return self._error(rank, Phrase(type(error).message, **error.fields))

    def _end(self) -> None:
        """Give the training a moment to exit in order, longer while it writes; then end the process."""
        began = time.monotonic()
        while time.monotonic() - began < (WRITING if self.writing else GRACE):
            if self._done.wait(0.05):
                return
        if self.reports() and self.lost is not None:
            self._report(self.lost)
        os._exit(self.lost.exit_status if self.lost else 1)
