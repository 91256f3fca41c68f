"""The pictures in the output folders, in SQLite (``gallery.db`` in the data folder). No Qt: it is used from threads.

The files are the truth; only stars and ratings live here alone, so a rated picture that is away keeps its row.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.picture_text import ENDINGS, read_text, recipe_of

BATCH = 200  # files between two writes
SORTS = ("newest", "rating", "name")
_ORDER = {"newest": "mtime DESC, id DESC", "rating": "rating DESC, mtime DESC, id DESC", "name": "name COLLATE NOCASE, id"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, mtime INTEGER NOT NULL,
    size INTEGER NOT NULL, here INTEGER NOT NULL DEFAULT 1, rating INTEGER NOT NULL DEFAULT 0, starred INTEGER NOT NULL DEFAULT 0,
    prompt TEXT NOT NULL, words TEXT NOT NULL, recipe TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS pictures_newest ON pictures (here, mtime, id, rating, starred);
CREATE INDEX IF NOT EXISTS pictures_rating ON pictures (here, rating, mtime, id, starred);
CREATE INDEX IF NOT EXISTS pictures_name ON pictures (here, name COLLATE NOCASE, id, rating, starred);
CREATE INDEX IF NOT EXISTS pictures_folder ON pictures (folder, name, mtime, size, here);
"""


@dataclass(frozen=True)
class Picture:
    """What a tile shows."""

    id: int
    path: str
    mtime: int  # nanoseconds since 1970
    size: int
    rating: int
    starred: bool
    prompt: str  # its first 500 letters


@dataclass(frozen=True)
class Query:
    """Which pictures, and in what order."""

    text: str = ""
    rating: int = 0  # at least
    starred: bool = False
    folder: str = ""  # with all below it
    sort: str = "newest"


def plain(text: str) -> str:
    """As it is searched: no case, and full and half width alike."""
    return unicodedata.normalize("NFKC", text).casefold()


def describe(path: Path) -> tuple[str, str, str]:
    """(prompt, words to search, recipe or parameters) of a picture file."""
    text = read_text(path)
    recipe = recipe_of(text.recipe)
    if recipe is None:
        prompt = re.split(r"\n(?:Negative prompt:|Steps:)", text.parameters)[0]
        return prompt, plain(f"{path.name} {text.parameters}"), text.parameters
    asked: dict[str, Any] = recipe["request"]
    prompt = str(asked.get("prompt", ""))
    parts = [prompt, path.name, *(str(asked.get(k, "")) for k in ("template", "negative", "model", "sampler", "seed", "steps", "guidance"))]
    return prompt, plain(" ".join([*parts, f"{asked.get('width')}x{asked.get('height')}"])), text.recipe


class Index:
    """One connection; every thread has its own. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=15, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    # looking ----------------------------------------------------------------------------------------------------------

    def ids(self, query: Query) -> array[int]:
        """The pictures in order, as ids only."""
        where, values = ["here = 1"], []
        if query.rating:
            where.append("rating >= ?")
            values.append(query.rating)
        if query.starred:
            where.append("starred = 1")
        if query.folder:
            where.append("(folder = ? OR substr(folder, 1, ?) = ?)")
            below = query.folder.rstrip(os.sep) + os.sep
            values += [query.folder, len(below), below]
        for word in plain(query.text).split():
            where.append("instr(words, ?) > 0")
            values.append(word)
        found = self._db.execute(f"SELECT id FROM pictures WHERE {' AND '.join(where)} ORDER BY {_ORDER[query.sort]}", values)
        return array("q", (r[0] for r in found))

    def pictures(self, ids: Sequence[int]) -> list[Picture]:
        """These rows, in no order; those gone are left out."""
        marks = ", ".join("?" * len(ids))
        found = self._db.execute(f"SELECT id, path, mtime, size, rating, starred, substr(prompt, 1, 500) FROM pictures WHERE id IN ({marks})", tuple(ids))
        return [Picture(r[0], r[1], r[2], r[3], r[4], bool(r[5]), r[6]) for r in found]

    def details(self, picture: int) -> tuple[str, str]:
        """(whole prompt, recipe as JSON or parameters as text)."""
        found = self._db.execute("SELECT prompt, recipe FROM pictures WHERE id = ?", (picture,)).fetchone()
        return (found[0], found[1]) if found else ("", "")

    def folders(self) -> list[tuple[str, int]]:
        """(folder, pictures in it), by name."""
        return self._db.execute("SELECT folder, count(*) FROM pictures WHERE here = 1 GROUP BY folder ORDER BY folder").fetchall()

    # changing ---------------------------------------------------------------------------------------------------------

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        rows = list(rows)
        if not rows:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(sql, rows)

    def rate(self, ids: Sequence[int], rating: int) -> None:
        self._many("UPDATE pictures SET rating = ? WHERE id = ?", ((rating, i) for i in ids))

    def star(self, ids: Sequence[int], starred: bool) -> None:
        self._many("UPDATE pictures SET starred = ? WHERE id = ?", ((int(starred), i) for i in ids))

    def put(self, rows: Sequence[tuple[str, str, str, int, int, str, str, str]]) -> None:
        """Add or refresh (path, folder, name, mtime, size, prompt, words, recipe); stars and ratings stay."""
        self._many("INSERT INTO pictures (path, folder, name, mtime, size, prompt, words, recipe) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                   "ON CONFLICT (path) DO UPDATE SET mtime = excluded.mtime, size = excluded.size, prompt = excluded.prompt, "
                   "words = excluded.words, recipe = excluded.recipe, here = 1", rows)

    def add_file(self, path: Path) -> bool:
        """Take in one file now; false if it is not there."""
        try:
            stat = path.stat()
        except OSError:
            return False
        self.put([(str(path), str(path.parent), path.name, stat.st_mtime_ns, stat.st_size, *describe(path))])
        return True

    def known(self, folder: str) -> dict[str, tuple[int, int, int]]:
        """name -> (mtime, size, here) of a folder's own files."""
        return {r[0]: (r[1], r[2], r[3]) for r in self._db.execute("SELECT name, mtime, size, here FROM pictures WHERE folder = ?", (folder,))}

    def away(self, folder: str, names: Iterable[str]) -> None:
        """These files are not there now. What is rated or starred stays, unseen, until it is back."""
        rows = [(folder, n) for n in names]
        self._many("DELETE FROM pictures WHERE folder = ? AND name = ? AND rating = 0 AND starred = 0", rows)
        self._many("UPDATE pictures SET here = 0 WHERE folder = ? AND name = ?", rows)

    def back(self, folder: str, names: Iterable[str]) -> None:
        self._many("UPDATE pictures SET here = 1 WHERE folder = ? AND name = ?", ((folder, n) for n in names))

    def only_folders(self, seen: set[str]) -> None:
        """Every folder that was not come upon is away."""
        for (folder,) in self._db.execute("SELECT DISTINCT folder FROM pictures WHERE here = 1").fetchall():
            if folder not in seen:
                self.away(folder, list(self.known(folder)))


