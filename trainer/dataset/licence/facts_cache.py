"""Facts about image files, and the database that stores them between checks."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import home
from engine.imagefile.image import pixel_sha256
from trainer.dataset.images import load_rgb
from trainer.dataset.licence.perceptual_hash import PerceptualHash
from trainer.dataset.licence.signals import Signals

_FORM = 2  # version of the cached data; raise it when hashes or signals are computed differently


@dataclass(frozen=True)
class Facts:
    """Facts about one file; ``error`` is why it cannot be used, and then ``perceptual_hash`` is None.

    ``sha256`` is empty only where the file could not be read.
    """

    sha256: str = ""
    size: int = 0  # bytes
    width: int = 0  # upright
    height: int = 0
    kind: str = ""  # png, jpeg, webp
    perceptual_hash: PerceptualHash | None = None
    signals: Signals = field(default_factory=Signals)
    error: Phrase | None = None

    def packed(self) -> str:
        """As JSON text."""
        return json.dumps(
            {
                "w": self.width,
                "h": self.height,
                "k": self.kind,
                "s": self.signals.as_data(),
                "l": None
                if self.perceptual_hash is None
                else [
                    f"{self.perceptual_hash.phash:x}",
                    f"{self.perceptual_hash.dhash:x}",
                    self.perceptual_hash.colour.hex(),
                ],
                "e": None if self.error is None else [self.error.template, self.error.fields],
            },
            ensure_ascii=False,
        )

    @classmethod
    def unpacked(cls, sha256: str, size: int, text: str) -> Facts:
        data = json.loads(text)
        hashes = (
            None
            if data["l"] is None
            else PerceptualHash(int(data["l"][0], 16), int(data["l"][1], 16), bytes.fromhex(data["l"][2]))
        )
        error = None if data["e"] is None else Phrase(data["e"][0], **data["e"][1])
        return cls(sha256, size, data["w"], data["h"], data["k"], hashes, Signals.from_data(data["s"]), error)


def tools() -> dict[str, str]:
    """Versions of the libraries that affect the result."""
    result = {}
    for name in ("license-expression", "c2pa-python", "pillow", "numpy"):
        try:
            result[name] = version(name)
        except PackageNotFoundError:
            result[name] = "?"
    return result


class FactsCache:
    """Facts from earlier checks of one folder.

    Stored in the program's data folder, so that a downloaded dataset cannot bring its own.
    """

    def __init__(self, folder: Path) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._path = home() / "cache" / "gate" / f"{name}.sqlite"
        stamp = json.dumps([_FORM, tools()], sort_keys=True)
        try:
            self._db: sqlite3.Connection | None = self._open(stamp)
        except (sqlite3.Error, OSError):
            self._db = None
            try:  # damaged: everything in it can be computed again
                self._path.unlink(missing_ok=True)
                self._db = self._open(stamp)
            except (sqlite3.Error, OSError):
                pass  # no cache: all files are read again

    def _open(self, stamp: str) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")  # losing it costs time only
            db.execute("CREATE TABLE IF NOT EXISTS stamp (text TEXT)")
            db.execute(
                "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, mark TEXT, sha256 TEXT, size INTEGER, data "
                "TEXT)"
            )
            db.execute("CREATE TABLE IF NOT EXISTS pixels (sha256 TEXT PRIMARY KEY, pixels TEXT)")
            if db.execute("SELECT text FROM stamp").fetchone() != (stamp,):
                db.executescript("DELETE FROM stamp; DELETE FROM facts; DELETE FROM pixels;")
                db.execute("INSERT INTO stamp VALUES (?)", (stamp,))
        except sqlite3.Error:
            db.close()
            raise
        return db

    def facts(self) -> dict[str, tuple[str, str, int, str]]:
        """name -> mark, sha256, size, packed facts."""
        try:
            rows = self._db.execute("SELECT name, mark, sha256, size, data FROM facts").fetchall() if self._db else []
        except sqlite3.Error:
            return {}
        return {r[0]: (r[1], r[2], r[3], r[4]) for r in rows}

    def store(self, rows: Iterable[tuple[str, str, str, int, str]]) -> None:
        self._many("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)

    def pixels(self, path: Path, sha256: str) -> str:
        """Hash of the decoded pixels of a file with that hash; empty where it cannot be decoded."""
        try:
            result = (
                self._db.execute("SELECT pixels FROM pixels WHERE sha256 = ?", (sha256,)).fetchone()
                if self._db
                else None
            )
        except sqlite3.Error:
            result = None
        if result:
            return str(result[0])
        try:
            import numpy as np

            pixels = pixel_sha256(np.asarray(load_rgb(path)))
        except CommonArtError:
            return ""
        self._many("INSERT OR REPLACE INTO pixels VALUES (?, ?)", [(sha256, pixels)])
        return pixels

    def _many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            if self._db:
                self._db.execute("BEGIN")
                self._db.executemany(sql, rows)
                self._db.execute("COMMIT")
        except sqlite3.Error:
            pass  # locked by another check, or the disk is full: it is only a cache

    def close(self) -> None:
        if self._db:
            self._db.close()
