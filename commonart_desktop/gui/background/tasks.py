"""Calls off the GUI thread: ``Task`` for a single call, ``TaskQueue`` for calls that run in order.

Both belong to an owner, a QObject. Results are delivered in the GUI thread, and not at all once the owner is destroyed.
Nothing else in the window creates a thread; long-running programs are ``program_run``.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from commonart_desktop.core.process import program
from commonart_desktop.gui.background.process_stopper import ProcessStopper
from engine.contract.errors import CommonArtError

Deliver = Callable[..., None]


def _as_error(error: Exception) -> CommonArtError:
    """What the ``failed`` callback gets; any other exception than CommonArtError is its ``__cause__``."""
    if isinstance(error, CommonArtError):
        return error
    if isinstance(error, OSError):
        wrapped = CommonArtError(why=error.strerror or str(error))
    elif isinstance(error, sqlite3.Error):
        wrapped = CommonArtError(why=str(error))
    else:
        wrapped = CommonArtError(why=f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _deliver(outcome: Any, error: Exception | None, done: Deliver | None, failed: Deliver | None) -> None:
    """Call back. A bug, or an error that nobody handles, is raised in the GUI thread, so that it is not lost."""
    if error is None:
        if done is not None:
            done(outcome)
        return
    if failed is not None:
        failed(_as_error(error))
    if failed is None or not isinstance(error, (CommonArtError, OSError, sqlite3.Error)):
        raise error


class _Lifetime:
    """What a thread shares with its owner: no Qt, so it may outlive both."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.stopper = ProcessStopper()

    def end(self, *_: object) -> None:
        """Nothing is delivered from now on; a running program is ended."""
        with self._lock:
            self.over.set()
        self.stopper.stop()

    def emit(self, signal: Any, *values: object) -> None:
        """Emit unless it is over; the owner cannot be destroyed between the check and the emission."""
        with self._lock:
            if not self.over.is_set():
                try:
                    signal.emit(*values)
                except RuntimeError:
                    pass  # Qt is being torn down


