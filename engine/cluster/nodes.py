"""The machines of a cluster: which are there, how many engines each gets, and how they are reported."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.contract import events
from engine.contract.errors import BadValue, CommonArtError, Phrase

WINDOW = 600.0  # seconds over which images per hour are measured
RATE_EVERY = 5.0  # seconds between two reports that differ only in images per hour


@dataclass(frozen=True, kw_only=True)
class NodeShares:
    """What one engine gets: ``gpus`` of a card or cards; on machines without, ``cpus`` cores (0: all).

    Raises:
        BadValue
    """

    gpus: float = 1.0
    cpus: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.gpus <= 16) or (self.gpus > 1 and self.gpus != int(self.gpus)):  # also refuses nan
            raise BadValue(
                name="gpus-per-worker",
                value=self.gpus,
                why=Phrase("it must be a fraction of one GPU, such as {example}, or a whole number", example="0.5"),
            )
        if not (0 <= self.cpus <= 1024):
            raise BadValue(
                name="cpus-per-worker",
                value=self.cpus,
                why=Phrase("it must lie between {low} and {high}", low=0, high=1024),
            )

    def engines(self, resources: dict[str, float]) -> list[dict[str, float]]:
        """Ray's options for each engine of a node with these resources."""
        gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
        if gpus:
            count = math.floor(gpus / self.gpus + 1e-6)
            return (
                [{"num_gpus": self.gpus, "num_cpus": min(1.0, math.floor(cpus / count * 100) / 100)}] * count
                if count
                else []
            )
        each = self.cpus or cpus
        return [{"num_cpus": each}] * (math.floor(cpus / each + 1e-6) if each else 0)


@dataclass
class Node:
    """One machine."""

    id: str
    name: str
    resources: dict[str, float]
    address: tuple[str, int] = ("", 0)  # where Ray's own process listens there
    state: str = "loading"
    device: str = ""
    workers: int = 0
    error: CommonArtError | None = None
    deaths: int = 0  # of its engines, since it last finished an image
    finished: deque[float] = field(default_factory=deque)

    def add_finished(self, count: int) -> None:
        """Count images that have just come from it."""
        now = time.monotonic()
        self.finished.extend([now] * count)
        while self.finished and self.finished[0] < now - WINDOW:
            self.finished.popleft()

    def images_per_hour(self) -> float | None:
        """Images per hour over the last ten minutes; None before the second image."""
        if len(self.finished) < 2 or self.state not in ("ready", "loading"):
            return None
        # the rate of a machine that stopped answering falls
        span = max(self.finished[-1], time.monotonic() - 30) - self.finished[0]
        return round((len(self.finished) - 1) / span * 3600, 1) if span > 0 else None

    def to_wire(self) -> dict[str, Any]:
        """As in ``events.Nodes``."""
        device = self.device or (
            f"GPU × {self.resources['GPU']:g}"
            if self.resources.get("GPU")
            else f"CPU × {self.resources.get('CPU', 0):g}"
        )
        return {
            "name": self.name,
            "device": device,
            "workers": self.workers,
            "images_per_hour": self.images_per_hour(),
            "state": self.state,
            "error": self.error.to_wire() if self.error else None,
        }


class Nodes:
    """All machines that were ever seen."""

    def __init__(self, notify: Callable[[events.Event], None]) -> None:
        self._notify = notify
        self.by_id: dict[str, Node] = {}
        self._reported: tuple[str, list[Any]] = ("", [])
        self._reported_at = 0.0

    def update(self, listed: list[dict[str, Any]]) -> tuple[list[Node], list[Node]]:
        """Compare with Ray's list of nodes; returns (new ones, those that have left)."""
        came, went = [], []
        for entry in listed:
            node = self.by_id.get(entry["NodeID"])
            if node is None and entry["Alive"]:
                node = Node(
                    entry["NodeID"],
                    self._name(entry),
                    {k: float(v) for k, v in entry["Resources"].items() if k in ("CPU", "GPU")},
                    (str(entry.get("NodeManagerAddress", "")), int(entry.get("NodeManagerPort", 0))),
                )
                for old in [n.id for n in self.by_id.values() if n.state == "lost" and n.name == node.name]:
                    del self.by_id[old]  # it is back
                self.by_id[node.id] = node
                came.append(node)
            elif node is not None and not entry["Alive"] and node.state != "lost":
                went.append(node)
        return came, went

    def _name(self, entry: dict[str, Any]) -> str:
        name = str(entry.get("NodeName") or "")
        if not name or name == entry.get("NodeManagerAddress"):
            name = str(entry.get("NodeManagerHostname") or name or entry["NodeID"][:8])
        taken = {n.name for n in self.by_id.values() if n.state != "lost"}
        base, number = name, 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        return name

    def report(self, *, last: bool = False) -> None:
        """Emit ``events.Nodes`` if something changed, at most once a second but for the ``last`` report."""
        now = time.monotonic()
        if now - self._reported_at < 1.0 and not last:
            return
        shown = [n.to_wire() for n in self.by_id.values() if n.resources.get("CPU") or n.resources.get("GPU")]
        state = str([{k: v for k, v in n.items() if k != "images_per_hour"} for n in shown])
        rates = [n["images_per_hour"] for n in shown]
        if state != self._reported[0] or (
            rates != self._reported[1] and (last or now - self._reported_at >= RATE_EVERY)
        ):
            self._reported, self._reported_at = (state, rates), now
            self._notify(events.Nodes(nodes=shown))
