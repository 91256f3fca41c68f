"""Long work of a program, begun on a page. It hangs on the notices, which outlive the pages: a change of language builds those anew."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.notices import Notices
from engine.contract.errors import CommonArtError

PATIENCE = 20.0  # seconds a program that was stopped may take to clean up, before it is ended hard


class Stopper:
    """Ends the program of a run from any thread; knows no Qt, so it may outlive the window."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._hard: threading.Timer | None = None
        self.wanted = False

    def adopt(self, child: subprocess.Popen[str]) -> None:
        with self._lock:
            self._child = child
            if self.wanted:
                self._end(child)

    def stop(self, *_: object) -> None:
        with self._lock:
            if not self.wanted:
                self.wanted = True
                if self._child is not None:
                    self._end(self._child)

    def _end(self, child: subprocess.Popen[str]) -> None:
        if child.poll() is None:
            child.terminate()
            self._hard = threading.Timer(PATIENCE, child.kill)
            self._hard.daemon = True
            self._hard.start()

    def over(self) -> None:
        """The program has ended."""
        with self._lock:
            self._child = None
            if self._hard is not None:
                self._hard.cancel()


class ProgramRun(QObject):
    """``moved`` with every piece of news, ``over`` at the end: then ``found``, ``error``, or neither if it was stopped."""

    moved = Signal()
    over = Signal()

    def __init__(self, notices: Notices, total: int = 0) -> None:
        super().__init__(notices)
        self.began = time.monotonic()
        self.done, self.total = 0, total
        self.found: Any = None
        self.error: CommonArtError | None = None
        self.running, self.stopping = True, False
        self._stopper = Stopper()

    def begin(self, work: Callable[[Stopper, Callable[[int, int], None]], Any]) -> None:
        """``work`` gets what stops it and what to tell (done, total) to, in a thread; it returns None where it was stopped."""
        stopper = self._stopper
        self.destroyed.connect(stopper.stop)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(stopper.stop)
        self._task = Task(
            self,
            lambda task: work(stopper, task.progress),
            done=self._on_done,
            failed=self._on_failed,
            progress=self.progress,
        )

    def stop(self) -> None:
        """Ask it to end; ``over`` tells when it has."""
        if self.running and not self.stopping:
            self.stopping = True
            self._stopper.stop()
            self.moved.emit()

    @classmethod
    def last(cls, notices: Notices) -> ProgramRun | None:
        """The last one of this kind, under way or over."""
        return notices.findChild(cls)

    @classmethod
    def forget(cls, notices: Notices) -> None:
        """Another takes the place of the last one."""
        old = cls.last(notices)
        if old is not None:
            old.setParent(None)
            old.deleteLater()

    def progress(self, done: int, total: int) -> None:
        """News of the program, which are data like all that comes from outside."""
        raise NotImplementedError

    def left(self) -> float | None:
        """Seconds left, as a guess; None while there is nothing to guess by."""
        raise NotImplementedError

    def _on_done(self, found: Any) -> None:
        self.found = found
        self._end()

    def _on_failed(self, error: CommonArtError) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self.running = False
        self.over.emit()
