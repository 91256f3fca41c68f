"""Threads that share a micro-batch, each with a part of the rows and one core.

On a CPU this is faster than sharing every single operation among threads: they do not wait for each other thousands of
times per image, which costs most where the model is small or other programs use the cores too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class ThreadCancelled(Exception):
    """Cancelled: another thread failed."""


class RowThreads:
    """``count`` threads that live as long as this object.

    ``prepare`` is called in the thread that computes, before each share.
    """

    def __init__(self, count: int, prepare: Callable[[], None] = lambda: None) -> None:
        self.count = count
        self._prepare = prepare
        self._pool = ThreadPoolExecutor(count, "lane") if count > 1 else None
        self._stop = threading.Event()

    def shares(self, items: Sequence[T]) -> list[Sequence[T]]:
        """``items`` in order, cut into at most ``count`` parts that differ by one at most."""
        lanes = min(self.count, len(items))
        size, more = divmod(len(items), lanes) if lanes else (0, 0)
        cuts = [n * size + min(n, more) for n in range(lanes + 1)]
        return [items[a:b] for a, b in pairwise(cuts)]

    def map(self, work: Callable[[int, Sequence[T]], R], items: Sequence[T]) -> list[R]:
        """``work(lane, share)`` of every share, results in order. With one share the caller's own thread does it.

        Raises: the first error of a thread, once all have ended; ``check`` stops the others.
        """
        shares = self.shares(items)
        if self._pool is None or len(shares) < 2:
            self._prepare()
            return [work(n, share) for n, share in enumerate(shares)]
        self._stop.clear()

        def run(lane: int, share: Sequence[T]) -> R:
            try:
                self._prepare()
                return work(lane, share)
            except BaseException:
                self._stop.set()
                raise

        futures = [self._pool.submit(run, n, share) for n, share in enumerate(shares)]
        wait(futures)
        errors: list[BaseException] = [e for f in futures if (e := f.exception())]
        if errors:
            raise next((e for e in errors if not isinstance(e, ThreadCancelled)), errors[0])
        return [f.result() for f in futures]

    def check(self, *_: Any) -> None:
        """Called regularly by the threads. Raises ThreadCancelled if another one failed."""
        if self._stop.is_set():
            raise ThreadCancelled
