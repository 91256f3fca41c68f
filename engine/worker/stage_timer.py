"""Where the time goes: seconds by stage, added up from any thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimer:
    """Thread-safe. Stages that run beside each other each count in full, so the sum may exceed the time that passed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside for ``stage``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began

    def add(self, seconds: dict[str, float]) -> None:
        """What another clock counted."""
        with self._lock:
            for stage, more in seconds.items():
                self._seconds[stage] = self._seconds.get(stage, 0.0) + more

    def take(self) -> dict[str, float]:
        """The seconds so far, rounded to milliseconds; counting starts anew."""
        with self._lock:
            found, self._seconds = self._seconds, {}
        return {k: round(v, 3) for k, v in found.items()}
