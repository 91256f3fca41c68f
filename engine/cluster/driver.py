"""The queue worker of a cluster: claim rows, have engines on other machines generate them, write what they return.

Names, signatures and files are made here: see ``dispatch.py`` for the way of a batch, ``engine_pool.py`` for the
machines.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from engine.cluster import ray_connection
from engine.cluster.dispatch import EMPTY_RETRY, BatchDispatcher
from engine.cluster.model_transfer import ModelTransfer
from engine.cluster.nodes import NodeShares
from engine.cluster.remote_calls import RemoteCalls
from engine.cluster.remote_engine import RemoteEngine
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, LedgerError
from engine.contract.ledger.ledger import Ledger
from engine.worker.base import CHECK_SECONDS, WorkerOptions

NODES_EVERY = 1.0  # seconds between two readings of Ray's list of machines
PROGRESS_EVERY = 0.5  # seconds between two questions to an engine for its progress


class Driver(BatchDispatcher):
    """One worker over the ledger, many engines. ``run`` raises what ``ray_connection.join`` raises."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        options: WorkerOptions,
        notify: Callable[[events.Event], None],
        address: str,
        *,
        gpus: float = 1.0,
        cpus: float = 0.0,
    ) -> None:
        super().__init__(ledger, name, options, notify, NodeShares(gpus=gpus, cpus=cpus))
        self._address = address

    def run(self) -> None:
        def late(error: CommonArtError) -> None:
            self.notify(events.Broken(error=error.to_wire()))
            os._exit(1)

        self._join(ray_connection.join(self._address, late)[0], self._address.startswith("ray://"))
        self._calls = RemoteCalls(self._ray, self._on_engine_error)
        self._transfer = ModelTransfer(
            self._calls,
            self._ray.put,
            self._on_loaded,
            self._failed,
            self._refuse_node,
            self._note,
            self._can_omit_encoder,
        )
        self._finalizer.warm()
        try:
            while not self._quit.is_set() and self._step():
                pass
            self._put_back(self._engines)
            self._writer.drain()
            self._nodes.report(last=True)
        finally:
            for engine in self._engines:
                self._ray.kill(engine.actor)
            self._transfer.close()
            self._writer.close()
            self._ray.shutdown()

    def _step(self) -> bool:
        """One iteration of the loop; false when all is done."""
        try:
            self._poll_commands()
            if self._due("nodes", NODES_EVERY):
                self._update_nodes()
            self._calls.poll(0.05)
            self._transfer.poll()
            if self._due("check", CHECK_SECONDS):
                self._check()
            if self._writer.out_of_memory:
                self._writer.out_of_memory = False
            submitted = self._fill()
            self._nodes.report()
            if not submitted and not any(e.rows() for e in self._engines):
                return self._finish_or_wait()
        except (DiskFull, LedgerError) as e:
            self._wait_for_ledger(e, lambda: self._put_back(self._engines))
        return True

    def _finish_or_wait(self) -> bool:
        """No engine has any rows: finished, paused or idle. False if finished and the options say until empty."""
        if self._writer.busy or self._paused:
            return True
        self._writer.drain()
        if seconds := self._timer.take():
            self.notify(events.Timings(seconds=seconds))
        waiting = any(j.waiting and not j.paused for j in self.ledger.jobs())
        if not waiting:
            if self.options.until_empty and not self.ledger.paused()[0]:
                return False
            if not self._idle:
                self._idle = True
                self.notify(events.Idle())
        elif not any(e.alive for e in self._engines):
            self._report_no_machine()
        if self._idle:
            self._quit.wait(EMPTY_RETRY)
        return True

    # commands -----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Pass on pause, cancelled rows and paused jobs; ask for progress."""
        paused, error = self.ledger.paused()
        if paused != self._paused:
            self._paused = paused
            self.notify(events.Paused(error=error) if paused else events.Resumed())
        batches = [(e, b) for e in self._engines for b in e.batches.values()]
        rows = [r for _, b in batches for r in b.rows.values()]
        ours = set().union(*(self.ledger.still_running(rows[n : n + 500], self.name) for n in range(0, len(rows), 500)))
        paused_jobs = {j.id for j in self.ledger.jobs() if j.paused} if batches else set()
        for engine, batch in batches:
            mine = [i for i in batch.rows if i in ours and self._owner.get(i) == batch.id]
            if mine and not (paused_jobs and all(batch.rows[i].job in paused_jobs for i in mine)):
                continue
            if any(self._owner.get(i) == batch.id for i in batch.rows):  # not put back yet
                for i in batch.rows:
                    self._owner.pop(i, None)
                self.ledger.put_back(mine)
                self._control(engine, cancel=[batch.id])
        due = self._due("progress", PROGRESS_EVERY)
        for engine in self._engines:
            if not engine.control_pending and ((due and engine.batches) or engine.paused != self._paused):
                self._control(engine)

    def _release_device(self) -> None:
        self._release.clear()
        self._put_back(self._engines)
        for engine in list(self._engines):
            engine.forget_model()
            engine.busy = True

            def freed(_: dict[str, Any], engine: RemoteEngine = engine) -> None:
                engine.forget_model()  # it may have been loading
                engine.busy = False

            self._calls.call(engine, "release", then=freed)
        self.notify(events.Released())
