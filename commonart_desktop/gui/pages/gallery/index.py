"""Index of the images in the output folders, in SQLite: ``gallery.db`` in the data folder.

No Qt: it is used from threads.

The files are authoritative; only stars and ratings are stored nowhere else, so a missing image with a rating keeps
its row.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.picture_text import read_text, recipe_of
from commonart_desktop.gui.images.gallery_image import GalleryImage
from engine.contract.files import rename

VERSION = 2  # of the searched text: an older index reads its files again
SORTS = ("newest", "rating", "name")
_ORDER = {
    "newest": "mtime DESC, id DESC",
    "rating": "rating DESC, mtime DESC, id DESC",
    "name": "name COLLATE NOCASE, id",
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, name TEXT NOT NULL, mtime INTEGER NOT NULL, size INTEGER NOT NULL,
    here INTEGER NOT NULL DEFAULT 1, rating INTEGER NOT NULL DEFAULT 0, starred INTEGER NOT NULL DEFAULT 0,
    prompt TEXT NOT NULL, words TEXT NOT NULL, recipe TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS pictures_newest ON pictures (here, mtime, id, rating, starred);
CREATE INDEX IF NOT EXISTS pictures_rating ON pictures (here, rating, mtime, id, starred);
CREATE INDEX IF NOT EXISTS pictures_name ON pictures (here, name COLLATE NOCASE, id, rating, starred);
CREATE INDEX IF NOT EXISTS pictures_folder ON pictures (folder, name, mtime, size, here);
"""


@dataclass(frozen=True)
class Chosen:
    """A selection: all ids, the first two images, and the recipe if it is a single one."""

    ids: Sequence[int] = ()
    images: tuple[GalleryImage, ...] = ()
    prompt: str = ""
    text: str = ""  # the recipe as JSON, or another tool's parameters
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class Query:
    """Filters and sort order."""

    text: str = ""
    rating: int = 0  # at least
    starred: bool = False
    folder: str = ""  # with its subfolders
    sort: str = "newest"


def plain(text: str) -> str:
    """Normalized for searching: case-folded, full and half width alike."""
    return unicodedata.normalize("NFKC", text).casefold()


def describe(path: Path) -> tuple[str, str, str]:
    """(prompt, text to search, recipe or parameters) of an image file."""
    text = read_text(path)
    recipe = recipe_of(text.recipe)
    if recipe is None:
        prompt = re.split(r"\n(?:Negative prompt:|Steps:)", text.parameters)[0]
        return prompt, plain(f"{path.name} {text.parameters}"), text.parameters
    request: dict[str, Any] = recipe["request"]
    prompt = str(request.get("prompt", ""))
    parts = [prompt, path.name, *(str(request.get(k, "")) for k in ("template", "negative"))]
    parts += [
        f"{k}:{request[k]}"
        for k in ("model", "sampler", "seed", "steps", "guidance", "dtype")
        if request.get(k) not in (None, "")
    ]  # seed:7, or just 7
    loras = request.get("loras")
    parts += [
        f"lora:{pair[0]}" for pair in (loras if isinstance(loras, list) else ()) if isinstance(pair, list) and pair
    ]
    return prompt, plain(" ".join([*parts, f"{request.get('width')}x{request.get('height')}"])), text.recipe


