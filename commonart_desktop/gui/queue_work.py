"""Work on the ledger away from the GUI thread, in order, over a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from engine.contract.errors import CommonArtError
from engine.contract.queue import Ledger


class Work(QObject):
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