class Task(QObject):
    """Runs ``work`` in a thread of its own. It gets the task, for ``program``, ``progress``, ``cancelled`` and
    ``wait``.

    The thread does not keep the interpreter from ending, unless ``finish_at_exit``: an import must not be cut off.
    """

    _progressed = Signal(object)
    _ended = Signal(object, object)  # result, exception or None

    def __init__(
        self,
        owner: QObject,
        work: Callable[[Task], Any],
        *,
        done: Deliver | None = None,
        failed: Callable[[CommonArtError], None] | None = None,
        progress: Deliver | None = None,
        name: str = "task",
        finish_at_exit: bool = False,
    ) -> None:
        super().__init__(owner)
        self._lifetime = _Lifetime()
        self._done, self._failed, self._progress = done, failed, progress
        self._progressed.connect(self._on_progress, Qt.ConnectionType.QueuedConnection)
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)
        owner.destroyed.connect(self._lifetime.end)
        self.thread_ = threading.Thread(
            target=self._run, args=(work, self._lifetime), name=name, daemon=not finish_at_exit
        )
        self.thread_.start()

    @property
    def pending(self) -> bool:
        """Whether a result is still to be delivered."""
        return not self._lifetime.over.is_set()

    @property
    def cancelled(self) -> bool:
        """For the work: whether the result is no longer wanted."""
        return self._lifetime.over.is_set()

    @property
    def stopper(self) -> ProcessStopper:
        """Ends the program that the task runs; the result is delivered all the same."""
        return self._lifetime.stopper

    def cancel(self) -> None:
        """Deliver no result; a program that it runs is ended. Does nothing once the result was delivered."""
        if self.pending:
            self._lifetime.end()
            self.deleteLater()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread, at most ``timeout`` seconds; returns whether it has ended."""
        self.thread_.join(timeout)
        return not self.thread_.is_alive()

    # for the work, in the thread --------------------------------------------------------------------------------------

    def program(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        online: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """``core.process.program``, ended by ``cancel``. Its progress is reported unless ``on_progress`` takes it."""
        return program(
            module, arguments, on_progress=on_progress or self.progress, online=online, on_start=self.stopper.adopt
        )

    def progress(self, *values: object) -> None:
        """Call the ``progress`` callback in the GUI thread."""
        self._lifetime.emit(self._progressed, values)

    def wait(self, seconds: float) -> bool:
        """Sleep; returns early with True once the task is cancelled."""
        return self._lifetime.over.wait(seconds)

    def _run(self, work: Callable[[Task], Any], lifetime: _Lifetime) -> None:
        result, error = None, None
        try:
            result = work(self)
        except Exception as e:
            error = e
        lifetime.stopper.release()
        lifetime.emit(self._ended, result, error)

    # in the GUI thread ------------------------------------------------------------------------------------------------

    def _on_progress(self, values: tuple[object, ...]) -> None:
        if self.pending and self._progress is not None:
            self._progress(*values)

    def _on_ended(self, result: Any, error: Exception | None) -> None:
        if self.pending:
            self._lifetime.over.set()
            self.deleteLater()
            _deliver(result, error, self._done, self._failed)


def pending_tasks(owner: QObject) -> int:
    """How many tasks of this object and the objects below it have not delivered their result."""
    return sum(task.pending for task in owner.findChildren(Task))


class _Threads:
    """The threads of a TaskQueue and the calls that wait: no Qt, so it may outlive the queue."""

    def __init__(
        self, name: str, count: int, open_: Callable[[], Any] | None, finish: bool, lifetime: _Lifetime
    ) -> None:
        self._name, self._count, self._open, self._finish, self._lifetime = name, count, open_, finish, lifetime
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[Callable[[], Any]], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._ended = False

    @property
    def pending(self) -> int:
        with self._changed:
            return len(self._waiting) + self._running

    def submit(self, call: Callable[[Callable[[], Any]], None], *, first: bool) -> None:
        with self._changed:
            if self._ended:
                return
            (self._waiting.appendleft if first else self._waiting.append)(call)
            if len(self._threads) < self._count and len(self._waiting) + self._running > len(self._threads):
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._waiting.clear()

    def end(self, *_: object) -> None:
        """End the threads, after the calls that have begun; where so wished, after all.

        Waits, and may be called twice.
        """
        self._lifetime.end()
        with self._changed:
            self._ended = True
            if not self._finish:
                self._waiting.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(None if self._finish else 10)

    def _run(self) -> None:
        resource: Any = None

        def opened() -> Any:
            nonlocal resource
            if resource is None and self._open is not None:
                resource = self._open()
            return resource

        while True:
            with self._changed:
                while not self._waiting and not self._ended:
                    self._changed.wait()
                if not self._waiting:
                    break
                call = self._waiting.popleft()
                self._running += 1
            try:
                call(opened)
            finally:
                with self._changed:
                    self._running -= 1
        if resource is not None:
            resource.close()


class TaskQueue(QObject):
    """Runs calls in the order of their submission, in ``threads`` threads that start with the first one.

    With ``open`` (and one thread) every call gets the resource that it returns, such as a database connection, before
    its own arguments. The thread opens it when it is first needed and closes it at the end. ``finish``: the calls that
    are waiting when the owner goes are still run; otherwise they are dropped.
    """

    failed = Signal(object)  # a CommonArtError of a call that was submitted without a callback for it
    _ended = Signal(object, object, object, object, int)  # result, exception or None, done, failed, generation

    def __init__(
        self,
        owner: QObject,
        name: str,
        *,
        threads: int = 1,
        open: Callable[[], Any] | None = None,
        finish: bool = False,
    ) -> None:
        super().__init__(owner)
        self._with_resource = open is not None
        self._generation = 0  # of the calls that are wanted
        self._lifetime = _Lifetime()
        self._threads = _Threads(name, threads, open, finish, self._lifetime)
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)
        owner.destroyed.connect(self._threads.end)

    def submit(
        self,
        call: Callable[..., Any],
        *arguments: Any,
        done: Deliver | None = None,
        failed: Callable[[CommonArtError], None] | None = None,
        first: bool = False,
    ) -> None:
        """Run ``call(*arguments)``, then ``done(result)`` here. ``first``: before all that are waiting."""
        lifetime, ended, with_resource = self._lifetime, self._ended, self._with_resource
        generation = self._generation

        def run(resource: Callable[[], Any]) -> None:
            result, error = None, None
            try:
                result = call(resource(), *arguments) if with_resource else call(*arguments)
            except Exception as e:
                error = e
            if done is not None or error is not None:
                lifetime.emit(ended, result, error, done, failed, generation)

        self._threads.submit(run, first=first)

    @property
    def pending(self) -> int:
        """How many calls have not ended."""
        return self._threads.pending

    @property
    def stopped(self) -> bool:
        """Whether nothing is delivered any more."""
        return self._lifetime.over.is_set()

    def clear(self) -> None:
        """Drop the calls that have not begun, and the results of those that have."""
        self._generation += 1
        self._threads.clear()

    def stop(self) -> None:
        """End the threads and wait for them; may be called twice."""
        self._threads.end()

    def _on_ended(
        self, result: Any, error: Exception | None, done: Deliver | None, failed: Deliver | None, generation: int
    ) -> None:
        if not self.stopped and generation == self._generation:
            _deliver(result, error, done, failed or self.failed.emit)
