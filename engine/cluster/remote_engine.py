"""An engine elsewhere as the driver holds it: its state, what it has in hand, and the model on its way to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.cluster.model_bundle import PIECE, ModelBundle
from engine.cluster.nodes import Node
from engine.contract.ledger.ledger import Row

IN_FLIGHT = 2  # micro-batches an engine has at once: one on the device, one waiting for it
PIECES_AHEAD = 2  # pieces of a file on their way to one engine
PIECES_KEPT = 16  # pieces in Ray's object store, for machines that load at the same time


@dataclass
class PendingBatch:
    """A micro-batch in an engine's hand."""

    id: int
    rows: dict[int, Row]
    begun: bool = False


@dataclass(eq=False)
class RemoteEngine:
    """One engine. ``key`` is its model's; it is ``busy`` while it loads or is asked something that has to come before the next batch."""

    actor: Any
    node: Node
    busy: bool = True
    alive: bool = True
    key: tuple[Any, ...] = ()
    parcel: ModelBundle | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    light: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    flights: dict[int, PendingBatch] = field(default_factory=dict)
    pending: list[Row] = field(default_factory=list)  # claimed, and waiting for the model
    store: Path | None = None
    knows: set[str] = field(default_factory=set)  # captions whose features it has
    minded: bool = False  # a call to ``mind`` is on its way
    held: bool = False  # told to hold still

    @property
    def room(self) -> bool:
        """Whether it can take another micro-batch."""
        suspect = any(r.deaths for f in self.flights.values() for r in f.rows.values())
        return self.alive and not self.busy and len(self.flights) < IN_FLIGHT and not suspect

    def rows(self) -> list[Row]:
        """All it has in hand."""
        return [*self.pending, *(r for f in self.flights.values() for r in f.rows.values())]

    def forget_model(self) -> None:
        """Nothing is loaded there."""
        self.key, self.parcel, self.facts, self.light, self.store = (), None, {}, False, None
        self.limits.clear()
        self.knows.clear()


class BatchPieces:
    """Pieces of files in the object store: those asked for last, so that machines that load together share them."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put
        self._kept: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def ref(self, file: Path, offset: int) -> Any:
        """Ray's reference to a piece. Raises OSError."""
        key = (file, offset)
        if key not in self._kept:
            with file.open("rb") as f:
                f.seek(offset)
                self._kept[key] = self._put(f.read(PIECE))
        self._kept.move_to_end(key)
        while len(self._kept) > PIECES_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def clear(self) -> None:
        """Nobody loads any more."""
        self._kept.clear()


def pieces_of(parcel: ModelBundle, keys: list[str]) -> list[tuple[str, Path, int, bool]]:
    """(key, file, offset, whether it is the last) of all these files."""
    found = []
    for key in keys:
        size = parcel.files[key].stat().st_size
        offsets = list(range(0, max(size, 1), PIECE))
        found += [(key, parcel.files[key], offset, offset == offsets[-1]) for offset in offsets]
    return found


@dataclass
class PendingLoad:
    """A parcel being read on this machine, and who waits for it."""

    future: Future[ModelBundle]
    waiting: list[tuple[RemoteEngine, list[Row]]] = field(default_factory=list)
