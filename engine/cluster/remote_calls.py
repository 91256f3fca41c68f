"""Calls to engines elsewhere, and what is to be done with their answers: one thread asks and hears."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.cluster.remote_engine import RemoteEngine

Then = Callable[[dict[str, Any]], None]


class RemoteCalls:
    """``gone`` hears of an engine that died, with what Ray says of it."""

    def __init__(self, ray: Any, gone: Callable[[RemoteEngine, Exception], None]) -> None:
        self._ray, self._gone = ray, gone
        self._open: dict[Any, tuple[RemoteEngine, Then]] = {}

    def ask(self, held: RemoteEngine, method: str, *args: Any, then: Then) -> None:
        """Call ``method``; ``then`` gets the answer, unless the engine is let go before."""
        ref = getattr(held.actor, method).remote(*args)
        self._open[ref] = (held, then)

    def hear(self, seconds: float) -> None:
        """Work off the answers that are there; waits at most so long for the first."""
        if not self._open:
            time.sleep(seconds)
            return
        ready, _ = self._ray.wait(list(self._open), num_returns=1, timeout=seconds)
        if ready:  # the others that are there too
            ready, _ = self._ray.wait(list(self._open), num_returns=len(self._open), timeout=0)
        for ref in ready:
            found = self._open.pop(ref, None)
            if found is None:
                continue  # let go by what an earlier answer led to
            held, then = found
            try:
                answer = self._ray.get(ref)
            except Exception as e:  # the engine died, or what it wanted to say cannot be sent
                if held.alive:
                    self._gone(held, e)
                continue
            if held.alive:
                then(answer)

    def forget(self, held: RemoteEngine) -> None:
        """What this engine still says is not heard."""
        self._open = {ref: pair for ref, pair in self._open.items() if pair[0] is not held}
