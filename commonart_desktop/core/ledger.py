"""The user's queue: its location, opening it, and exporting and importing it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commonart_desktop.core.compose import MAX_PICTURES, random_seed
from engine.contract import naming
from engine.contract.errors import BadFile, BadRow, CommonArtError, LedgerCorrupt, Phrase, system_words
from engine.contract.files import replacing
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.process_lock import ProcessLock
from engine.contract.ledger.schema import salvage
from engine.contract.paths import home
from engine.contract.request import RANDOM_SEED, ImageRequest

MAX_LINE = 1_000_000


def ledger_path() -> Path:
    return home() / "queue.db"


def suspect_mark() -> Path:
    """A marker file next to the queue after damage was detected; the next opening then salvages it."""
    return ledger_path().with_name("queue.db.suspect")


def open_ledger() -> tuple[Ledger, tuple[Path, int] | None]:
    """The queue; a damaged one is renamed and its readable rows are saved.

    Returns:
        The ledger and, after a rescue, where the damaged file is and how many images were saved.

    Raises:
        LedgerNewer, LedgerLocked, DiskFull, LedgerError
    """
    path = ledger_path()
    try:
        if suspect_mark().exists():  # damage detected while working: opening alone would not notice it
            raise LedgerCorrupt(path=path)
        return Ledger(path), None
    except LedgerCorrupt:
        rescue = ProcessLock(path.with_name("queue.rescue.lock"))  # two programs must not both rescue
        if not rescue.take():
            raise
        try:
            kept = salvage(path)
            suspect_mark().unlink(missing_ok=True)
        finally:
            rescue.drop(remove=True)
        return Ledger(path), kept


def export_rows(ledger: Ledger, file: Path) -> int:
    """Write every row as a line of JSON. Returns how many.

    Raises:
        OutputFile, DiskFull: it cannot be written.
    """
    count = 0
    with replacing(file) as f:
        for job, row in ledger.every():
            data = {
                "job": job.name,
                "priority": job.priority,
                "state": row.state,
                "path": row.path,
                "pixel_sha256": row.pixel_sha256,
                "request": row.request.to_dict(),
            }
            f.write(json.dumps(data, ensure_ascii=False).encode("utf-8") + b"\n")
            count += 1
    return count


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | CommonArtError]]:
    try:
        with file.open("r", encoding="utf-8-sig", errors="surrogateescape") as f:
            number = 0
            while line := f.readline(MAX_LINE):
                number += 1
                if not line.strip():
                    continue
                try:
                    data = json.loads(line)
                    if not isinstance(data, dict) or not isinstance(data.get("request"), dict):
                        raise ValueError
                    yield number, data
                except (ValueError, RecursionError):
                    yield number, BadRow(path=file, line=number, why=Phrase("it is not a row of an exported queue"))
    except OSError as e:
        raise BadFile(path=file, why=system_words(e)) from e


def import_rows(
    ledger: Ledger, file: Path, out: str, settings: dict[str, Any], *, skip_bad: bool = False
) -> tuple[dict[int, int], list[CommonArtError]]:
    """Add the waiting, running and failed rows of an exported queue, as waiting; images are saved to ``out``.

    A file from elsewhere may not choose paths on this disk: of a model only its name is taken, of a text encoder and a
    VAE nothing. ``settings`` (model and parts given now) override the file's.

    Returns:
        job -> rows added, and the errors of rows left out. With an error and without ``skip_bad`` nothing is added.
    """
    jobs: dict[tuple[str, int], list[ImageRequest]] = {}
    count = 0
    errors: list[CommonArtError] = []
    for number, data in _lines(file):
        if isinstance(data, CommonArtError):
            errors.append(data)
            continue
        try:
            asked = {k: v for k, v in data["request"].items() if k not in ("out", "text_encoder", "vae")}
            if isinstance(asked.get("model"), str):
                asked["model"] = asked["model"].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
            if asked.get("seed") == RANDOM_SEED:
                asked["seed"] = random_seed()
            request = ImageRequest.from_dict(asked | settings | {"out": out})
            naming.check(request.name or naming.DEFAULT, request.extra)
            name, priority = data.get("job", "import"), data.get("priority", 0)
            if (
                not isinstance(name, str)
                or not name.isprintable()
                or type(priority) is not int
                or abs(priority) > 1_000_000
            ):
                raise ValueError
        except CommonArtError as e:
            errors.append(BadRow(path=file, line=number, why=Phrase(e.message, **e.fields)))
            continue
        except (TypeError, ValueError):
            errors.append(BadRow(path=file, line=number, why=Phrase("it is not a row of an exported queue")))
            continue
        if data.get("state") in ("waiting", "running", "failed"):
            jobs.setdefault((name, priority), []).append(request)
            count += 1
            if count > MAX_PICTURES:
                raise BadFile(path=file, why=Phrase("it has more than {n} rows", n=MAX_PICTURES))
    if errors and not skip_bad:
        return {}, errors
    added = ledger.add_jobs((name, priority, rows) for (name, priority), rows in jobs.items())
    return dict(zip(added, map(len, jobs.values()), strict=True)), errors
