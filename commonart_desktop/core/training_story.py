"""What has happened in a training run, from its events: where it stands, its curve thinned out, its previews and notes.

A run may have a million steps; the curve keeps at most ``Curve.MOST`` points however long it is, and a run that goes on
from a checkpoint takes back what came after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Curve:
    """Means of a loss over equal stretches of steps; the stretches grow twice as long whenever there are too many."""

    MOST = 800

    def __init__(self) -> None:
        self.width = 1
        self._bins: list[list[float]] = []  # [number of the stretch, sum of steps, sum of losses, count]

    def add(self, step: int, loss: float) -> None:
        number = step // self.width
        if self._bins and self._bins[-1][0] == number:
            last = self._bins[-1]
            last[1], last[2], last[3] = last[1] + step, last[2] + loss, last[3] + 1
        else:
            self._bins.append([number, step, loss, 1])
        if len(self._bins) > self.MOST:
            self._widen()

    def cut(self, step: int) -> None:
        """Forget what came after ``step``, to a stretch."""
        while self._bins and self._bins[-1][0] > step // self.width:
            self._bins.pop()

    def _widen(self) -> None:
        self.width *= 2
        merged: list[list[float]] = []
        for number, steps, losses, count in self._bins:
            if merged and merged[-1][0] == number // 2:
                last = merged[-1]
                last[1], last[2], last[3] = last[1] + steps, last[2] + losses, last[3] + count
            else:
                merged.append([number // 2, steps, losses, count])
        self._bins = merged

    def points(self) -> list[tuple[float, float]]:
        """(mean step, mean loss) of each stretch."""
        return [(steps / count, losses / count) for _, steps, losses, count in self._bins]


def smoothed(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A running mean over about a twentieth of the points, begun at the first."""
    width = max(1, len(points) // 20)
    found, held = [], points[0][1] if points else 0.0
    for x, y in points:
        held += (y - held) / width
        found.append((x, held))
    return found


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The run at one moment; safe to hand from one thread to another."""

    phase: str = ""  # gate, latents, captions, learning, or empty before the first event
    done: int = 0  # of the phase
    total: int = 0
    step: int = 0
    steps: int = 0
    loss: float | None = None
    speed: float = 0.0  # images a second
    eta: float = 0.0  # seconds
    lr: float = 0.0
    paused: bool = False
    started: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)  # finished, stopped or broken, as told
    train: tuple[tuple[float, float], ...] = ()
    smooth: tuple[tuple[float, float], ...] = ()
    held: tuple[tuple[float, float], ...] = ()
    previews: tuple[tuple[int, str, str], ...] = ()  # step, path, prompt
    notes: tuple[dict[str, Any], ...] = ()  # template, fields, step
    saved: int = -1  # step of the last checkpoint


class TrainingHistory:
    """Fed with lines, gives snapshots."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}  # of the snapshot, but for its lists
        self._curve = Curve()
        self._held: list[tuple[float, float]] = []
        self._previews: list[tuple[int, str, str]] = []
        self._notes: list[dict[str, Any]] = []

    def feed(self, line: bytes) -> bool:
        """One line of the events; returns whether it was one."""
        try:
            data = json.loads(line)
            kind = data["event"]
            what = getattr(self, f"_on_{kind}", None)
            if what is not None:
                what(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def snapshot(self) -> Snapshot:
        points = self._curve.points()
        return Snapshot(
            **self._values,
            train=tuple(points),
            smooth=tuple(smoothed(points)),
            held=tuple(self._held),
            previews=tuple(self._previews),
            notes=tuple(self._notes[-200:]),
        )

    def _set(self, **values: Any) -> None:
        self._values.update(values)

    def _on_preparing(self, e: dict[str, Any]) -> None:
        self._set(phase=str(e["what"]), done=int(e["done"]), total=int(e["total"]))

    def _on_started(self, e: dict[str, Any]) -> None:
        step = int(e["step"])
        self._curve.cut(step)
        self._held = [h for h in self._held if h[0] <= step]
        self._previews = [p for p in self._previews if p[0] <= step]
        self._set(phase="learning", started=e, step=step, steps=int(e["steps"]), end={}, paused=False)

    def _on_step(self, e: dict[str, Any]) -> None:
        self._curve.add(int(e["step"]), float(e["loss"]))
        self._set(
            phase="learning",
            step=int(e["step"]),
            steps=int(e["steps"]),
            loss=float(e["loss"]),
            lr=float(e["lr"]),
            speed=float(e["speed"]),
            eta=float(e["eta"]),
            paused=False,
        )

    def _on_heldout(self, e: dict[str, Any]) -> None:
        self._held.append((float(e["step"]), float(e["loss"])))

    def _on_preview(self, e: dict[str, Any]) -> None:
        one = (int(e["step"]), str(e["path"]), str(e["prompt"]))
        self._previews = [p for p in self._previews if p[1] != one[1]] + [one]

    def _on_checkpoint(self, e: dict[str, Any]) -> None:
        self._set(saved=int(e["step"]))

    def _on_note(self, e: dict[str, Any]) -> None:
        self._notes.append(
            {"template": str(e["template"]), "fields": dict(e["fields"]), "step": self._values.get("step", 0)}
        )

    def _on_paused(self, e: dict[str, Any]) -> None:
        self._set(paused=True)

    def _on_resumed(self, e: dict[str, Any]) -> None:
        self._set(paused=False, end={})

    def _on_finished(self, e: dict[str, Any]) -> None:
        self._set(end=e, paused=False)

    _on_stopped = _on_broken = _on_finished


class EventTail:
    """Reads what was added to a run's events since the last time. A file that was begun anew begins the story anew."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._rest = path, 0, b""
        self.story = TrainingHistory()

    def read(self, limit: int = 4 << 20) -> bool:
        """Take in at most so many bytes; returns whether there was anything."""
        try:
            with self._path.open("rb") as f:
                size = f.seek(0, 2)
                if size < self._at:
                    self._at, self._rest, self.story = 0, b"", TrainingHistory()
                f.seek(self._at)
                data = f.read(limit)
        except OSError:
            return False
        self._at += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.strip():
                self.story.feed(line)
        return bool(data)
