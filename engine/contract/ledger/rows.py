"""Records of the ledger: jobs, images, and images as a table shows them."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.contract.errors import CommonArtError, LedgerError, Phrase
from engine.contract.ledger.schema import STATES
from engine.contract.request import ImageRequest

JOB_ORDER = "priority DESC, place, id"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job and how many of its images are in each state."""

    id: int
    name: str
    created: float  # seconds since 1970
    priority: int
    place: float
    paused: bool
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int

    @property
    def total(self) -> int:
        return self.waiting + self.running + self.done + self.failed + self.cancelled


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image."""

    id: int
    job: int
    state: str
    request: ImageRequest
    attempts: int
    deaths: int
    error: dict[str, Any] | None  # as ``CommonArtError.to_wire`` wrote it
    pending: str | None
    path: str | None
    pixel_sha256: str | None
    worker: str | None
    unreadable: bool = False  # the stored request is invalid; ``error`` says why

    def to_json(self) -> dict[str, Any]:
        """What ``commonart queue list --json`` prints."""
        return {
            "id": self.id,
            "job": self.job,
            "state": self.state,
            "prompt": self.request.prompt,
            "seed": self.request.seed,
            "path": self.path,
            "pixel_sha256": self.pixel_sha256,
            "attempts": self.attempts,
            "error": {k: self.error[k] for k in ("kind", "message", "hint")} if self.error else None,
        }


class Line(NamedTuple):
    """One image as a table shows it: its request is not checked, so that a page of them is read in a millisecond."""

    id: int
    job: int
    state: str
    attempts: int
    prompt: str
    seed: int
    steps: int
    width: int | None
    height: int | None
    error: dict[str, Any] | None
    path: str | None


COLUMNS = "id, job, state, request, attempts, deaths, error, pending, path, pixel_sha256, worker"
LINE_COLUMNS = "id, job, state, request, attempts, error, path"
_STEPS = ImageRequest(prompt="?", seed=0).steps


def damaged() -> dict[str, Any]:
    """The error of an invalid row."""
    return LedgerError(why=Phrase("This row of the queue is damaged")).to_wire()


def json_object(text: Any) -> dict[str, Any] | None:
    """The JSON object in a cell; None for anything else."""
    try:
        found = json.loads(text) if text else None
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(value: Any, kind: type[int] | type[float] = int) -> Any:
    """A number, or 0 for any other value: SQLite stores any type in any column."""
    return kind(value) if isinstance(value, (int, float)) else kind(0)


def job_of(r: sqlite3.Row) -> Job:
    """From all columns of ``jobs``; invalid values become 0 or ``?``."""
    return Job(
        id=r["id"],
        name=r["name"] if isinstance(r["name"], str) else "?",
        created=_number(r["created"], float),
        priority=_number(r["priority"]),
        place=_number(r["place"], float),
        paused=bool(r["paused"]),
        **{s: _number(r[s]) for s in STATES},
    )


def _error(text: Any) -> dict[str, Any] | None:
    """An error as it was written. Raises ValueError for anything else."""
    error = json.loads(text) if text else None
    if error is not None and not (
        isinstance(error, dict)
        and all(isinstance(error.get(k), str) for k in ("kind", "message", "hint"))
        and isinstance(error.get("fields", {}), dict)
    ):
        raise ValueError
    return error


def row_of(r: sqlite3.Row) -> Row:
    """From ``COLUMNS``; an invalid row is marked ``unreadable`` and has an error."""
    data = dict(r)
    texts = {k: data[k] if isinstance(data[k], str) else None for k in ("pending", "path", "pixel_sha256", "worker")}
    strange = any(data[k] is not None and texts[k] is None for k in texts)
    data |= texts | {k: _number(data[k]) for k in ("attempts", "deaths")}
    try:
        if strange:
            raise ValueError
        data["request"] = ImageRequest.from_dict(json.loads(data["request"]))
        data["error"] = _error(data["error"])
    except (CommonArtError, ValueError, TypeError, AttributeError, RecursionError):
        data["request"], data["unreadable"] = ImageRequest(prompt="?", seed=0), True
        data["error"] = damaged()
    return Row(**data)


def line_of(r: sqlite3.Row) -> Line:
    """From ``LINE_COLUMNS``."""
    image, job, state, request, attempts, error, path = r
    try:
        q = json.loads(request)
        prompt, seed, steps = q["prompt"], q["seed"], q.get("steps", _STEPS)
        if (
            type(prompt) is not str
            or type(seed) is not int
            or type(steps) is not int
            or not isinstance(path, str | None)
        ):
            raise ValueError
        return Line(
            image, job, state, attempts, prompt, seed, steps, q.get("width"), q.get("height"), _error(error), path
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return Line(
            image, job, state, attempts, "?", 0, _STEPS, None, None, damaged(), path if isinstance(path, str) else None
        )


def as_line(row: Row) -> Line:
    """The same image as a table shows it."""
    r = row.request
    return Line(
        row.id, row.job, row.state, row.attempts, r.prompt, r.seed, r.steps, r.width, r.height, row.error, row.path
    )
