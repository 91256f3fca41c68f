"""The worker's side of the ledger: rows are claimed, begun, done or failed, and recovered from workers that died."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.contract.errors import CommonArtError, WorkerDied
from engine.contract.ledger.process_lock import is_held
from engine.contract.ledger.reader import LedgerReader
from engine.contract.ledger.rows import COLUMNS, JOB_ORDER, Row, row_of

MAX_DEATHS = 3
PLAIN_NAME = re.compile(r"[\w-]{1,100}")  # of a worker


class LedgerWorkerSide(LedgerReader):
    """Operations of workers."""

    def lock_file(self, worker: str) -> Path:
        """The file whose lock is that worker's lease."""
        if not PLAIN_NAME.fullmatch(
            str(worker)
        ):  # a ledger from elsewhere may contain any text here, and it becomes a file name
            worker = hashlib.sha256(str(worker).encode("utf-8", "surrogatepass")).hexdigest()
        return self.path.with_name(f"{self.path.name}.worker-{worker}.lock")

    def claim(self, worker: str, choose: Callable[[Sequence[Row]], Sequence[Row]], *, look: int = 128) -> list[Row]:
        """Assign to ``worker`` the rows that ``choose`` selects among the next ``look`` waiting ones.

        Nothing is assigned while the queue is paused.
        """
        with self._write("claim") as db:
            if db.execute("SELECT 1 FROM control WHERE key = 'paused' AND value = '1'").fetchone():
                return []
            found: list[sqlite3.Row] = []
            for job in db.execute(
                f"SELECT id FROM jobs WHERE waiting > 0 AND paused = 0 ORDER BY {JOB_ORDER}"
            ).fetchall():
                found += db.execute(
                    f"SELECT {COLUMNS} FROM images WHERE job = ? AND state = 'waiting' ORDER BY id LIMIT ?",
                    (job["id"], look - len(found)),
                ).fetchall()
                if len(found) >= look:
                    break
            rows = [row_of(r) for r in found]
            db.executemany(
                "UPDATE images SET state = 'failed', error = ? WHERE id = ?",  # one bad row does not stop the rest
                ((json.dumps(r.error), r.id) for r in rows if r.unreadable),
            )
            rows = [r for r in rows if not r.unreadable]
            chosen = list(choose(rows)) if rows else []
            db.executemany(
                "UPDATE images SET state = 'running', worker = ?, active = 0 WHERE id = ?",
                ((worker, r.id) for r in chosen),
            )
        return chosen

    def begin(self, rows: Sequence[Row]) -> None:
        """Mark these rows as started: if the worker dies from here on, they are suspects."""
        with self._write("begin") as db:
            db.executemany(
                "UPDATE images SET active = 1, attempts = attempts + 1, started = ? WHERE id = ? AND state = 'running'",
                ((time.time(), r.id) for r in rows),
            )

    def still_running(self, rows: Sequence[Row], worker: str) -> set[int]:
        """Which of these rows are still this worker's (not cancelled meanwhile)."""
        marks = ", ".join("?" * len(rows))
        found = self._read(
            f"SELECT id FROM images WHERE id IN ({marks}) AND state = 'running' AND worker = ?",
            (*(r.id for r in rows), worker),
        )
        return {r["id"] for r in found}

    def intend(self, image: int, worker: str, path: Path) -> bool:
        """Record the path that the image is about to get; false if the row no longer belongs to this worker."""
        with self._write("intend") as db:
            return bool(
                db.execute(
                    "UPDATE images SET pending = ? WHERE id = ? AND state = 'running' AND worker = ?",
                    (str(path), image, worker),
                ).rowcount
            )

    def done(self, image: int, *, path: Path, pixel_sha256: str, recipe: dict[str, Any]) -> None:
        """Mark a row as done: its image is on disk."""
        with self._write("done") as db:
            db.execute(
                "UPDATE images SET state = 'done', path = ?, pixel_sha256 = ?, recipe = ?, pending = NULL, worker = "
                "NULL, "
                "active = 0, error = NULL, finished = ? WHERE id = ?",
                (str(path), pixel_sha256, json.dumps(recipe, ensure_ascii=False), time.time(), image),
            )

    def fail(self, images: Sequence[int], error: CommonArtError) -> None:
        """Mark these rows as failed."""
        with self._write("fail") as db:
            db.executemany(
                "UPDATE images SET state = 'failed', error = ?, pending = NULL, worker = NULL, active = 0, finished = "
                "? "
                "WHERE id = ? AND state = 'running'",
                ((json.dumps(error.to_wire(), ensure_ascii=False), time.time(), i) for i in images),
            )

    def put_back(self, images: Sequence[int]) -> None:
        """Set these rows to waiting again, without counting it as a failure."""
        with self._write("put back") as db:
            db.executemany(
                "UPDATE images SET state = 'waiting', worker = NULL, active = 0, pending = NULL WHERE id = ? AND "
                "state = 'running'",
                ((i,) for i in images),
            )

    def mark_suspect_or_fail(self, images: Sequence[int], worker: str) -> list[int]:
        """Rows that killed a part of this running ``worker``: they wait again as suspects, or are marked failed.

        Returns the failed ones.
        """
        aside = []
        with self._write("mark_suspect_or_fail") as db:
            for image in images:
                found = db.execute(
                    "SELECT deaths + active FROM images WHERE id = ? AND state = 'running' AND worker = ?",
                    (image, worker),
                ).fetchone()
                if found is not None:
                    self._died(db, image, found[0])
                    aside += [image] if found[0] >= MAX_DEATHS else []
        return aside

    @staticmethod
    def _died(db: sqlite3.Connection, image: int, deaths: int) -> None:
        state = "failed" if deaths >= MAX_DEATHS else "waiting"
        error = json.dumps(WorkerDied(times=deaths).to_wire(), ensure_ascii=False) if state == "failed" else None
        db.execute(
            "UPDATE images SET state = ?, deaths = ?, error = ?, worker = NULL, active = 0, pending = NULL WHERE id = "
            "?",
            (state, deaths, error, image),
        )

    def stranded(self) -> list[Row]:
        """Rows left running by workers that no longer exist."""
        workers = [r["worker"] for r in self._read("SELECT DISTINCT worker FROM images WHERE state = 'running'")]
        dead = [w for w in workers if w is None or not is_held(self.lock_file(w))]
        return [
            row_of(r)
            for w in dead
            for r in self._read(f"SELECT {COLUMNS} FROM images WHERE state = 'running' AND worker IS ?", (w,))
        ]

    def recover(
        self,
        proof: Callable[[Row], tuple[str, dict[str, Any]] | None],
        tell: Callable[[Row, CommonArtError], None] | None = None,
    ) -> dict[str, int]:
        """Recover rows of dead workers: done if ``proof`` finds the finished file, else waiting, else failed.

        ``proof`` gets a row with a pending path and returns (pixel hash, recipe) if the file is that image.
        ``tell`` is called for rows marked failed.
        """
        counts = {"done": 0, "waiting": 0, "failed": 0}
        for row in self.stranded():
            proved = proof(row) if row.pending else None
            if proved and row.pending:
                self.done(row.id, path=Path(row.pending), pixel_sha256=proved[0], recipe=proved[1])
                counts["done"] += 1
                continue
            with self._write(
                "recover"
            ) as db:  # another process may have recovered it, and a running worker may have it now
                found = db.execute(
                    "SELECT deaths + active FROM images WHERE id = ? AND state = 'running' AND worker IS ?",
                    (row.id, row.worker),
                ).fetchone()
                if found is None:
                    continue
                self._died(db, row.id, found[0])
            state = "failed" if found[0] >= MAX_DEATHS else "waiting"
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
        """Send ``release`` or ``quit`` to every worker (pause and cancel are states that workers poll)."""
        with self._write("command") as db:
            db.execute("UPDATE workers SET command = ?", (command,))

    def take_command(self, worker: str) -> str | None:
        """Take the pending command for this worker, if any."""
        found = self._read("SELECT command FROM workers WHERE id = ? AND command IS NOT NULL", (worker,))
        if not found:
            return None
        with self._write("take command") as db:
            db.execute("UPDATE workers SET command = NULL WHERE id = ?", (worker,))
        return str(found[0]["command"])