class Index:
    """One connection to the index; every thread has its own. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=15, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
            if self._db.execute("PRAGMA user_version").fetchone()[0] < VERSION:
                self._db.execute("UPDATE pictures SET mtime = 0")
                self._db.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    # queries ----------------------------------------------------------------------------------------------------------

    def ids(self, query: Query) -> array[int]:
        """The ids of the matching images, in order."""
        where: list[str] = ["here = 1"]
        values: list[str | int] = []
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
        # a single row of text: SQLite works without Python's lock, for which 50,000 rows would compete with
        # the GUI thread
        inner = f"SELECT id FROM pictures WHERE {' AND '.join(where)} ORDER BY {_ORDER[query.sort]}"
        found = self._db.execute(f"SELECT group_concat(id) FROM ({inner})", values).fetchone()[0]
        return array("q", map(int, found.split(",") if found else ()))

    def images(self, ids: Sequence[int]) -> list[GalleryImage]:
        """These images, in no order, without those that are gone."""
        found: list[GalleryImage] = []
        for start in range(0, len(ids), 500):
            some = tuple(ids[start : start + 500])
            rows = self._db.execute(
                "SELECT id, path, mtime, size, rating, starred, substr(prompt, 1, 500) FROM pictures "
                f"WHERE id IN ({', '.join('?' * len(some))})",
                some,
            ).fetchall()
            found += [GalleryImage(r[0], r[1], r[2], r[3], r[4], bool(r[5]), r[6]) for r in rows]
        return found

    def chosen(self, ids: Sequence[int]) -> Chosen:
        """What the side panel and the viewer need of a selection, in its order."""
        found = {p.id: p for p in self.images(ids[:2])}
        prompt, text = self.details(ids[0]) if len(ids) == 1 else ("", "")
        return Chosen(ids, tuple(found[i] for i in ids[:2] if i in found), prompt, text, recipe_of(text))

    def details(self, image: int) -> tuple[str, str]:
        """(full prompt, recipe as JSON or parameters as text)."""
        found = self._db.execute("SELECT prompt, recipe FROM pictures WHERE id = ?", (image,)).fetchone()
        return (found[0], found[1]) if found else ("", "")

    def folders(self) -> list[tuple[str, int]]:
        """(folder, number of images in it), by name."""
        return self._db.execute(
            "SELECT folder, count(*) FROM pictures WHERE here = 1 GROUP BY folder ORDER BY folder"
        ).fetchall()

    def folders_below(self, folder: str) -> set[str]:
        """Every folder with images that is this one or below it."""
        below = folder.rstrip(os.sep) + os.sep
        found = self._db.execute(
            "SELECT DISTINCT folder FROM pictures WHERE here = 1 AND (folder = ? OR substr(folder, 1, ?) = ?)",
            (folder, len(below), below),
        )
        return {r[0] for r in found.fetchall()}

    # updates ----------------------------------------------------------------------------------------------------------

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        rows = list(rows)
        if not rows:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(sql, rows)

    def rate(self, ids: Sequence[int], rating: int) -> None:
        self._db.execute(
            "UPDATE pictures SET rating = ? WHERE id IN (SELECT value FROM json_each(?))",
            (rating, json.dumps(list(ids))),
        )

    def star(self, ids: Sequence[int], starred: bool | None = None) -> None:
        """Star or unstar; None: star them all, or remove the stars if all have one."""
        these = json.dumps(list(ids))
        if starred is None:
            starred = bool(
                self._db.execute(
                    "SELECT 1 FROM pictures WHERE id IN (SELECT value FROM json_each(?)) AND starred = 0", (these,)
                ).fetchone()
            )
        self._db.execute(
            "UPDATE pictures SET starred = ? WHERE id IN (SELECT value FROM json_each(?))", (int(starred), these)
        )

    def put(self, rows: Sequence[tuple[str, str, str, int, int, str, str, str]]) -> None:
        """Add or refresh (path, folder, name, mtime, size, prompt, words, recipe); stars and ratings stay."""
        self._many(
            "INSERT INTO pictures (path, folder, name, mtime, size, prompt, words, recipe) VALUES (?, ?, ?, "
            "?, ?, ?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET mtime = excluded.mtime, size = excluded.size, prompt = excluded.prompt, "
            "words = excluded.words, recipe = excluded.recipe, here = 1",
            rows,
        )

    def add_file(self, path: Path) -> bool:
        """Add a single file; False if it does not exist."""
        try:
            stat = path.stat()
        except OSError:
            return False
        self.put([(str(path), str(path.parent), path.name, stat.st_mtime_ns, stat.st_size, *describe(path))])
        return True

    def files_in(self, folder: str) -> dict[str, tuple[int, int, int]]:
        """name -> (mtime, size, here) of a folder's own files."""
        return {
            r[0]: (r[1], r[2], r[3])
            for r in self._db.execute("SELECT name, mtime, size, here FROM pictures WHERE folder = ?", (folder,))
        }

    def away(self, folder: str, names: Iterable[str]) -> None:
        """Mark files as missing. Rows with a rating or star stay, hidden, until the file is back."""
        rows = [(folder, n) for n in names]
        self._many("DELETE FROM pictures WHERE folder = ? AND name = ? AND rating = 0 AND starred = 0", rows)
        self._many("UPDATE pictures SET here = 0 WHERE folder = ? AND name = ?", rows)

    def back(self, folder: str, names: Iterable[str]) -> None:
        self._many("UPDATE pictures SET here = 1 WHERE folder = ? AND name = ?", ((folder, n) for n in names))

    def only_folders(self, seen: set[str]) -> None:
        """Mark the files of all other folders as missing."""
        for (folder,) in self._db.execute("SELECT DISTINCT folder FROM pictures WHERE here = 1").fetchall():
            if folder not in seen:
                self.away(folder, list(self.files_in(folder)))


def open_or_rename_damaged(path: Path) -> Path | None:
    """Create or check the index. A damaged one is renamed and a new one created; returns the path of the damaged one.

    Raises:
        sqlite3.OperationalError: it cannot be opened, but it is not damaged.
    """
    try:
        Index(path).close()
        return None
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.OperationalError):
            raise
        damaged = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        rename(path, damaged, overwrite=True)
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        Index(path).close()
        return damaged
