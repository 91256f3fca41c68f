"""A long-running program that was started from a page.

It belongs to the notices, which outlive the pages: a change of language rebuilds those.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Signal

from commonart_desktop.gui.background.process_stopper import ProcessStopper
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.notices import Notices
from engine.contract.errors import CommonArtError


class ProgramRun(QObject):
    """Emits ``moved`` with every progress report and ``over`` at the end.

    Then there is an ``outcome``, an ``error``, or neither if it was stopped.
    """

    moved = Signal()
    over = Signal()

    def __init__(self, notices: Notices, total: int = 0) -> None:
        super().__init__(notices)
        self.began = time.monotonic()
        self.done, self.total = 0, total
        self.outcome: Any = None
        self.error: CommonArtError | None = None
        self.running, self.stopping = True, False

    def begin(self, work: Callable[[ProcessStopper, Callable[[int, int], None]], Any]) -> None:
        """Call ``work`` in a thread with what stops its program and the callback for its progress (done, total).

        It returns None where it was stopped.
        """
        self._task = Task(
            self,
            lambda task: work(task.stopper, task.progress),
            done=self._on_done,
            failed=self._on_failed,
            progress=self.progress,
        )
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._task.stopper.stop)

    def stop(self) -> None:
        """Ask it to end; ``over`` is emitted when it has."""
        if self.running and not self.stopping:
            self.stopping = True
            self._task.stopper.stop()
            self.moved.emit()

    @classmethod
    def last(cls, notices: Notices) -> ProgramRun | None:
        """The last one of this kind, running or over."""
        return notices.findChild(cls)

    @classmethod
    def forget(cls, notices: Notices) -> None:
        """Drop the last one: another takes its place."""
        old = cls.last(notices)
        if old is not None:
            old.setParent(None)
            old.deleteLater()

    def progress(self, done: int, total: int) -> None:
        """Progress as the program reported it: untrusted, like everything that comes from outside."""
        raise NotImplementedError

    def left(self) -> float | None:
        """Estimated seconds left; None while there is nothing to base it on."""
        raise NotImplementedError

    def _on_done(self, found: Any) -> None:
        self.outcome = found
        self._end()

    def _on_failed(self, error: CommonArtError) -> None:
        self.error = error
        self._end()

    def _end(self) -> None:
        self.running = False
        self.over.emit()
