"""Seconds spent in each stage, summed over threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Thread-safe. Stages that overlap each count in full, so the sum may exceed the elapsed time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside for ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start

    def add(self, seconds: dict[str, float]) -> None:
        """Add what another timer counted."""
        with self._lock:
            for stage, extra in seconds.items():
                self._seconds[stage] = self._seconds.get(stage, 0.0) + extra

    def take(self) -> dict[str, float]:
        """The seconds so far, rounded to milliseconds; resets the timer."""
        with self._lock:
            seconds, self._seconds = self._seconds, {}
        return {k: round(v, 3) for k, v in seconds.items()}
