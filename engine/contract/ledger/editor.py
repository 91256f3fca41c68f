"""Edits of the ledger: states of jobs, their order and names, and settings of waiting rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.contract import naming
from engine.contract.errors import BadValue, CommonArtError, NotEditable, Phrase
from engine.contract.ledger.reader import LedgerReader
from engine.contract.ledger.schema import RECOUNT
from engine.contract.request import ImageRequest

MAX_NAME = 200
_TURN = 32  # rows between two yields to other threads


class LedgerEditor(LedgerReader):
    """The user's operations on jobs."""

    def set_state(self, jobs: Sequence[int] | None, states: Sequence[str], new: str) -> int:
        """Move rows of these jobs (None: of all) from any of ``states`` to ``new``; returns how many."""
        marks = ", ".join("?" * len(states))
        clear = ", error = NULL, deaths = 0, attempts = 0" if new == "waiting" else ""
        with self._write("set state") as db:
            count = 0
            for job in [j.id for j in self.jobs()] if jobs is None else jobs:
                self.job(job)
                count += db.execute(
                    f"UPDATE images SET state = ?, active = 0, worker = NULL{clear} WHERE job = ? AND state IN "
                    f"({marks})",
                    (new, job, *states),
                ).rowcount
        return count

    def pause(self, jobs: Sequence[int] | None, paused: bool, reason: CommonArtError | None = None) -> None:
        """Pause or resume these jobs (None: the whole queue, and every job when resuming)."""
        with self._write("pause") as db:
            if jobs is None:
                db.execute("INSERT OR REPLACE INTO control VALUES ('paused', ?)", (str(int(paused)),))
                db.execute(
                    "INSERT OR REPLACE INTO control VALUES ('reason', ?)",
                    (json.dumps(reason.to_wire()) if reason else None,),
                )
                if not paused:
                    db.execute("UPDATE jobs SET paused = 0")
            for job in jobs or ():
                self.job(job)
                db.execute("UPDATE jobs SET paused = ? WHERE id = ?", (int(paused), job))

    def prioritise(self, job: int, priority: int) -> None:
        self.job(job)
        with self._write("prioritise") as db:
            db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, job))

    def rename(self, job: int, name: str) -> None:
        """Rename a job. Raises UnknownJob, BadValue (empty)."""
        self.job(job)
        name = " ".join(name.split())[:MAX_NAME]
        if not name:
            raise BadValue(name="name", value=name, why=Phrase("it must be text"))
        with self._write("rename") as db:
            db.execute("UPDATE jobs SET name = ? WHERE id = ?", (name, job))

    def move(self, job: int, before: int | None = None) -> None:
        """Move a job before another and give it that one's priority; with None, before all. Raises UnknownJob."""
        self.job(job)
        if before is not None:
            self.job(before)
        with self._write("move"):
            others = [j.id for j in self.jobs() if j.id != job]
            if others and before != job:
                self._place([job], before if before is not None else others[0])

    def reorder(self, jobs: Sequence[int], before: int | None) -> None:
        """Move these jobs, in this order, before another (None: to the end), with the priority of that position.

        Jobs that no longer exist are skipped.
        """
        with self._write("move"):
            self._place(jobs, before)

    def step(self, jobs: Sequence[int], by: int) -> None:
        """Move these jobs together one position up (-1) or down (1)."""
        with self._write("move"):
            order = [j.id for j in self.jobs()]
            places = sorted(order.index(j) for j in set(jobs) if j in order)
            if places and by < 0 and places[0] > 0:
                self._place([order[p] for p in places], order[places[0] - 1])
            elif places and by > 0 and places[-1] + 1 < len(order):
                self._place([order[p] for p in places], order[places[-1] + 2] if places[-1] + 2 < len(order) else None)

    def _place(self, jobs: Sequence[int], before: int | None) -> None:
        """Inside a transaction: ``reorder``."""
        known = {j.id: j for j in self.jobs()}
        moved = [j for j in dict.fromkeys(jobs) if j in known and j != before]
        others = [j for j in known if j not in moved]
        if not others or not moved:
            return
        at = others.index(before) if before in others else len(others)
        priority = known[others[min(at, len(others) - 1)]].priority
        order = [*others[:at], *moved, *others[at:]]
        self._db.executemany("UPDATE jobs SET priority = ? WHERE id = ?", ((priority, j) for j in moved))
        self._db.executemany("UPDATE jobs SET place = ? WHERE id = ?", ((place, j) for place, j in enumerate(order, 1)))

    def raise_priority(self, jobs: Sequence[int], by: int) -> None:
        """Add to the priority of these jobs."""
        with self._write("prioritise") as db:
            db.executemany("UPDATE jobs SET priority = priority + ? WHERE id = ?", ((by, j) for j in jobs))

    def duplicate(self, job: int, name: str) -> int:
        """Add a job with the same requests and priority, all waiting; its id. Raises UnknownJob."""
        old = self.job(job)
        with self._write("add") as db:
            place = db.execute("SELECT coalesce(max(place), 0) + 1 FROM jobs").fetchone()[0]
            new = db.execute(
                "INSERT INTO jobs (name, created, priority, place) VALUES (?, ?, ?, ?)",
                (name, time.time(), old.priority, place),
            ).lastrowid
            assert new is not None
            db.execute(
                "INSERT INTO images (job, request) SELECT ?, request FROM images WHERE job = ? ORDER BY id", (new, job)
            )
            db.execute(RECOUNT + " WHERE id = ?", (new,))
        return new

    def edit(
        self,
        job: int,
        change: Callable[[int, ImageRequest], dict[str, Any]] | dict[str, Any],
        priority: int | None = None,
    ) -> int:
        """Change settings of a job's waiting rows, and its priority; all or nothing. Returns how many rows.

        ``change`` is the new settings, or gives them for each row from its number (from 0) and its request.

        Raises:
            UnknownJob, NotEditable (none is waiting), BadValue, BadTemplate.
        """
        self.job(job)
        number = last = 0
        with self._write("edit") as db:
            while rows := db.execute(
                "SELECT id, request FROM images WHERE job = ? AND state = 'waiting' AND id > ? ORDER BY id LIMIT ?",
                (job, last, _TURN),
            ).fetchall():
                for r in rows:
                    old = json.loads(r["request"])
                    new = ImageRequest.from_dict(
                        old | (change(number, ImageRequest.from_dict(old)) if callable(change) else change)
                    )
                    naming.check(new.name or naming.DEFAULT, new.extra)
                    db.execute(
                        "UPDATE images SET request = ? WHERE id = ?",
                        (json.dumps(new.to_dict(), ensure_ascii=False), r["id"]),
                    )
                    number, last = number + 1, r["id"]
                time.sleep(0.0002)  # the GUI thread may wait for the GIL; a sleep of 0 does not release it
            if not number:
                raise NotEditable(job=job)
            if priority is not None:
                db.execute("UPDATE jobs SET priority = ? WHERE id = ?", (priority, job))
        return number

    def clear(self, states: Sequence[str]) -> int:
        """Remove rows in these states from the queue (image files stay), and jobs left empty."""
        marks = ", ".join("?" * len(states))
        with self._write("clear") as db:
            count = db.execute(f"DELETE FROM images WHERE state IN ({marks})", tuple(states)).rowcount
            db.execute("DELETE FROM jobs WHERE waiting + running + done + failed + cancelled = 0")
        return count

    def remove(self, job: int) -> int:
        """Remove a job's waiting and cancelled rows from the queue, and the job if none is left; returns how many.

        Undoes ``add_job``: rows that are running, done or failed stay.
        """
        with self._write("remove") as db:
            count = db.execute(
                "DELETE FROM images WHERE job = ? AND state IN ('waiting', 'cancelled')", (job,)
            ).rowcount
            db.execute("DELETE FROM jobs WHERE id = ? AND waiting + running + done + failed + cancelled = 0", (job,))
        return count
