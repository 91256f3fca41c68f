"""The ledger's file: schema, migrations, and saving what can be read of a damaged one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.contract.errors import (
    CommonArtError,
    DiskFull,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerNewer,
    LedgerUnwritable,
    Phrase,
    system_words,
)
from engine.contract.fault_injection import fault_point
from engine.contract.files import rename

STATES = ("waiting", "running", "done", "failed", "cancelled")
_COUNT_UP = (
    "UPDATE jobs SET waiting=waiting+(NEW.state='waiting'), running=running+(NEW.state='running'), "
    "done=done+(NEW.state='done'), failed=failed+(NEW.state='failed'), cancelled=cancelled+(NEW.state='cancelled') "
    "WHERE id=NEW.job"
)
_COUNT_DOWN = _COUNT_UP.replace("+(NEW", "-(OLD").replace("NEW.job", "OLD.job")

#: Recount after rows were inserted: an insert trigger would double the time to add 100,000 rows.
RECOUNT = "UPDATE jobs SET " + ", ".join(
    f"{s} = (SELECT count(*) FROM images WHERE job = jobs.id AND state = '{s}')" for s in STATES
)

#: MIGRATIONS[n] takes a ledger from schema n to n + 1. AUTOINCREMENT: a worker may still hold a row that was cleared
#: away.
MIGRATIONS = (
    f"""
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, created REAL NOT NULL,
        priority INTEGER NOT NULL DEFAULT 0,
        place REAL NOT NULL, paused INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0,
        running INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        cancelled INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX jobs_order ON jobs (priority DESC, place, id);
    CREATE TABLE images (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN {STATES}), request TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0, active INTEGER NOT NULL DEFAULT 0,
        worker TEXT, error TEXT, pending TEXT, path TEXT, pixel_sha256 TEXT, recipe TEXT, started REAL, finished REAL);
    CREATE INDEX images_job ON images (job, id);
    CREATE INDEX images_waiting ON images (job, id) WHERE state = 'waiting';
    CREATE INDEX images_running ON images (worker) WHERE state = 'running';
    CREATE INDEX images_state ON images (state, job, id);
    CREATE TABLE control (key TEXT PRIMARY KEY, value TEXT);
    CREATE TABLE workers (id TEXT PRIMARY KEY, pid INTEGER, device TEXT, started REAL, command TEXT);
    CREATE TRIGGER images_removed AFTER DELETE ON images BEGIN {_COUNT_DOWN}; END;
    CREATE TRIGGER images_moved AFTER UPDATE OF state ON images WHEN OLD.state <> NEW.state
    BEGIN {_COUNT_DOWN}; {_COUNT_UP}; END;
    """,
)
SCHEMA = len(MIGRATIONS)


def translate(error: Exception, path: Path) -> CommonArtError:
    """SQLite's and the system's errors as ours."""
    text = str(error)
    if isinstance(error, CommonArtError):
        return error
    if "disk is full" in text or (isinstance(error, OSError) and error.errno == 28):
        return DiskFull(path=path)
    if "locked" in text or "busy" in text:
        return LedgerLocked(path=path)
    if (
        isinstance(error, UnicodeError)
        or "decode to UTF-8" in text
        or "malformed" in text
        or "not a database" in text
        or "disk image" in text
        or "file is encrypted" in text
    ):
        return LedgerCorrupt(path=path)
    if isinstance(error, OSError):
        return LedgerUnwritable(path=path, why=system_words(error))
    if "unable to open" in text or "readonly" in text:
        return LedgerUnwritable(path=path, why=Phrase("it is not permitted"))
    return LedgerError(why=f"{path}: {text}")


@contextmanager
def ledger_error(path: Path) -> Iterator[None]:
    """Convert database errors of the block to ours.

    Raises:
        DiskFull, LedgerLocked, LedgerCorrupt, LedgerUnwritable, LedgerError
    """
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as e:
        raise translate(e, path) from e


def connect(path: Path, timeout: float = 15.0) -> sqlite3.Connection:
    """Open, create or migrate the ledger at ``path``; ``timeout`` is how many seconds to wait for another writer.

    WAL, so that readers never wait for the writer; ``synchronous=FULL``, so that rows reported as done survive a power
    cut.

    Raises:
        LedgerNewer, LedgerCorrupt, LedgerLocked, DiskFull
    """
    with ledger_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        with ledger_error(path):
            with fault_point("ledger open"):
                found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA:
                raise LedgerNewer(path=path, found=found, known=SCHEMA)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            db.execute("PRAGMA wal_autocheckpoint=1000")
            if found < SCHEMA:
                db.execute("BEGIN IMMEDIATE")
                found = db.execute("PRAGMA user_version").fetchone()[0]  # another process may have been first
                for number in range(found, SCHEMA):
                    for statement in _statements(MIGRATIONS[number]):
                        db.execute(statement)
                with fault_point("ledger migrate"):
                    db.execute(f"PRAGMA user_version={SCHEMA}")
                    db.execute("COMMIT")
            db.execute("SELECT id FROM jobs LIMIT 1").fetchone()
            db.execute("SELECT id FROM images ORDER BY id DESC LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _statements(script: str) -> Iterator[str]:
    """Split a script where sqlite says a statement is complete (``executescript`` would commit on its own)."""
    part = ""
    for piece in script.split(";"):
        part += piece + ";"
        if sqlite3.complete_statement(part):
            if part.strip(" \n;"):
                yield part
            part = ""


def salvage(path: Path) -> tuple[Path, int]:
    """Rename a damaged ledger and copy every readable row to a new one.

    Returns:
        The new path of the damaged file, and how many rows were saved.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.damaged-{stamp}-{os.getpid()}")
    for tail in ("", "-wal", "-shm"):
        part = path.with_name(path.name + tail)
        if part.exists():
            rename(part, kept.with_name(kept.name + tail), overwrite=True)
    new = connect(path)
    saved = 0
    try:
        old = sqlite3.connect(kept, timeout=5.0)
        old.row_factory = sqlite3.Row
        new.execute("BEGIN IMMEDIATE")
        job_columns = ("id", "name", "created", "priority", "place", "paused")
        for row in _readable(old, "jobs"):
            _insert(new, "jobs", {c: row[c] for c in job_columns})
        columns = [c[1] for c in new.execute("PRAGMA table_info(images)")]
        for row in _readable(old, "images"):
            new.execute(
                "INSERT OR IGNORE INTO jobs (id, name, created, place) VALUES (?, ?, ?, ?)",
                (row["job"], f"#{row['job']}", time.time(), row["job"]),
            )
            saved += _insert(new, "images", {c: row[c] for c in columns if c in row.keys()})  # noqa: SIM118
        old.close()
    except sqlite3.Error:
        pass  # nothing more can be read; what was read is kept
    finally:
        if new.in_transaction:
            new.execute(RECOUNT)
            new.execute("COMMIT")
        new.close()
    return kept, saved


