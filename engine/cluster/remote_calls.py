"""Asynchronous calls to remote engines and the callbacks for their answers, all on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.cluster.remote_engine import RemoteEngine

Then = Callable[[dict[str, Any]], None]


class RemoteCalls:
    """Calls that have not been answered. ``on_error`` gets an engine that died, with Ray's error."""

    def __init__(self, ray: Any, on_error: Callable[[RemoteEngine, Exception], None]) -> None:
        self._ray, self._on_error = ray, on_error
        self._pending: dict[Any, tuple[RemoteEngine, Then]] = {}

    def call(self, engine: RemoteEngine, method: str, *args: Any, then: Then) -> None:
        """Call ``method``; ``then`` gets the answer, unless the engine is discarded before."""
        ref = getattr(engine.actor, method).remote(*args)
        self._pending[ref] = (engine, then)

    def poll(self, seconds: float) -> None:
        """Handle the answers that have arrived; waits at most ``seconds`` for the first."""
        if not self._pending:
            time.sleep(seconds)
            return
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        if ready:  # all others that have arrived
            ready, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        for ref in ready:
            entry = self._pending.pop(ref, None)
            if entry is None:
                continue  # discarded by the callback of an earlier answer
            engine, then = entry
            try:
                answer = self._ray.get(ref)
            except Exception as e:  # the engine died, or its answer cannot be sent
                if engine.alive:
                    self._on_error(engine, e)
                continue
            if engine.alive:
                then(answer)

    def discard(self, engine: RemoteEngine) -> None:
        """Ignore further answers of this engine."""
        self._pending = {ref: pair for ref, pair in self._pending.items() if pair[0] is not engine}
