"""Computes facts about image files: hashes, size, and signals in their metadata.

Cached between checks, and computed again for a file that changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from engine.contract.errors import BadFile, BadPicture, Phrase
from trainer.dataset.files import sha256_of
from trainer.dataset.images import opened, orientation, rgb, upright
from trainer.dataset.licence.facts_cache import Facts, FactsCache
from trainer.dataset.licence.perceptual_hash import SIDE, perceptual_hash
from trainer.dataset.licence.signals import read_signals
from trainer.dataset.tree import FileLocator

_FRESH = 2.0  # seconds: a file written so recently may change again without its times changing
Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")


def examine(path: Path, sha256: str | None = None) -> Facts:
    """Read a file: its bytes for the hash unless it is given, then the image once for everything else.

    Never raises for a bad image.
    """
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
            hashes = perceptual_hash(rgb(upright(small)))
    except BadPicture as e:
        why = e.fields["why"]
        return Facts(digest, size, error=why if isinstance(why, Phrase) else Phrase("it is damaged or cut off"))
    if turn in (5, 6, 7, 8):
        width, height = height, width
    return Facts(digest, size, width, height, kind, hashes, signals)


def _mark(path: Path) -> tuple[str, bool]:
    """A stamp that is equal while a file is unchanged, and whether its last change is old enough to trust it."""
    s = path.stat()
    return f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino} {s.st_dev}", time.time() - max(
        s.st_mtime, s.st_ctime
    ) > _FRESH


def gather(
    folder: Path,
    names: list[str],
    cache: FactsCache,
    *,
    full: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Facts]:
    """Facts of every file. ``full`` reads all bytes again, ignoring the cache.

    Otherwise a file whose size, times and identity are unchanged is not read again.
    """
    cached = cache.facts()
    locator = FileLocator(folder)
    paths = {name: locator.path(name) for name in names}
    results: dict[str, Facts] = {}
    unread: list[str] = []
    for name in names:  # cached facts need no threads
        old = cached.get(name)
        try:
            mark, _ = _mark(paths[name])
        except OSError:
            results[name] = Facts(error=Phrase("there is no such file"))
            continue
        if old and old[0] == mark and not full:
            results[name] = Facts.unpacked(old[1], old[2], old[3])
        else:
            unread.append(name)

    def one(name: str) -> tuple[str, str, bool, Facts]:
        path = paths[name]
        try:
            mark, still = _mark(path)
            old = cached.get(name)
            sha256 = sha256_of(path)
        except OSError:
            return name, "", False, Facts(error=Phrase("there is no such file"))
        except BadFile as e:
            return name, "", False, Facts(error=e.fields["why"])
        if old and sha256 == old[1]:  # equal bytes have equal facts
            return name, mark, still, Facts.unpacked(old[1], old[2], old[3])
        return name, mark, still, examine(path, sha256)

    fresh: list[tuple[str, str, str, int, str]] = []
    reported_at = 0.0
    start = len(results)
    for done, (name, mark, still, facts) in enumerate(
        _in_threads(one, unread, workers or min(8, os.cpu_count() or 1)), start + 1
    ):
        results[name] = facts
        if still and mark and facts.sha256:
            fresh.append((name, mark, facts.sha256, facts.size, facts.packed()))
        if len(fresh) >= 1000:
            cache.store(fresh)
            fresh.clear()
        if progress and time.monotonic() - reported_at > 0.1:
            reported_at = time.monotonic()
            progress(done, len(names))
    cache.store(fresh)
    if progress:
        progress(len(names), len(names))
    return results


def _in_threads(work: Callable[[T], R], items: list[T], workers: int) -> Iterator[R]:
    """Results in order, with a bounded number of pending calls."""
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
