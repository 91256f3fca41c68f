"""What a worker tells, one JSON object a line on its standard output; and what it is told on its standard input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from engine.contract.errors import Phrase, ProtocolError

PROTOCOL = 1
COMMANDS = ("pause", "resume", "cancel", "release", "quit")


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base; ``event`` is the name on the wire."""

    event: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class Hello(Event):
    """The process runs."""

    event = "hello"
    worker: str
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True)
class Loaded(Event):
    """A model is ready."""

    event = "loaded"
    model: str
    backend: str
    device: str
    dtype: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """A denoising step of a micro-batch is done; ``preview`` is the path of a small picture, where asked for."""

    event = "progress"
    images: list[int]
    step: int
    steps: int
    preview: str | None = None


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A picture is on disk. ``report`` is what ``--json`` prints."""

    event = "saved"
    image: int
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """A picture could not be made."""

    event = "failed"
    image: int
    prompt: str
    error: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Timings(Event):
    """Seconds by stage (load, encode, denoise, decode, write) since the last of these; told before the worker falls idle."""

    event = "timings"
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Nodes(Event):
    """The machines of a cluster, told when something about them changes and at most once a second.

    Each is ``name``, ``device`` (its GPU or CPU in words), ``workers``, ``images_per_hour`` (by the last ten minutes; null before the
    second picture), ``state`` ("loading", "ready", "lost" or "refused") and ``error`` (on the wire as ``Failed.error``; null without one).
    """

    event = "nodes"
    nodes: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something a person should know, once."""

    event = "note"
    template: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Nothing moves until ``resume``; ``error`` says why, if it was not the user."""

    event = "paused"
    error: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    event = "resumed"


@dataclass(frozen=True, kw_only=True)
class Released(Event):
    """The device holds nothing of ours any more."""

    event = "released"


@dataclass(frozen=True, kw_only=True)
class Idle(Event):
    """Nothing is waiting."""

    event = "idle"


@dataclass(frozen=True, kw_only=True)
class Broken(Event):
    """The worker cannot go on and ends; the ledger holds what is done."""

    event = "broken"
    error: dict[str, Any]


_KINDS: dict[str, type[Event]] = {c.event: c for c in Event.__subclasses__()}


def encode(event: Event) -> str:
    """One line, without its end."""
    return json.dumps({"event": event.event} | asdict(event), ensure_ascii=False)


def decode(line: str) -> Event:
    """The inverse of ``encode``.

    Raises:
        ProtocolError: no event, or not one of this version.
    """
    try:
        data = json.loads(line)
        return _KINDS[data.pop("event")](**data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ProtocolError(why=Phrase("it is not an event of protocol {n}", n=PROTOCOL)) from e


def decode_command(line: str) -> str:
    """The command in a line such as ``{"command": "pause"}``. Raises ProtocolError."""
    try:
        command = json.loads(line)["command"]
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise ProtocolError(why=Phrase("it is not a command")) from e
    if command not in COMMANDS:
        raise ProtocolError(why=Phrase("it is not a command"))
    return str(command)
