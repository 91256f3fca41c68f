"""The durable ledger: jobs, and one row per picture, in SQLite.

The ledger is the truth. A worker claims rows, and its lease is a lock file that the system frees when the worker
dies, however it dies. Any number of processes may read and write it together.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract import naming
from engine.contract.errors import CommonArtError, LedgerError, NotEditable, Phrase, UnknownJob, WorkerDied
from engine.contract.ledger_file import RECOUNT, STATES, connect, told
from engine.contract.lock import is_held
from engine.contract.request import ImageRequest
from engine.contract.seam import operation

MAX_DEATHS = 3
JOB_ORDER = "priority DESC, place, id"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job and how many of its pictures are in each state."""

    id: int
    name: str
    created: float  # seconds since 1970
    priority: int
    place: float
    paused: bool
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        return self.waiting + self.running + self.done + self.failed + self.cancelled


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture."""

    id: int
    job: int
    state: str
    request: ImageRequest
    attempts: int
    deaths: int
    error: dict[str, Any] | None  # as ``CommonArtError.to_wire`` wrote it
    pending: str | None
    path: str | None
    pixel_sha256: str | None
    worker: str | None
    unreadable: bool = False  # the stored request makes no sense; ``error`` tells

    def to_json(self) -> dict[str, Any]:
        """What ``commonart queue list --json`` prints."""
        return {"id": self.id, "job": self.job, "state": self.state, "prompt": self.request.prompt, "seed": self.request.seed,
                "path": self.path, "pixel_sha256": self.pixel_sha256, "attempts": self.attempts,
                "error": {k: self.error[k] for k in ("kind", "message", "hint")} if self.error else None}


_COLUMNS = "id, job, state, request, attempts, deaths, error, pending, path, pixel_sha256, worker"


def _row(r: sqlite3.Row) -> Row:
    data = dict(r)
    try:
        data["request"] = ImageRequest.from_dict(json.loads(data["request"]))
        data["error"] = json.loads(data["error"]) if data["error"] else None
    except (CommonArtError, ValueError, TypeError, AttributeError, RecursionError):
        data["request"], data["unreadable"] = ImageRequest(prompt="?", seed=0), True
        data["error"] = LedgerError(why=Phrase("This row of the queue is damaged")).to_wire()
    return Row(**data)


class Ledger:
    """One ledger file, usable from several threads.

    Raises (any method): LedgerLocked, LedgerCorrupt, LedgerNewer, DiskFull, LedgerError.
    """

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
        with self._lock, told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                with operation(f"ledger {name}"):
                    self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock, told(self.path):
            return self._db.execute(sql, values).fetchall()

    # adding and changing ------------------------------------------------------------------------------------------

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
        job = db.execute("INSERT INTO jobs (name, created, priority, place) VALUES (?, ?, ?, ?)",
                         (name, time.time(), priority, place)).lastrowid
        assert job is not None
        db.executemany("INSERT INTO images (job, request) VALUES (?, ?)",
                       ((job, json.dumps(r.to_dict(), ensure_ascii=False)) for r in requests))
        db.execute(RECOUNT + " WHERE id = ?", (job,))
        return job

    def job(self, job: int) -> Job:
        """Raises UnknownJob."""
        rows = self._read("SELECT * FROM jobs WHERE id = ?", (job,))
        if not rows:
            raise UnknownJob(job=job)
        return Job(**dict(rows[0]) | {"paused": bool(rows[0]["paused"])})

    def jobs(self) -> list[Job]:
        """In the order they will run."""
        return [Job(**dict(r) | {"paused": bool(r["paused"])}) for r in self._read(f"SELECT * FROM jobs ORDER BY {JOB_ORDER}")]

    def counts(self) -> dict[str, int]:
        """state -> rows, by the jobs' own counters."""
        sums = ", ".join(f"coalesce(sum({s}), 0) AS {s}" for s in STATES)
        return dict(self._read(f"SELECT {sums} FROM jobs")[0])

    def page(self, *, offset: int = 0, limit: int = 100, job: int | None = None, state: str | None = None) -> list[Row]:
        """Rows in running order. Jobs before ``offset`` are passed over by their counters, not row by row."""
        rows: list[Row] = []
        for one in [self.job(job)] if job is not None else self.jobs():
            size = getattr(one, state) if state else one.total
            if offset >= size:
                offset -= size
                continue
            where, values = ("job = ? AND state = ?", (one.id, state)) if state else ("job = ?", (one.id,))
            found = self._read(f"SELECT {_COLUMNS} FROM images WHERE {where} ORDER BY id LIMIT ? OFFSET ?",
                               (*values, limit - len(rows), offset))
            rows += [_row(r) for r in found]
            offset = 0
            if len(rows) >= limit:
                break
        return rows

    def row(self, image: int) -> Row | None:
        found = self._read(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (image,))
        return _row(found[0]) if found else None

    def search(self, text: str, state: str | None = None, limit: int = 200) -> list[Row]:
        """Rows whose prompt holds ``text`` (letter case of ASCII does not matter), oldest first. Reads every row: not for a GUI thread."""
        like = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        where, values = (" AND state = ?", (state,)) if state else ("", ())
        found = self._read(f"SELECT {_COLUMNS} FROM images WHERE json_extract(request, '$.prompt') LIKE ? ESCAPE '\\'{where} ORDER BY id LIMIT ?",
                           (like, *values, limit))
        return [_row(r) for r in found]

    def recipe(self, image: int) -> dict[str, Any] | None:
        """The recipe of a finished row."""
        found = self._read("SELECT recipe FROM images WHERE id = ?", (image,))
        return json.loads(found[0]["recipe"]) if found and found[0]["recipe"] else None

    def set_state(self, jobs: Sequence[int] | None, states: Sequence[str], new: str) -> int:
        """Move rows of these jobs (None: of all) from any of ``states`` to ``new``; returns how many."""
        marks = ", ".join("?" * len(states))
        clear = ", error = NULL, deaths = 0, attempts = 0" if new == "waiting" else ""
        with self._write("set state") as db:
            count = 0
            for job in [j.id for j in self.jobs()] if jobs is None else jobs:
                self.job(job)
                count += db.execute(f"UPDATE images SET state = ?, active = 0, worker = NULL{clear} WHERE job = ? AND state IN ({marks})",
                                    (new, job, *states)).rowcount
        return count

    def pause(self, jobs: Sequence[int] | None, paused: bool, reason: CommonArtError | None = None) -> None:
        """Hold or release these jobs (None: the whole queue, and every job when released)."""
        with self._write("pause") as db:
            if jobs is None:
                db.execute("INSERT OR REPLACE INTO control VALUES ('paused', ?)", (str(int(paused)),))
                db.execute("INSERT OR REPLACE INTO control VALUES ('reason', ?)", (json.dumps(reason.to_wire()) if reason else None,))
                if not paused:
                    db.execute("UPDATE jobs SET paused = 0")
            for job in jobs or ():
                self.job(job)
                db.execute("UPDATE jobs SET paused = ? WHERE id = ?", (int(paused), job))

    def paused(self) -> tuple[bool, dict[str, Any] | None]:
        """Whether the whole queue is paused, and the error that paused it, if one did."""
        values = {r["key"]: r["value"] for r in self._read("SELECT * FROM control WHERE key IN ('paused', 'reason')")}
        return values.get("paused") == "1", json.loads(values["reason"]) if values.get("reason") else None

    def prioritise(self, job: int, priority: int) -> None:
        self.job(job)
        with self._write("prioritise") as db:
            db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, job))

    def move(self, job: int, before: int | None = None) -> None:
        """Put a job before another, taking that one's priority; with None, before all."""
        with self._write("move") as db:
            moved = self.job(job)
            order = [j for j in self.jobs() if j.id != job]
            target = self.job(before) if before is not None else (order or [moved])[0]
            if target.id == job:
                return
            order.insert([j.id for j in order].index(target.id), moved)
            db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (target.priority, job))
            db.executemany("UPDATE jobs SET place = ? WHERE id = ?", ((place, j.id) for place, j in enumerate(order, 1)))

    def edit(self, job: int, change: Callable[[int, ImageRequest], dict[str, Any]] | dict[str, Any], priority: int | None = None) -> int:
        """Change settings of a job's waiting rows, and its priority; all or nothing. Returns how many rows.

        ``change`` is the new settings, or gives them for each row from its number (from 0) and its request.

        Raises:
            UnknownJob, NotEditable (none is waiting), BadValue, BadTemplate.
        """
        self.job(job)
        with self._write("edit") as db:
            rows = db.execute("SELECT id, request FROM images WHERE job = ? AND state = 'waiting'", (job,)).fetchall()
            if not rows:
                raise NotEditable(job=job)
            for number, r in enumerate(rows):
                old = ImageRequest.from_dict(json.loads(r["request"]))
                new = ImageRequest.from_dict(old.to_dict() | (change(number, old) if callable(change) else change))
                naming.check(new.name or naming.DEFAULT, new.extra)
                db.execute("UPDATE images SET request = ? WHERE id = ?", (json.dumps(new.to_dict(), ensure_ascii=False), r["id"]))
            if priority is not None:
                db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, job))
        return len(rows)

    def clear(self, states: Sequence[str]) -> int:
        """Take rows in these states off the list (pictures on disk stay), and jobs left empty."""
        marks = ", ".join("?" * len(states))
        with self._write("clear") as db:
            count = db.execute(f"DELETE FROM images WHERE state IN ({marks})", tuple(states)).rowcount
            db.execute("DELETE FROM jobs WHERE waiting + running + done + failed + cancelled = 0")
        return count

    def remove(self, job: int) -> int:
        """Take a job's waiting and cancelled rows off the list, and the job if none is left; returns how many.

        Undoes ``add_job``: rows that are running, done or failed stay.
        """
        with self._write("remove") as db:
            count = db.execute("DELETE FROM images WHERE job = ? AND state IN ('waiting', 'cancelled')", (job,)).rowcount
            db.execute("DELETE FROM jobs WHERE id = ? AND waiting + running + done + failed + cancelled = 0", (job,))
        return count

    def every(self) -> Iterator[tuple[Job, Row]]:
        """All rows in running order, read page by page."""
        for job in self.jobs():
            last = 0
            while rows := self._read(f"SELECT {_COLUMNS} FROM images WHERE job = ? AND id > ? ORDER BY id LIMIT 500", (job.id, last)):
                for r in rows:
                    yield job, _row(r)
                last = rows[-1]["id"]

    # working ------------------------------------------------------------------------------------------------------

    def lock_file(self, worker: str) -> Path:
        """The file whose lock is that worker's lease."""
        return self.path.with_name(f"{self.path.name}.worker-{worker}.lock")

    def claim(self, worker: str, choose: Callable[[Sequence[Row]], Sequence[Row]], *, look: int = 128) -> list[Row]:
        """Give ``worker`` the rows that ``choose`` picks among the next ``look`` waiting ones.

        Nothing is given while the queue is paused.
        """
        with self._write("claim") as db:
            if db.execute("SELECT 1 FROM control WHERE key = 'paused' AND value = '1'").fetchone():
                return []
            found: list[sqlite3.Row] = []
            for job in db.execute(f"SELECT id FROM jobs WHERE waiting > 0 AND paused = 0 ORDER BY {JOB_ORDER}").fetchall():
                found += db.execute(f"SELECT {_COLUMNS} FROM images WHERE job = ? AND state = 'waiting' ORDER BY id LIMIT ?",
                                    (job["id"], look - len(found))).fetchall()
                if len(found) >= look:
                    break
            rows = [_row(r) for r in found]
            db.executemany("UPDATE images SET state = 'failed', error = ? WHERE id = ?",  # one bad row does not stop the rest
                           ((json.dumps(r.error), r.id) for r in rows if r.unreadable))
            rows = [r for r in rows if not r.unreadable]
            chosen = list(choose(rows)) if rows else []
            db.executemany("UPDATE images SET state = 'running', worker = ?, active = 0 WHERE id = ?", ((worker, r.id) for r in chosen))
        return chosen

    def begin(self, rows: Sequence[Row]) -> None:
        """Work on these rows starts now: if the worker dies from here on, they are suspects."""
        with self._write("begin") as db:
            db.executemany("UPDATE images SET active = 1, attempts = attempts + 1, started = ? WHERE id = ? AND state = 'running'",
                           ((time.time(), r.id) for r in rows))

    def still_running(self, rows: Sequence[Row], worker: str) -> set[int]:
        """Which of these rows are still this worker's (not cancelled meanwhile)."""
        marks = ", ".join("?" * len(rows))
        found = self._read(f"SELECT id FROM images WHERE id IN ({marks}) AND state = 'running' AND worker = ?", (*(r.id for r in rows), worker))
        return {r["id"] for r in found}

    def intend(self, image: int, worker: str, path: Path) -> bool:
        """Note where the picture is about to appear; false if the row is no longer this worker's."""
        with self._write("intend") as db:
            return bool(db.execute("UPDATE images SET pending = ? WHERE id = ? AND state = 'running' AND worker = ?",
                                   (str(path), image, worker)).rowcount)

    def done(self, image: int, *, path: Path, pixel_sha256: str, recipe: dict[str, Any]) -> None:
        """The picture is on disk."""
        with self._write("done") as db:
            db.execute("UPDATE images SET state = 'done', path = ?, pixel_sha256 = ?, recipe = ?, pending = NULL, worker = NULL, "
                       "active = 0, error = NULL, finished = ? WHERE id = ?",
                       (str(path), pixel_sha256, json.dumps(recipe, ensure_ascii=False), time.time(), image))

    def fail(self, images: Sequence[int], error: CommonArtError) -> None:
        """These rows could not be made."""
        with self._write("fail") as db:
            db.executemany("UPDATE images SET state = 'failed', error = ?, pending = NULL, worker = NULL, active = 0, finished = ? "
                           "WHERE id = ? AND state = 'running'",
                           ((json.dumps(error.to_wire(), ensure_ascii=False), time.time(), i) for i in images))

    def put_back(self, images: Sequence[int]) -> None:
        """These rows go back to waiting, through no fault of theirs."""
        with self._write("put back") as db:
            db.executemany("UPDATE images SET state = 'waiting', worker = NULL, active = 0, pending = NULL WHERE id = ? AND state = 'running'",
                           ((i,) for i in images))

    def stranded(self) -> list[Row]:
        """Rows left running by workers that are no more."""
        workers = [r["worker"] for r in self._read("SELECT DISTINCT worker FROM images WHERE state = 'running'")]
        dead = [w for w in workers if w is None or not is_held(self.lock_file(w))]
        return [_row(r) for w in dead for r in self._read(f"SELECT {_COLUMNS} FROM images WHERE state = 'running' AND worker IS ?", (w,))]

    def recover(self, proof: Callable[[Row], tuple[str, dict[str, Any]] | None],
                tell: Callable[[Row, CommonArtError], None] | None = None) -> dict[str, int]:
        """Bring rows of dead workers home: done if ``proof`` finds the finished file, else waiting, else set aside.

        ``proof`` gets a row with a pending path and returns (pixel hash, recipe) if the file there is that picture.
        ``tell`` hears of rows set aside.
        """
        counts = {"done": 0, "waiting": 0, "failed": 0}
        for row in self.stranded():
            proved = proof(row) if row.pending else None
            if proved and row.pending:
                self.done(row.id, path=Path(row.pending), pixel_sha256=proved[0], recipe=proved[1])
                counts["done"] += 1
                continue
            with self._write("recover") as db:  # another process may have brought it home, and a living worker hold it now
                found = db.execute("SELECT deaths + active FROM images WHERE id = ? AND state = 'running' AND worker IS ?",
                                   (row.id, row.worker)).fetchone()
                if found is None:
                    continue
                state = "failed" if found[0] >= MAX_DEATHS else "waiting"
                error = json.dumps(WorkerDied(times=found[0]).to_wire(), ensure_ascii=False) if state == "failed" else None
                db.execute("UPDATE images SET state = ?, deaths = ?, error = ?, worker = NULL, active = 0, pending = NULL WHERE id = ?",
                           (state, found[0], error, row.id))
            counts[state] += 1
            if state == "failed" and tell:
                tell(row, WorkerDied(times=found[0]))
        for name in [r["id"] for r in self._read("SELECT id FROM workers")]:
            if not is_held(self.lock_file(name)):
                self.sign_off(name)
        return counts

    # workers ------------------------------------------------------------------------------------------------------

    def sign_on(self, worker: str, pid: int) -> None:
        with self._write("sign on") as db:
            db.execute("INSERT OR REPLACE INTO workers (id, pid, started) VALUES (?, ?, ?)", (worker, pid, time.time()))

    def sign_off(self, worker: str) -> None:
        with self._write("sign off") as db:
            db.execute("DELETE FROM workers WHERE id = ?", (worker,))

    def command(self, command: str) -> None:
        """Ask every worker: ``release`` or ``quit`` (pause and cancel are states, seen by themselves)."""
        with self._write("command") as db:
            db.execute("UPDATE workers SET command = ?", (command,))

    def take_command(self, worker: str) -> str | None:
        """The command left for this worker, once."""
        found = self._read("SELECT command FROM workers WHERE id = ? AND command IS NOT NULL", (worker,))
        if not found:
            return None
        with self._write("take command") as db:
            db.execute("UPDATE workers SET command = NULL WHERE id = ?", (worker,))
        return str(found[0]["command"])

    def version(self) -> int:
        """A number that changes when another process has written."""
        return int(self._read("PRAGMA data_version")[0][0])
