"""What a file is: its hash, how it looks, what it says of itself. Remembered between checks, and never believed of a file that changed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from engine.contract.errors import BadFile, BadPicture, CommonArtError, Phrase
from engine.contract.paths import home
from engine.imagefile.image import pixel_sha256
from trainer.dataset.files import sha256_of
from trainer.dataset.licence.perceptual_hash import SIDE, Look, look_at
from trainer.dataset.licence.signals import Signals, read_signals
from trainer.dataset.pictures import load_rgb, opened, orientation, rgb, upright

_FORM = 2  # of what is remembered; raise it when hashes or signals are taken otherwise
_FRESH = 2.0  # seconds: a file written so recently may change again without its times changing
Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Facts:
    """``error`` is why it cannot be used; then ``look`` is missing. ``sha256`` is empty only where the file could not be read."""

    sha256: str = ""
    size: int = 0  # bytes
    width: int = 0  # upright
    height: int = 0
    kind: str = ""  # png, jpeg, webp
    look: Look | None = None
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
                if self.look is None
                else [f"{self.look.phash:x}", f"{self.look.dhash:x}", self.look.colour.hex()],
                "e": None if self.error is None else [self.error.template, self.error.fields],
            },
            ensure_ascii=False,
        )

    @classmethod
    def unpacked(cls, sha256: str, size: int, text: str) -> Facts:
        data = json.loads(text)
        look = (
            None
            if data["l"] is None
            else Look(int(data["l"][0], 16), int(data["l"][1], 16), bytes.fromhex(data["l"][2]))
        )
        error = None if data["e"] is None else Phrase(data["e"][0], **data["e"][1])
        return cls(sha256, size, data["w"], data["h"], data["k"], look, Signals.from_data(data["s"]), error)


def tools() -> dict[str, str]:
    """Versions of what decides beside this program."""
    found = {}
    for name in ("license-expression", "c2pa-python", "pillow", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "?"
    return found


def examine(path: Path, sha256: str | None = None) -> Facts:
    """Read the file: bytes for the hash (unless it is known), then the picture once for all else. Never raises for a bad picture."""
    try:
        size = path.stat().st_size
        digest = sha256 or sha256_of(path)
    except (OSError, BadFile) as e:
        return Facts(error=e.fields["why"] if isinstance(e, BadFile) else Phrase("there is no such file"))
    try:
        with opened(path) as image:
            width, height = image.size
            kind = (image.format or "").lower()
            turn = orientation(image)
            if image.format == "JPEG":
                image.draft("RGB" if image.mode == "RGB" else None, (2 * SIDE, 2 * SIDE))
            image.load()
            signals = read_signals(path, image)
            small = (
                image.reduce(min(image.size) // (2 * SIDE))
                if min(image.size) > 4 * SIDE and image.mode in ("RGB", "L")
                else image
            )
            look = look_at(rgb(upright(small)))
    except BadPicture as e:
        why = e.fields["why"]
        return Facts(digest, size, error=why if isinstance(why, Phrase) else Phrase("it is damaged or cut off"))
    if turn in (5, 6, 7, 8):
        width, height = height, width
    return Facts(digest, size, width, height, kind, look, signals)


class Memory:
    """Facts of earlier checks of one folder, in the data folder, not beside the pictures: a dataset from elsewhere brings none."""

    def __init__(self, folder: Path) -> None:
        name = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        self._path = home() / "cache" / "gate" / f"{name}.sqlite"
        stamp = json.dumps([_FORM, tools()], sort_keys=True)
        try:
            self._db: sqlite3.Connection | None = self._open(stamp)
        except (sqlite3.Error, OSError):
            self._db = None
            try:  # damaged: it holds nothing that cannot be found again
                self._path.unlink(missing_ok=True)
                self._db = self._open(stamp)
            except (sqlite3.Error, OSError):
                pass  # no place for it: everything is read anew

    def _open(self, stamp: str) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=OFF")  # losing it costs time only
            db.execute("CREATE TABLE IF NOT EXISTS stamp (text TEXT)")
            db.execute(
                "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, mark TEXT, sha256 TEXT, size INTEGER, data TEXT)"
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

    def keep(self, rows: Iterable[tuple[str, str, str, int, str]]) -> None:
        self._many("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)

    def pixels(self, path: Path, sha256: str) -> str:
        """Hash of the decoded pixels of a file with that hash; empty where it cannot be decoded."""
        try:
            found = (
                self._db.execute("SELECT pixels FROM pixels WHERE sha256 = ?", (sha256,)).fetchone()
                if self._db
                else None
            )
        except sqlite3.Error:
            found = None
        if found:
            return str(found[0])
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
            pass  # another check holds it, or the disk is full: it is only a memory

    def close(self) -> None:
        if self._db:
            self._db.close()


def _mark(path: Path) -> tuple[str, bool]:
    """What must be the same for a file to be believed unchanged, and whether it has been still for long enough."""
    s = path.stat()
    return f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino} {s.st_dev}", time.time() - max(
        s.st_mtime, s.st_ctime
    ) > _FRESH


def gather(
    folder: Path,
    names: list[str],
    memory: Memory,
    *,
    full: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Facts]:
    """Facts of every file. ``full`` reads all bytes again, whatever is remembered.

    A file whose size, times and identity are as they were is not read again otherwise.
    """
    known = memory.facts()
    found: dict[str, Facts] = {}
    unread: list[str] = []
    for name in names:  # what is remembered needs no threads
        old = known.get(name)
        try:
            mark, _ = _mark(folder / name)
        except OSError:
            found[name] = Facts(error=Phrase("there is no such file"))
            continue
        if old and old[0] == mark and not full:
            found[name] = Facts.unpacked(old[1], old[2], old[3])
        else:
            unread.append(name)

    def one(name: str) -> tuple[str, str, bool, Facts]:
        path = folder / name
        try:
            mark, still = _mark(path)
            old = known.get(name)
            sha256 = sha256_of(path)
        except OSError:
            return name, "", False, Facts(error=Phrase("there is no such file"))
        except BadFile as e:
            return name, "", False, Facts(error=e.fields["why"])
        if old and sha256 == old[1]:  # the same bytes look and say the same
            return name, mark, still, Facts.unpacked(old[1], old[2], old[3])
        return name, mark, still, examine(path, sha256)

    fresh: list[tuple[str, str, str, int, str]] = []
    told = 0.0
    start = len(found)
    for done, (name, mark, still, facts) in enumerate(
        _in_threads(one, unread, workers or min(8, os.cpu_count() or 1)), start + 1
    ):
        found[name] = facts
        if still and mark and facts.sha256:
            fresh.append((name, mark, facts.sha256, facts.size, facts.packed()))
        if len(fresh) >= 1000:
            memory.keep(fresh)
            fresh.clear()
        if progress and time.monotonic() - told > 0.1:
            told = time.monotonic()
            progress(done, len(names))
    memory.keep(fresh)
    if progress:
        progress(len(names), len(names))
    return found


def _in_threads(work: Callable[[T], R], items: list[T], workers: int) -> Iterator[R]:
    """Results in order, a bounded number of them under way."""
    if workers <= 1:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="gate") as pool:
        waiting: list[Future[R]] = [pool.submit(work, i) for i in islice(source, workers * 4)]
        try:
            while waiting:
                result = waiting.pop(0).result()
                for item in islice(source, 1):
                    waiting.append(pool.submit(work, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()
