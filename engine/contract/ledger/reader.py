"""Reading the ledger, and the transactions that the other parts are built on."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.contract.errors import UnknownJob
from engine.contract.fault_injection import fault_point
from engine.contract.ledger.rows import (
    COLUMNS,
    JOB_ORDER,
    LINE_COLUMNS,
    Job,
    Line,
    Row,
    job_of,
    json_object,
    line_of,
    row_of,
)
from engine.contract.ledger.schema import STATES, connect, ledger_error


class LedgerReader:
    """One connection, usable from several threads."""

    def __init__(self, path: Path, *, timeout: float = 15.0) -> None:
        self.path = path
        self._db = connect(path, timeout)
        self._db.row_factory = sqlite3.Row
        self._lock = threading.RLock()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _write(self, name: str) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, on disk when it returns."""
        with self._lock, ledger_error(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                with fault_point(f"ledger {name}"):
                    self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock, ledger_error(self.path):
            return self._db.execute(sql, values).fetchall()

    def job(self, job: int) -> Job:
        """Raises UnknownJob."""
        rows = self._read("SELECT * FROM jobs WHERE id = ?", (job,))
        if not rows:
            raise UnknownJob(job=job)
        return job_of(rows[0])

    def jobs(self) -> list[Job]:
        """In the order they will run."""
        return [job_of(r) for r in self._read(f"SELECT * FROM jobs ORDER BY {JOB_ORDER}")]

    def counts(self) -> dict[str, int]:
        """state -> rows, by the jobs' own counters."""
        sums = ", ".join(f"coalesce(sum({s}), 0) AS {s}" for s in STATES)
        return dict(self._read(f"SELECT {sums} FROM jobs")[0])

    def page(self, *, offset: int = 0, limit: int = 100, job: int | None = None, state: str | None = None) -> list[Row]:
        """Rows in running order. Jobs before ``offset`` are skipped by their counters, not row by row."""
        rows: list[Row] = []
        for one in [self.job(job)] if job is not None else self.jobs():
            size = getattr(one, state) if state else one.total
            if offset >= size:
                offset -= size
                continue
            rows += [row_of(r) for r in self._part(COLUMNS, one, size, offset, limit - len(rows), state)]
            offset = 0
            if len(rows) >= limit:
                break
        return rows

    def lines(self, job: int, *, offset: int = 0, limit: int = 100, state: str | None = None) -> list[Line]:
        """Images of a job by ascending id, as a table shows them. Raises UnknownJob."""
        one = self.job(job)
        return [
            line_of(r)
            for r in self._part(LINE_COLUMNS, one, getattr(one, state) if state else one.total, offset, limit, state)
        ]

    def offsets(self, job: int, images: Sequence[int], state: str | None = None) -> dict[int, int]:
        """Positions (from 0) of these images among the job's, or among those in ``state``.

        Images that do not exist are omitted.
        """
        where, values = ("job = ? AND state = ?", (job, state)) if state else ("job = ?", (job,))
        found, at, last = {}, 0, 0
        with self._lock:
            for image in sorted(set(images)):
                at += self._read(
                    f"SELECT count(*) FROM images WHERE {where} AND id >= ? AND id < ?", (*values, last, image)
                )[0][0]
                last = image
                if self._read(f"SELECT 1 FROM images WHERE {where} AND id = ?", (*values, image)):
                    found[image] = at
        return found

    def _part(self, columns: str, job: Job, size: int, offset: int, limit: int, state: str | None) -> list[sqlite3.Row]:
        """A slice of a job's rows. If its ids are contiguous the first id is computed and no row before it is read."""
        where, values = ("job = ? AND state = ?", (job.id, state)) if state else ("job = ?", (job.id,))
        if offset:
            first, last = self._read(
                f"SELECT (SELECT min(id) FROM images WHERE {where}), (SELECT max(id) FROM images WHERE {where})",
                values * 2,
            )[0]
            if first is not None and last - first + 1 == size:
                return self._read(
                    f"SELECT {columns} FROM images WHERE {where} AND id >= ? ORDER BY id LIMIT ?",
                    (*values, first + offset, limit),
                )
        return self._read(
            f"SELECT {columns} FROM images WHERE {where} ORDER BY id LIMIT ? OFFSET ?", (*values, limit, offset)
        )

    def row(self, image: int) -> Row | None:
        found = self._read(f"SELECT {COLUMNS} FROM images WHERE id = ?", (image,))
        return row_of(found[0]) if found else None

    def search(self, text: str, state: str | None = None, limit: int = 200) -> list[Row]:
        """Rows whose prompt contains ``text`` (case-insensitive for ASCII), oldest first.

        Reads every row: not for the GUI thread.
        """
        like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where, values = (" AND state = ?", (state,)) if state else ("", ())
        found = self._read(
            f"SELECT {COLUMNS} FROM images WHERE json_extract(request, '$.prompt') LIKE ? ESCAPE '\\'{where} ORDER BY "
            f"id LIMIT ?",
            (like, *values, limit),
        )
        return [row_of(r) for r in found]

    def recipe(self, image: int) -> dict[str, Any] | None:
        """The recipe of a finished row; None if it is absent or unreadable."""
        found = self._read("SELECT recipe FROM images WHERE id = ?", (image,))
        return json_object(found[0]["recipe"]) if found else None

    def paused(self) -> tuple[bool, dict[str, Any] | None]:
        """Whether the whole queue is paused, and the error that paused it, if one did."""
        values = {r["key"]: r["value"] for r in self._read("SELECT * FROM control WHERE key IN ('paused', 'reason')")}
        return values.get("paused") == "1", json_object(values.get("reason"))

    def every(self) -> Iterator[tuple[Job, Row]]:
        """All rows in running order, read page by page."""
        for job in self.jobs():
            last = 0
            while rows := self._read(
                f"SELECT {COLUMNS} FROM images WHERE job = ? AND id > ? ORDER BY id LIMIT 500", (job.id, last)
            ):
                for r in rows:
                    yield job, row_of(r)
                last = rows[-1]["id"]

    def version(self) -> int:
        """A number that changes when another process has written to the ledger."""
        return int(self._read("PRAGMA data_version")[0][0])
