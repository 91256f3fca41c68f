"""Operations on selected images: cancel, retry, remove; and their undo.

Removed and cancelled rows are stored in a second file next to the ledger until undone or followed by many operations.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.ledger.reader import LedgerReader
from engine.contract.ledger.schema import RECOUNT, SCHEMA, STATES, ledger_error

LIVE, ENDED = ("waiting", "running"), ("done", "failed", "cancelled")
MAX_ACTIONS = 20  # how many can be undone
_AFRESH = ", error = NULL, deaths = 0, attempts = 0"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Complete jobs, single images, and ranges of a job's images: (job, first id, last id), only those in ``state`` if
    given.
    """

    jobs: Sequence[int] = ()
    pictures: Sequence[int] = ()
    ranges: Sequence[tuple[int, int, int]] = ()
    state: str | None = None

    def __bool__(self) -> bool:
        return bool(self.jobs or self.pictures or self.ranges)

    def parts(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Conditions on a row of ``images``; each selected image matches one of them."""
        yield from (("job = ?", (j,)) for j in self.jobs)
        yield from self.single()

    def single(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The same without the complete jobs."""
        yield from (("id = ?", (i,)) for i in self.pictures)
        for span in self.ranges:
            yield (
                ("job = ? AND id BETWEEN ? AND ? AND state = ?", (*span, self.state))
                if self.state
                else ("job = ? AND id BETWEEN ? AND ?", span)
            )


class SelectionEditor(LedgerReader):
    """Operations on selected images; each is one transaction."""

    def cancel(self, pick: Selection) -> int:
        """Cancel those that are waiting or running; returns how many. ``undo`` restores them."""
        count = 0
        with self._action("cancel") as (db, deed):
            for where, values in pick.parts():
                count += db.execute(
                    f"INSERT OR IGNORE INTO aside.cancelled SELECT ?, id FROM main.images WHERE {where} AND state IN "
                    f"{LIVE}",
                    (deed, *values),
                ).rowcount
            db.execute(
                "UPDATE main.images SET state = 'cancelled', active = 0, worker = NULL WHERE id IN "
                "(SELECT id FROM aside.cancelled WHERE deed = ?)",
                (deed,),
            )
        return count

    def retry(self, pick: Selection | None) -> int:
        """Set failed rows of these jobs, and these failed or cancelled images (None: all failed ones), to waiting.

        Returns how many.

        In a job without failed rows the cancelled ones are retried.
        """
        again = f"UPDATE images SET state = 'waiting', active = 0, worker = NULL{_AFRESH} WHERE "
        with self._write("retry") as db:
            if pick is None:
                return db.execute(again + "state = 'failed'").rowcount
            count = 0
            for job in pick.jobs:
                counts = db.execute("SELECT failed FROM jobs WHERE id = ?", (job,)).fetchone()
                if counts is not None:
                    count += db.execute(
                        again + "job = ? AND state = ?", (job, "failed" if counts[0] else "cancelled")
                    ).rowcount
            for where, values in pick.single():
                count += db.execute(again + where + " AND state IN ('failed', 'cancelled')", values).rowcount
        return count

    def take_off(self, pick: Selection | None = None, states: Sequence[str] = ENDED) -> int:
        """Remove these images (None: all) from the queue if they are in these states, and jobs left empty.

        Files stay. ``undo`` restores them.
        """
        marks = ", ".join("?" * len(states))
        count = 0
        with self._action("remove") as (db, deed):
            columns = _columns(db, "images")
            for where, values in pick.parts() if pick is not None else [("1", ())]:
                count += db.execute(
                    f"INSERT OR IGNORE INTO aside.images (deed, {columns}) SELECT ?, {columns} FROM main.images "
                    f"WHERE {where} AND state IN ({marks})",
                    (deed, *values, *states),
                ).rowcount
            jobs = _columns(db, "jobs")
            db.execute(
                f"INSERT INTO aside.jobs (deed, {jobs}) SELECT ?, {jobs} FROM main.jobs WHERE id IN (SELECT job FROM "
                f"aside.images WHERE deed = ?)",
                (deed, deed),
            )
            db.execute("DELETE FROM main.images WHERE id IN (SELECT id FROM aside.images WHERE deed = ?)", (deed,))
            db.execute(
                f"DELETE FROM main.jobs WHERE id IN (SELECT id FROM aside.jobs WHERE deed = ?) AND "
                f"{' + '.join(STATES)} = 0",
                (deed,),
            )
        return count

    def undo(self) -> tuple[str, int]:
        """Undo the last ``take_off`` or ``cancel`` that is not undone: returns ``remove``, ``cancel`` or "" (nothing to
        undo), and how many rows were restored.
        """
        with self._aside() as db:
            found = db.execute("SELECT deed, what FROM aside.deeds ORDER BY deed DESC LIMIT 1").fetchone()
            if found is None:
                return "", 0
            deed, what = found
            with self._write("undo"):
                columns, jobs = _columns(db, "images"), _columns(db, "jobs")
                db.execute(
                    f"INSERT OR IGNORE INTO main.jobs ({jobs}) SELECT {jobs} FROM aside.jobs WHERE deed = ?", (deed,)
                )
                count = db.execute(
                    f"INSERT OR IGNORE INTO main.images ({columns}) SELECT {columns} FROM aside.images WHERE deed = ?",
                    (deed,),
                ).rowcount
                db.execute(f"{RECOUNT} WHERE id IN (SELECT id FROM aside.jobs WHERE deed = ?)", (deed,))
                count += db.execute(
                    "UPDATE main.images SET state = 'waiting', active = 0, worker = NULL WHERE state = 'cancelled' "
                    "AND id IN "
                    "(SELECT id FROM aside.cancelled WHERE deed = ?)",
                    (deed,),
                ).rowcount
                _forget(db, "deed = ?", deed)
            return str(what), count

    @contextmanager
    def _action(self, what: str) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A transaction over both files, numbered so that it can be undone. One that changed nothing gets no number."""
        with self._aside() as db, self._write(what):
            deed = db.execute("INSERT INTO aside.deeds (what, at) VALUES (?, ?)", (what, time.time())).lastrowid
            assert deed is not None
            yield db, deed
            _forget(db, "deed <= ?", deed - MAX_ACTIONS)
            db.execute(
                "DELETE FROM aside.deeds WHERE deed = ? AND NOT EXISTS (SELECT 1 FROM aside.images WHERE deed = ?) "
                "AND NOT EXISTS (SELECT 1 FROM aside.cancelled WHERE deed = ?)",
                (deed, deed, deed),
            )

    @contextmanager
    def _aside(self) -> Iterator[sqlite3.Connection]:
        """The connection with the second file attached as schema ``aside``.

        A damaged file or one of another version is recreated, an empty one removed.
        """
        path = self.path.with_name(f"{self.path.name}.removed")
        with self._lock, ledger_error(self.path):
            self._attach(path)
            empty = False
            try:
                yield self._db
                empty = self._db.execute("SELECT 1 FROM aside.deeds LIMIT 1").fetchone() is None
            finally:
                self._db.execute("DETACH aside")
            if empty:
                _unlink(path)

    def _attach(self, path: Path) -> None:
        db = self._db
        try:
            db.execute("ATTACH ? AS aside", (str(path),))
            if db.execute("PRAGMA aside.user_version").fetchone()[0] == SCHEMA:
                return
            db.execute("DETACH aside")
        except sqlite3.DatabaseError as e:
            if "not a database" not in str(e) and "malformed" not in str(e):
                raise
            if any(r["name"] == "aside" for r in db.execute("PRAGMA database_list")):
                db.execute("DETACH aside")
        _unlink(path)
        db.execute("ATTACH ? AS aside", (str(path),))
        db.execute(
            "CREATE TABLE aside.deeds (deed INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, at REAL NOT NULL)"
        )
        db.execute(
            "CREATE TABLE aside.cancelled (deed INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (deed, id)) "
            "WITHOUT ROWID"
        )
        for table in ("jobs", "images"):
            db.execute(f"CREATE TABLE aside.{table} AS SELECT 0 AS deed, * FROM main.{table} WHERE 0")
            db.execute(f"CREATE UNIQUE INDEX aside.{table}_deed ON {table} (deed, id)")
        db.execute(f"PRAGMA aside.user_version = {SCHEMA}")


def _columns(db: sqlite3.Connection, table: str) -> str:
    return ", ".join(r["name"] for r in db.execute(f"PRAGMA main.table_info({table})"))


def _forget(db: sqlite3.Connection, where: str, deed: int) -> None:
    for table in ("images", "jobs", "cancelled", "deeds"):
        db.execute(f"DELETE FROM aside.{table} WHERE {where}", (deed,))


def _unlink(path: Path) -> None:
    for tail in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
