"""The user's queue: where it lies, opening it, and carrying it to and from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commonart_desktop.core.home import home
from engine.contract.errors import BadFile, BadRow, CommonArtError, LedgerCorrupt, Phrase
from engine.contract.ledger_file import salvage
from engine.contract.lock import ProcessLock
from engine.contract.queue import Ledger
from engine.contract.request import ImageRequest

MAX_LINE = 1_000_000


def ledger_path() -> Path:
    return home() / "queue.db"


def open_ledger() -> tuple[Ledger, tuple[Path, int] | None]:
    """The queue; a damaged one is kept aside and its readable rows saved.

    Returns:
        The ledger and, after a rescue, where the damaged file is and how many pictures were saved.

    Raises:
        LedgerNewer, LedgerLocked, DiskFull, LedgerError
    """
    path = ledger_path()
    try:
        return Ledger(path), None
    except LedgerCorrupt:
        rescue = ProcessLock(path.with_name("queue.rescue.lock"))  # two programs must not both rescue
        if not rescue.take():
            raise
        try:
            kept = salvage(path)
        finally:
            rescue.drop(remove=True)
        return Ledger(path), kept


def export_rows(ledger: Ledger, file: Path) -> int:
    """Every row as a line of JSON, under a temporary name and then renamed. Returns how many.

    Raises:
        BadFile: it cannot be written.
    """
    aside = file.with_name(file.name + ".part")
    count = 0
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as f:
            for job, row in ledger.every():
                data = {"job": job.name, "priority": job.priority, "state": row.state, "path": row.path, "pixel_sha256": row.pixel_sha256,
                        "request": row.request.to_dict()}
                f.write(json.dumps(data, ensure_ascii=False) + "\n")
                count += 1
        aside.replace(file)
    except OSError as e:
        aside.unlink(missing_ok=True)
        raise BadFile(path=file, why=e.strerror or str(e)) from e
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
                except ValueError:
                    yield number, BadRow(path=file, line=number, why=Phrase("it is not a row of an exported queue"))
    except OSError as e:
        raise BadFile(path=file, why=e.strerror or str(e)) from e


def import_rows(ledger: Ledger, file: Path, out: str, *, skip_bad: bool = False) -> tuple[dict[int, int], list[CommonArtError]]:
    """Add the rows of an exported queue that are not done, as waiting; pictures go to ``out``.

    Model folders are taken from the file only as plain names: a file from elsewhere may not choose places on this disk.

    Returns:
        job -> rows added, and the errors of rows left out. With an error and without ``skip_bad`` nothing is added.
    """
    jobs: dict[tuple[str, int], list[ImageRequest]] = {}
    errors: list[CommonArtError] = []
    for number, data in _lines(file):
        if isinstance(data, CommonArtError):
            errors.append(data)
            continue
        try:
            asked = {k: v for k, v in data["request"].items() if k not in ("out", "text_encoder", "vae")}
            model = asked.get("model", "")
            if isinstance(model, str) and ("/" in model or "\\" in model) and not Path(model).is_dir():
                asked["model"] = model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
            request = ImageRequest.from_dict(asked | {"out": out})
            name, priority = data.get("job", "import"), data.get("priority", 0)
            if not isinstance(name, str) or not isinstance(priority, int):
                raise ValueError
        except CommonArtError as e:
            errors.append(BadRow(path=file, line=number, why=Phrase(e.message, **e.fields)))
            continue
        except (TypeError, ValueError):
            errors.append(BadRow(path=file, line=number, why=Phrase("it is not a row of an exported queue")))
            continue
        if data.get("state") != "done":
            jobs.setdefault((name, priority), []).append(request)
    if errors and not skip_bad:
        return {}, errors
    return {ledger.add_job(name, rows, priority=priority): len(rows) for (name, priority), rows in jobs.items()}, errors
