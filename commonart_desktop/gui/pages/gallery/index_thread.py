"""A thread that works on the gallery's index, and how the index is opened."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from commonart_desktop.gui.pages.gallery.index import Index
from engine.contract.errors import CommonArtError
from engine.contract.files import rename


class IndexThread(threading.Thread):
    """A thread with its own connection that does one thing after another. Daemon: it can hold nobody up at the end."""

    def __init__(self, name: str, path: Path, trouble: Callable[[Exception], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._path, self._trouble = path, trouble
        self._work: queue.Queue[Callable[[Index], None] | None] = queue.Queue()
        self.start()

    def do(self, work: Callable[[Index], None] | None) -> None:
        self._work.put(work)

    @property
    def idle(self) -> bool:
        return not self._work.unfinished_tasks

    def run(self) -> None:
        try:
            index = Index(self._path)
        except (sqlite3.Error, OSError) as e:
            self._trouble(e)
            return
        while (work := self._work.get()) is not None:
            try:
                work(index)
            except (sqlite3.Error, OSError, CommonArtError) as e:
                self._trouble(e)
            finally:
                self._work.task_done()
        index.close()


def open_or_set_aside(path: Path) -> Path | None:
    """A damaged index is put aside; where it is then."""
    try:
        Index(path).close()
        return None
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.OperationalError):
            raise
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        rename(path, aside, overwrite=True)
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        Index(path).close()
        return aside
