"""Events that a training process writes to standard output, one JSON object per line, and its commands on standard
input.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from engine.contract.errors import Phrase, ProtocolError
from engine.contract.events import Broken, Event, Note, Paused, Resumed, encode

PROTOCOL = 1
COMMANDS = ("pause", "resume", "save", "sample", "quit")


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The first step is about to be made. ``step`` is where the run stands, 0 for a new one."""

    event = "started"
    output: str
    kind: str
    model: str
    device: str
    dtype: str
    step: int
    steps: int
    pictures: int
    heldout: int
    trainable: int  # parameters that learn
    batch: int
    micro: int
    processes: int
    protocol: int = PROTOCOL


@dataclass(frozen=True, kw_only=True)
class Preparing(Event):
    """Before the first step: ``what`` is gate, latents or captions."""

    event = "preparing"
    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Step(Event):
    """A step is done. ``loss`` is its mean over the batch, ``speed`` images a second, ``eta`` seconds left."""

    event = "step"
    step: int
    steps: int
    loss: float
    lr: float
    norm: float  # of the gradient, before clipping
    speed: float
    eta: float


@dataclass(frozen=True, kw_only=True)
class HeldoutLoss(Event):
    """The loss on images set aside, at fixed noise and timesteps; ``best`` if it is the lowest so far."""

    event = "heldout"
    step: int
    loss: float
    best: bool


@dataclass(frozen=True, kw_only=True)
class Preview(Event):
    """An image from a fixed prompt."""

    event = "preview"
    step: int
    path: str
    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A checkpoint is whole on the disk."""

    event = "checkpoint"
    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """Ended when asked to, with everything saved; ``--resume`` goes on from ``step``."""

    event = "stopped"
    step: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """All steps are made. ``path`` is the LoRA's file or the model's folder."""

    event = "finished"
    step: int
    path: str
    sha256: str
    report: str
    loss: float | None = None
    heldout: float | None = None
    installed: str = ""  # its copy among the models or LoRAs known by name


_KINDS: dict[str, type[Event]] = {
    c.event: c
    for c in (Started, Preparing, Step, HeldoutLoss, Preview, Saved, Stopped, Finished, Note, Paused, Resumed, Broken)
}

__all__ = [
    "COMMANDS",
    "Broken",
    "Finished",
    "HeldoutLoss",
    "Note",
    "Paused",
    "Preparing",
    "Preview",
    "Resumed",
    "Saved",
    "Started",
    "Step",
    "Stopped",
    "decode",
    "decode_command",
    "encode",
]


def decode(line: str) -> Event:
    """The inverse of ``encode``.

    Raises:
        ProtocolError: no event of a training.
    """
    try:
        data: dict[str, Any] = json.loads(line)
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
