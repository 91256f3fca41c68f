"""The durable queue: jobs, and one row per image, in SQLite.

The ledger is the source of truth. A worker claims rows; its lease is a lock file that the system frees when the worker
exits, whatever the cause. Any number of processes may read and write it together.

``reader`` holds the connection and reads; ``editor`` changes jobs, ``selection`` images that the user
selected, with undo; ``worker_side`` is for the workers. Together they are ``Ledger``.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable

from engine.contract.ledger.editor import LedgerEditor
from engine.contract.ledger.rows import Job, Line, Row
from engine.contract.ledger.schema import RECOUNT
from engine.contract.ledger.selection import SelectionEditor
from engine.contract.ledger.worker_side import MAX_DEATHS, LedgerWorkerSide
from engine.contract.request import ImageRequest


class Ledger(LedgerEditor, SelectionEditor, LedgerWorkerSide):
    """One ledger file, usable from several threads.

    Raises (any method): LedgerLocked, LedgerCorrupt, LedgerNewer, DiskFull, LedgerError.
    """

    def add_job(self, name: str, requests: Iterable[ImageRequest], *, priority: int = 0) -> int:
        """Add a job at the end of its priority; all rows or none. Returns its id."""
        return self.add_jobs([(name, priority, requests)])[0]

    def add_jobs(self, jobs: Iterable[tuple[str, int, Iterable[ImageRequest]]]) -> list[int]:
        """Add several jobs (name, priority, requests); all of them or none. Returns their ids."""
        with self._write("add") as db:
            return [self._insert_job(db, name, priority, requests) for name, priority, requests in jobs]

    @staticmethod
    def _insert_job(db: sqlite3.Connection, name: str, priority: int, requests: Iterable[ImageRequest]) -> int:
        place = db.execute("SELECT coalesce(max(place), 0) + 1 FROM jobs").fetchone()[0]
        job = db.execute(
            "INSERT INTO jobs (name, created, priority, place) VALUES (?, ?, ?, ?)",
            (name, time.time(), priority, place),
        ).lastrowid
        assert job is not None
        db.executemany(
            "INSERT INTO images (job, request) VALUES (?, ?)",
            ((job, json.dumps(r.to_dict(), ensure_ascii=False)) for r in requests),
        )
        db.execute(RECOUNT + " WHERE id = ?", (job,))
        return job


__all__ = ["MAX_DEATHS", "Job", "Ledger", "Line", "Row"]