def made_folders(ledger: Path) -> list[str]:
    """The folders in which the queue's pictures lie. An own connection, read only: the window's is not held up."""
    sep = os.sep
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            # what is left when every letter but the separator is cut off the end
            found = db.execute("SELECT DISTINCT rtrim(path, replace(path, ?, '')) FROM images WHERE state = 'done' AND path IS NOT NULL", (sep,))
            return [str(Path(r[0])) for r in found if r[0]]
    except sqlite3.Error:
        return []  # the queue's own page tells what is wrong with it


def scan(index: Index, deep: Sequence[str], flat: Sequence[str], stop: threading.Event, told: Callable[[int], None]) -> bool:
    """Bring the index up to date with the files: ``deep`` folders with all below them, ``flat`` ones alone.

    ``told`` is called after each write with how many files changed. Returns false if it was stopped.
    """
    seen: set[str] = set()
    todo = [(f, False) for f in reversed(flat)] + [(f, True) for f in reversed(deep)]
    while todo:
        folder, below = todo.pop()
        if folder in seen:
            continue
        inner = _scan_folder(index, folder, stop, told)
        if stop.is_set():
            return False
        if inner is None:
            continue
        seen.add(folder)
        if below:
            todo += [(f, True) for f in sorted(inner)]  # the newest date last, so first
    index.only_folders(seen)
    return True


def _scan_folder(index: Index, folder: str, stop: threading.Event, told: Callable[[int], None]) -> list[str] | None:
    """Its subfolders; None if it cannot be looked into."""
    known = index.known(folder)
    inner: list[str] = []
    changed: list[tuple[int, int, str]] = []
    back: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for number, e in enumerate(entries):
                if number % 100 == 99:
                    time.sleep(0.001)  # let the window breathe
                    if stop.is_set():
                        return None
                if e.name.startswith("."):
                    continue
                if e.is_dir(follow_symlinks=False):
                    inner.append(e.path)
                elif e.name.lower().endswith(ENDINGS) and e.is_file():
                    stat = e.stat()
                    old = known.pop(e.name, None)
                    if old is None or old[:2] != (stat.st_mtime_ns, stat.st_size):
                        changed.append((stat.st_mtime_ns, stat.st_size, e.name))
                    elif not old[2]:
                        back.append(e.name)
    except OSError:
        return None
    gone = [n for n, (_, _, here) in known.items() if here]
    index.back(folder, back)
    index.away(folder, gone)
    if back or gone:
        told(len(back) + len(gone))
    changed.sort(reverse=True)  # the newest come into sight first
    for start in range(0, len(changed), BATCH):
        rows = []
        for mtime, size, name in changed[start:start + BATCH]:
            path = Path(folder, name)
            rows.append((str(path), folder, name, mtime, size, *describe(path)))
            if stop.wait(0.0005):
                return None
        index.put(rows)
        told(len(rows))
    return inner
