"""What a person can do to the queue, one small function each. They write to disk: call them away from the GUI thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from engine.contract.ledger_file import RECOUNT, STATES, connect, told
from engine.contract.queue import Job, Ledger, Row

LIVE = ("waiting", "running")


@contextmanager
def _transaction(ledger: Ledger, aside: Path | None = None) -> Iterator[sqlite3.Connection]:
    """All or nothing; with ``aside``, a second file as schema ``aside``."""
    with told(ledger.path), closing(connect(ledger.path)) as db:
        if aside is not None:
            db.execute("ATTACH ? AS aside", (str(aside),))
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def pictures_in(ledger: Ledger, spans: Sequence[tuple[int, int, int]], state: str | None) -> list[int]:
    """Ids of pictures told by their places: (job, first, last) among those in ``state``."""
    found: list[int] = []
    for job, first, last in spans:
        for offset in range(first, last + 1, 500):
            found += (r.id for r in ledger.page(job=job, offset=offset, limit=min(500, last + 1 - offset), state=state))
    return found


def pause_all(ledger: Ledger, paused: bool) -> None:
    """Hold or release the whole queue."""
    ledger.pause(None, paused)


def pause_jobs(ledger: Ledger, jobs: Sequence[int], paused: bool) -> None:
    """Hold or release these jobs."""
    ledger.pause(jobs, paused)


def _set_pictures(ledger: Ledger, pictures: Sequence[int], states: Sequence[str], new: str) -> int:
    clear = ", error = NULL, deaths = 0, attempts = 0" if new == "waiting" else ""
    marks = ", ".join("?" * len(states))
    with _transaction(ledger) as db:
        return sum(db.execute(f"UPDATE images SET state = ?, active = 0, worker = NULL{clear} WHERE id = ? AND state IN ({marks})",
                              (new, i, *states)).rowcount for i in pictures)


def cancel(ledger: Ledger, jobs: Sequence[int], pictures: Sequence[int]) -> int:
    """Give up what is waiting or running in these jobs and these pictures; how many."""
    count = ledger.set_state(jobs, LIVE, "cancelled") if jobs else 0
    return count + (_set_pictures(ledger, pictures, LIVE, "cancelled") if pictures else 0)


def retry(ledger: Ledger, jobs: Sequence[int] | None, pictures: Sequence[int] = ()) -> int:
    """Put back failed pictures of these jobs (None: of all), and these failed or cancelled pictures; how many.

    A job with nothing failed has its cancelled pictures put back.
    """
    count = 0
    if jobs is None:
        count = ledger.set_state(None, ["failed"], "waiting")
    for job in jobs or ():
        count += ledger.set_state([job], ["failed" if ledger.job(job).failed else "cancelled"], "waiting")
    return count + (_set_pictures(ledger, pictures, ("failed", "cancelled"), "waiting") if pictures else 0)


def duplicate(ledger: Ledger, job: int, name: str) -> int:
    """Add a job with the same requests; its id."""
    return ledger.add_job(name, (r.request for r in _rows(ledger, job)), priority=ledger.job(job).priority)


def prioritise(ledger: Ledger, jobs: Sequence[int], by: int) -> None:
    """Raise or lower the priority of these jobs."""
    for job in jobs:
        ledger.prioritise(job, ledger.job(job).priority + by)


def move(ledger: Ledger, jobs: Sequence[int], before: int | None) -> None:
    """Put these jobs, in this order, before another (None: at the end)."""
    if before is not None:
        for job in jobs:
            ledger.move(job, before)
        return
    others = [j.id for j in ledger.jobs() if j.id not in jobs]
    if others:
        for job in jobs:
            ledger.move(job, others[-1])
        ledger.move(others[-1], jobs[0])


def step(ledger: Ledger, jobs: Sequence[int], by: int) -> None:
    """Move these jobs one place up (-1) or down (1)."""
    order = [j.id for j in ledger.jobs()]
    places = [order.index(j) for j in jobs if j in order]
    if not places:
        return
    if by < 0 and min(places) > 0:
        move(ledger, [order[p] for p in sorted(places)], order[min(places) - 1])
    elif by > 0 and max(places) + 1 < len(order):
        move(ledger, [order[p] for p in sorted(places)], order[max(places) + 2] if max(places) + 2 < len(order) else None)


def edit(ledger: Ledger, job: int, settings: dict[str, Any]) -> int:
    """Change a job's waiting pictures; how many. A new prompt is no longer what its template said."""
    return ledger.edit(job, settings | ({"template": "", "draw": []} if "prompt" in settings else {}))


def _aside(ledger: Ledger) -> Path:
    return ledger.path.with_name(f"{ledger.path.name}.removed")


def remove(ledger: Ledger, states: Sequence[str], pictures: Sequence[int] = ()) -> int:
    """Take pictures in these states off the list (all of them, or of ``pictures``); files stay. What was last removed lies aside."""
    aside = _aside(ledger)
    for tail in ("", "-journal", "-wal", "-shm"):
        aside.with_name(aside.name + tail).unlink(missing_ok=True)
    marks = ", ".join("?" * len(states))
    with _transaction(ledger, aside) as db:
        db.execute("CREATE TABLE aside.images AS SELECT * FROM main.images WHERE 0")
        if pictures:
            db.executemany(f"INSERT INTO aside.images SELECT * FROM main.images WHERE id = ? AND state IN ({marks})", ((i, *states) for i in pictures))
        else:
            db.execute(f"INSERT INTO aside.images SELECT * FROM main.images WHERE state IN ({marks})", tuple(states))
        db.execute("CREATE TABLE aside.jobs AS SELECT * FROM main.jobs WHERE id IN (SELECT job FROM aside.images)")
        count = db.execute("DELETE FROM main.images WHERE id IN (SELECT id FROM aside.images)").rowcount
        db.execute(f"DELETE FROM main.jobs WHERE id IN (SELECT id FROM aside.jobs) AND {' + '.join(STATES)} = 0")
    return count


def bring_back(ledger: Ledger) -> int:
    """Undo the last ``remove``; how many came back."""
    aside = _aside(ledger)
    if not aside.exists():
        return 0
    with _transaction(ledger, aside) as db:
        db.execute("INSERT OR IGNORE INTO main.jobs SELECT * FROM aside.jobs")
        count = db.execute("INSERT OR IGNORE INTO main.images SELECT * FROM aside.images").rowcount
        db.execute(f"{RECOUNT} WHERE id IN (SELECT id FROM aside.jobs)")
    aside.unlink(missing_ok=True)
    return count


def left(jobs: Sequence[Job]) -> int:
    """Pictures still to be made."""
    return sum(j.waiting + j.running for j in jobs)


def remove_picked(ledger: Ledger, jobs: Sequence[int], pictures: Sequence[int]) -> int:
    """Take these off the list, jobs with all their pictures, except what is waiting or running."""
    whole = [r.id for job in jobs for r in _rows(ledger, job)]
    chosen = [*pictures, *whole]
    return remove(ledger, ("done", "failed", "cancelled"), chosen) if chosen else 0


def _rows(ledger: Ledger, job: int) -> Iterator[Row]:
    offset = 0
    while rows := ledger.page(job=job, offset=offset, limit=500):
        yield from rows
        offset += len(rows)
