"""Events that a worker writes to standard output, one JSON object per line, and commands that it reads from standard
input.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from engine.contract.errors import Phrase, ProtocolError

PROTOCOL = 1
COMMANDS = ("pause", "resume", "cancel", "release", "quit")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base class; ``event`` is the name on the wire."""

    event: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class Hello(Event):
    """The process has started."""

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
    """A denoising step of a micro-batch is done; ``preview`` is the path of a small image, if requested."""

    event = "progress"
    images: list[int]
    step: int
    steps: int
    preview: str | None = None


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """An image is on disk. ``report`` is what ``--json`` prints."""

    event = "saved"
    image: int
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """An image could not be generated."""

    event = "failed"
    image: int
    prompt: str
    error: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Timings(Event):
    """Seconds by stage (load, encode, denoise, decode, write) since the last such event.

    Sent before the worker becomes idle.
    """

    event = "timings"
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Nodes(Event):
    """The machines of a cluster, sent when one of them changes and at most once a second.

    Each is ``name``, ``device`` (the name of its GPU or CPU), ``workers``, ``images_per_hour`` (of the last ten
    minutes; null before the second image), ``state`` ("loading", "ready", "lost" or "refused") and ``error`` (on the
    wire as ``Failed.error``; null without one).
    """

    event = "nodes"
    nodes: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """A message for the user, sent once."""

    event = "note"
    template: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Paused until ``resume``; ``error`` is the reason, unless the user paused it."""

    event = "paused"
    error: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    event = "resumed"


@dataclass(frozen=True, kw_only=True)
class Released(Event):
    """The model was released from the device."""

    event = "released"


@dataclass(frozen=True, kw_only=True)
class Idle(Event):
    """Nothing is waiting."""

    event = "idle"


@dataclass(frozen=True, kw_only=True)
class Broken(Event):
    """The worker cannot continue and exits; finished images are in the ledger."""

    event = "broken"
    error: dict[str, Any]


_KINDS: dict[str, type[Event]] = {c.event: c for c in Event.__subclasses__()}


def encode(event: Event) -> str:
    """One line, without the newline."""
    return json.dumps({"event": event.event} | asdict(event), ensure_ascii=False)


def decode(line: str) -> Event:
    """The inverse of ``encode``.

    Raises:
        ProtocolError: not an event, or one of another version.
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