def _insert(db: sqlite3.Connection, table: str, row: dict[str, object]) -> int:
    marks = ", ".join("?" * len(row))
    try:
        return db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())).rowcount
    except (sqlite3.IntegrityError, sqlite3.InterfaceError):
        return 0  # a row whose bytes are damaged: not readable


def _readable(db: sqlite3.Connection, table: str) -> Iterator[sqlite3.Row]:
    """Rows by ascending id; after a damaged page it continues with the next readable id."""
    last, step = 0, 1
    while True:
        try:
            for row in db.execute(f"SELECT * FROM {table} WHERE id > ? ORDER BY id", (last,)):
                last, step = row["id"], 1
                yield row
            return
        except (sqlite3.Error, UnicodeError):
            last += step  # skip the damage in growing steps, then smaller ones again
            step = min(step * 2, 64)
            if last > 50_000_000 or (step == 64 and _is_hopeless(db, table, last)):
                return


def _is_hopeless(db: sqlite3.Connection, table: str, last: int) -> bool:
    """No row from here to far ahead can be read."""
    for ahead in (1, 100, 1_000, 10_000):
        try:
            if db.execute(f"SELECT id FROM {table} WHERE id > ? LIMIT 1", (last + ahead,)).fetchone():
                return False
        except (sqlite3.Error, UnicodeError):
            continue
    return True
