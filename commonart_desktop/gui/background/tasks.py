"""Work beside the window: a function in a thread, its outcome told in the window's thread, ended when its page goes."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from commonart_desktop.core.process import program
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Ledger


class _Life:
    """What the thread and the page's end share: no Qt, so it may outlive both."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.over = False
        self.child: subprocess.Popen[str] | None = None

    def end(self, *_: object) -> None:
        """Nothing is told from now on; a program at work is ended."""
        with self.lock:
            self.over = True
            if self.child is not None and self.child.poll() is None:
                self.child.terminate()

    def adopt(self, child: subprocess.Popen[str]) -> None:
        with self.lock:
            self.child = child
            if self.over:
                child.terminate()


class Task(QObject):
    """One piece of work for ``page``. ``work`` gets the task, for ``program``, ``progress`` and ``cancelled``."""

    _heard = Signal(str, object)  # from the thread

    def __init__(
        self,
        page: QObject,
        work: Callable[[Task], Any],
        *,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[CommonArtError], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(page)
        self._life = _Life()
        self._done, self._failed, self._progress = done, failed, progress
        self._heard.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        page.destroyed.connect(self._life.end)
        self.thread_ = threading.Thread(target=self._run, args=(work, self._life), name="task", daemon=True)
        self.thread_.start()

    @property
    def cancelled(self) -> bool:
        return self._life.over

    def cancel(self) -> None:
        """Its outcome is no longer wanted; a program that it started is ended."""
        self._life.end()

    def program(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        online: bool = False,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Any]:
        """``core.process.program``, ended by ``cancel``; to be called by the work. Progress is told as it is, unless ``on_progress`` takes it."""
        return program(
            module, arguments, on_progress=on_progress or self.progress, online=online, on_start=self._life.adopt
        )

    def progress(self, done: int, total: int) -> None:
        """Tell how far the work is; to be called by the work."""
        self._tell("progress", (done, total), self._life)

    def _run(self, work: Callable[[Task], Any], life: _Life) -> None:
        try:
            outcome: tuple[str, Any] = ("done", work(self))
        except CommonArtError as e:
            outcome = ("failed", e)
        except OSError as e:
            outcome = ("failed", CommonArtError(why=e.strerror or str(e)))
        except Exception as e:  # told, not lost in a thread
            outcome = ("failed", CommonArtError(why=f"{type(e).__name__}: {e}"))
        self._tell(*outcome, life)

    def _tell(self, what: str, value: Any, life: _Life) -> None:
        with life.lock:  # the page cannot go between the question and the emission
            if not life.over:
                self._heard.emit(what, value)

    def _deliver(self, what: str, value: Any) -> None:
        if self._life.over:
            return
        if what == "progress":
            if self._progress:
                self._progress(*value)
            return
        self._life.over = True
        self.deleteLater()
        told = self._done if what == "done" else self._failed
        if told:
            told(value)


class Background(QObject):
    """Runs work in threads and hands the answers over in the window's thread.

    Threads touch no Qt object: they leave answers in a queue that a timer empties. When the owner goes, so does the
    timer, and an answer that comes later is heard by nobody.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.pending = 0
        self._timer = QTimer(self, interval=15)
        self._timer.timeout.connect(self._deliver)

    def run(
        self, work: Callable[[], Any], then: Callable[[Any], None], wrong: Callable[[CommonArtError], None]
    ) -> None:
        """Do ``work`` in a thread; its result goes to ``then``, an error that a person can be told to ``wrong``."""
        inbox = self._inbox

        def thread() -> None:
            try:
                result = work()
            except CommonArtError as e:
                error = e
                inbox.put(lambda: wrong(error))
            except Exception as e:
                bug = e
                inbox.put(lambda: _raise(bug))
            else:
                inbox.put(lambda: then(result))

        self.pending += 1
        threading.Thread(target=thread, name="compose", daemon=True).start()
        self._timer.start()

    def _deliver(self) -> None:
        while True:
            try:
                answer = self._inbox.get_nowait()
            except queue.Empty:
                return
            self.pending -= 1
            if self.pending == 0:
                self._timer.stop()
            answer()


def _raise(error: Exception) -> None:
    raise error


class LedgerTasks(QObject):
    """One thread and one connection; answers and errors come back to the GUI thread."""

    failed = Signal(object)  # a CommonArtError
    _ended = Signal(object, object, object)  # (then or None, answer, error or None)

    def __init__(self, path: Path, parent: QObject) -> None:
        super().__init__(parent)
        self._path = path
        self._ledger: Ledger | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="queue")
        self._ended.connect(self._on_end)

    def do(
        self,
        action: Callable[..., Any],
        *arguments: Any,
        then: Callable[[Any], None] | None = None,
        otherwise: Callable[[CommonArtError], None] | None = None,
    ) -> None:
        """Run ``action(ledger, *arguments)``, then ``then(answer)`` here; an error goes to ``otherwise`` or the signal."""

        def run() -> None:
            answer, error = None, None
            try:
                if self._ledger is None:
                    self._ledger = Ledger(self._path)
                answer = action(self._ledger, *arguments)
            except CommonArtError as e:
                error = e
            try:
                self._ended.emit(otherwise if error else then, answer, error)
            except RuntimeError:
                pass  # the page is gone

        self._thread.submit(run)

    def _on_end(self, then: Callable[[Any], None] | None, answer: Any, error: CommonArtError | None) -> None:
        if then is not None:
            then(answer if error is None else error)
        elif error is not None:
            self.failed.emit(error)

    def stop(self) -> None:
        """Finish what was begun and end the thread."""
        self._thread.shutdown(wait=True)
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
