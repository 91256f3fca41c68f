"""Threads with bounded queues, so that stages overlap without piling up images."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PipelineStage(Generic[T]):
    """One thread that processes items in order, with at most ``room`` of them pending; ``put`` waits when it is full.

    With ``threaded`` set to false ``put`` does the work itself: two stages that compute on the same cores only slow
    each other down. ``work`` handles its own errors; one that escapes is raised once by the next ``put`` or ``drain``,
    and the items that were put in meanwhile are dropped.
    """

    def __init__(self, name: str, work: Callable[[T], None], room: int) -> None:
        self.threaded = True
        self._items: queue.Queue[T | None] = queue.Queue(room)
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            try:
                if self._error is None:
                    self._work(item)
            except BaseException as e:
                self._error = e
            finally:
                del item  # do not keep an image alive while waiting
                self._items.task_done()
        self._items.task_done()

    def put(self, item: T) -> None:
        self.check()
        if self.threaded:
            self._items.put(item)
        else:
            self._work(item)

    def check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def drain(self) -> None:
        """Wait until every item is processed."""
        self._items.join()
        self.check()

    def close(self) -> None:
        """Process the rest and end the thread."""
        self._items.put(None)
        self._thread.join()


class BoundedPool:
    """Threads that compress and write files, with a bounded number of pending images."""

    def __init__(self, threads: int, room: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "write")
        self._room = threading.BoundedSemaphore(room)
        self._busy = 0
        self._idle = threading.Condition()
        self._error: BaseException | None = None

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        """Run ``work`` in a thread; waits while ``room`` images are pending."""
        self._check()
        self._room.acquire()
        with self._idle:
            self._busy += 1
        self._threads.submit(self._run, work, *args)

    def _run(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except BaseException as e:
            self._error = e
        finally:
            self._room.release()
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    @property
    def busy(self) -> int:
        """How many submitted items are not done."""
        with self._idle:
            return self._busy

    def drain(self) -> None:
        """Wait until everything is written; raises an error that escaped."""
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0)
        self._check()

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        self._threads.shutdown(wait=True)
