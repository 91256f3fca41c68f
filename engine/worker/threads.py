"""Overlapping stages with bounded hand-over."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class PipelineStage(Generic[T]):
    """One thread that works off what is put in, at most ``room`` items behind; ``put`` waits when it is full.

    With ``threaded`` set to false ``put`` does the work itself: two stages that compute on the same cores only get in each
    other's way. ``work`` handles its own errors; one that escapes is kept, and raised once by the next
    ``put`` or ``drain``; what was put in meanwhile is dropped.
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
                del item  # do not keep a picture alive while waiting
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
        """Wait until everything put in is worked off."""
        self._items.join()
        self.check()

    def close(self) -> None:
        """Work off the rest and end the thread."""
        self._items.put(None)
        self._thread.join()


class BoundedPool:
    """Threads that compress and write files, with a bounded number of pictures in their hands."""

    def __init__(self, threads: int, room: int) -> None:
        self._threads = ThreadPoolExecutor(threads, "write")
        self._room = threading.BoundedSemaphore(room)
        self._busy = 0
        self._quiet = threading.Condition()
        self._error: BaseException | None = None

    def submit(self, work: Callable[..., None], *args: Any) -> None:
        """Run ``work`` soon; waits while ``room`` pictures are in hand."""
        self._check()
        self._room.acquire()
        with self._quiet:
            self._busy += 1
        self._threads.submit(self._run, work, *args)

    def _run(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except BaseException as e:
            self._error = e
        finally:
            self._room.release()
            with self._quiet:
                self._busy -= 1
                self._quiet.notify_all()

    @property
    def busy(self) -> int:
        """What was submitted and is not done."""
        with self._quiet:
            return self._busy

    def drain(self) -> None:
        """Wait until all is written; raise what escaped."""
        with self._quiet:
            self._quiet.wait_for(lambda: self._busy == 0)
        self._check()

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        self._threads.shutdown(wait=True)
