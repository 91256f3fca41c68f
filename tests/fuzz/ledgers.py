"""Targets: a queue that is any SQLite file or a damaged one, and exported queues."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from commonart_desktop.core.ledger import export_rows, import_rows
from engine.contract.errors import CommonArtError, LedgerCorrupt
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.schema import salvage
from engine.contract.request import ImageRequest
from engine.output.save import recover
from tests.fuzz.core import Broken, Files, Target
from tests.fuzz.mutate import HUGE, NASTY, damaged, lines

_STATEMENTS = (
    "UPDATE images SET request = ?",
    "UPDATE images SET request = CAST(? AS BLOB)",
    "UPDATE images SET error = ?",
    "UPDATE images SET recipe = ?",
    "UPDATE images SET path = ?, pending = ?1",
    "UPDATE jobs SET name = ?",
    "UPDATE jobs SET name = CAST(? AS BLOB)",
    "UPDATE jobs SET priority = ?",
    "UPDATE jobs SET waiting = ?",
    "UPDATE jobs SET created = ?, place = ?1",
    "INSERT OR REPLACE INTO control VALUES ('paused', ?)",
    "INSERT OR REPLACE INTO control VALUES ('reason', ?)",
    "INSERT INTO images (job, request) VALUES (1, ?)",
    "DROP TABLE images",
    "DROP TABLE jobs",
    "DROP TABLE control",
    "ALTER TABLE images DROP COLUMN error",
    "ALTER TABLE jobs ADD COLUMN more TEXT",
    "CREATE TRIGGER t AFTER UPDATE ON images BEGIN DELETE FROM jobs; END",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 2",
    "UPDATE images SET state = 'running', worker = ?",
    "UPDATE images SET state = 'running', worker = 'w', pending = ?",
    "INSERT INTO workers (id, pid) VALUES (?, 5)",
    "PRAGMA user_version = -1",
    "CREATE VIEW x AS SELECT 1",
    "DELETE FROM jobs",
    "UPDATE images SET job = 99",
    "INSERT INTO images (id, job, request) VALUES (9223372036854775807, 1, ?)",
)
_VALUES = (
    *NASTY,
    *(h for h in HUGE if h < 1 << 63),
    None,
    1.5,
    "[" * 50_000,
    '{"prompt": 5, "seed": 1}',
    '{"prompt": "a", "seed": 1, "out": "/etc", "steps": "x"}',
    '{"kind": 5, "message": {}, "hint": []}',
    '{"prompt": "a", "seed": 1e400}',
)


@cache
def original() -> bytes:
    """A queue with two jobs and pictures in several states."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "queue.db")
        ledger = Ledger(path)
        for name in ("祭り", "b"):
            ledger.add_job(name, [ImageRequest(prompt=f"りんご {n}", seed=n, out="x") for n in range(12)])
        ledger.close()
        db = sqlite3.connect(path)
        db.execute(
            'UPDATE images SET state = \'failed\', error = \'{"kind": "disk-full", "message": "m", "hint": "", "fields": {"path": "x"}}\' WHERE id = 2'
        )
        db.execute("UPDATE images SET state = 'done', path = 'x/a.png', recipe = '{}', pixel_sha256 = 'a' WHERE id = 3")
        db.execute("UPDATE images SET state = 'running', worker = 'w', pending = 'x/b.png' WHERE id = 4")
        db.commit()
        db.execute("PRAGMA journal_mode=DELETE")
        db.close()
        return path.read_bytes()


def _changed(statements: list[tuple[str, Any]]) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "queue.db")
        path.write_bytes(original())
        db = sqlite3.connect(path, isolation_level=None)
        try:
            for statement, value in statements:
                try:
                    db.execute(statement, (value,) if "?" in statement else ())
                except (sqlite3.Error, UnicodeError):
                    pass  # a file that cannot be made so
        finally:
            db.close()
        return path.read_bytes()


def _files() -> SearchStrategy[Files]:
    statement = st.lists(st.tuples(st.sampled_from(_STATEMENTS), st.sampled_from(_VALUES)), max_size=3)
    return st.one_of(statement.map(_changed), damaged([original(), b""]), damaged([original()])).map(
        lambda d: {"queue.db": d}
    )


def _all(ledger: Ledger) -> Any:
    """Every way of reading, and some of changing."""
    found: dict[str, Any] = {
        "counts": ledger.counts(),
        "paused": ledger.paused(),
        "page": [r.to_json() for r in ledger.page(limit=30)],
    }
    for job in ledger.jobs():
        found[f"lines {job.id}"] = [line._asdict() for line in ledger.lines(job.id, limit=30)]
    found["every"] = [asdict(row) for _, row in ledger.every()]
    found["search"] = [r.id for r in ledger.search("りんご")]
    found["recipes"] = [ledger.recipe(n) for n in range(1, 6)]
    found["stranded"] = [r.id for r in ledger.stranded()]
    found["recovered"] = recover(ledger)
    found["added"] = ledger.add_job("c", [ImageRequest(prompt="c", seed=1)])
    return found


def _open(folder: Path) -> Any:
    """As ``open_ledger`` does: read it; what is damaged is saved into a new one, which must be whole.

    Exporting must work, too.
    """
    path = folder / "queue.db"
    try:
        ledger = Ledger(path)
    except LedgerCorrupt:
        kept, _ = salvage(path)
        if not kept.exists():
            raise Broken("the damaged queue is gone") from None
        ledger = Ledger(path)
    try:
        found = _all(ledger)
        export_rows(ledger, folder / "out.jsonl")
    except CommonArtError as error:
        ledger.close()
        if isinstance(error, LedgerCorrupt):  # met while working: the next opening saves what it can
            salvage(path)
            ledger = Ledger(path)
            found = _all(ledger)
            export_rows(ledger, folder / "out.jsonl")
        else:
            raise
    finally:
        ledger.close()
    return found


_ROW = {
    "job": "祭り",
    "priority": 0,
    "state": "waiting",
    "path": None,
    "pixel_sha256": None,
    "request": {
        "prompt": "りんご",
        "seed": 5,
        "model": "/x/commonart-mini",
        "out": "/etc",
        "text_encoder": "/etc",
        "vae": "../x",
        "steps": 5,
        "name": "{seed}",
        "loras": [["ink", 0.5]],
        "extra": {"x": "y"},
        "draw": ["a"],
    },
}


def _exports() -> SearchStrategy[Files]:
    return lines(_ROW).map(lambda d: {"queue.jsonl": d})


def _import(folder: Path) -> Any:
    """What comes in can be read again, and chose no place."""
    ledger = Ledger(folder / "new" / "queue.db")
    try:
        added, errors = import_rows(ledger, folder / "queue.jsonl", "here", {})
        if errors:
            raise errors[0]
        for _, row in ledger.every():
            r = row.request
            if (
                row.unreadable
                or r.out != "here"
                or r.text_encoder
                or r.vae
                or "/" in r.model
                or any(c in name for name, _ in r.loras for c in "/\\:")
            ):
                raise Broken(f"an imported row chose a place, or cannot be read: {r}")
        return added
    finally:
        ledger.close()


TARGETS = (
    Target("queues", "any file as the queue", _files, _open),
    Target("imports", "exported queues", _exports, _import),
)
