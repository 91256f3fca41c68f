"""A remote engine as the driver sees it: its state, its batches, and the model being sent to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.cluster.model_bundle import CHUNK_BYTES, ModelBundle
from engine.cluster.nodes import Node
from engine.contract.ledger.ledger import Row

MAX_BATCHES = 2  # micro-batches an engine has at once: one on the device, one waiting for it
CHUNKS_AHEAD = 2  # chunks of a file on their way to one engine
CHUNKS_CACHED = 16  # chunks in Ray's object store, for machines that load at the same time


@dataclass
class PendingBatch:
    """A micro-batch that was submitted to an engine."""

    id: int
    rows: dict[int, Row]
    begun: bool = False


@dataclass(eq=False)
class RemoteEngine:
    """One engine. ``key`` is its model's; ``busy`` while a call is open that must end before the next batch."""

    actor: Any
    node: Node
    busy: bool = True
    alive: bool = True
    key: tuple[Any, ...] = ()
    bundle: ModelBundle | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    without_encoder: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    batches: dict[int, PendingBatch] = field(default_factory=dict)
    pending: list[Row] = field(default_factory=list)  # claimed, and waiting for the model
    store: Path | None = None
    known_captions: set[str] = field(default_factory=set)  # whose features it has
    control_pending: bool = False  # a call of ``control`` has not been answered
    paused: bool = False  # the last ``control`` paused it

    @property
    def has_room(self) -> bool:
        """Whether it can take another micro-batch."""
        suspect = any(r.deaths for b in self.batches.values() for r in b.rows.values())
        return self.alive and not self.busy and len(self.batches) < MAX_BATCHES and not suspect

    def rows(self) -> list[Row]:
        """All rows that it is responsible for."""
        return [*self.pending, *(r for b in self.batches.values() for r in b.rows.values())]

    def forget_model(self) -> None:
        """Record that no model is loaded there."""
        self.key, self.bundle, self.facts, self.without_encoder, self.store = (), None, {}, False, None
        self.limits.clear()
        self.known_captions.clear()


class ChunkStore:
    """The most recently used chunks of files in Ray's object store, shared by machines that load at the same time."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put = put
        self._refs: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def ref(self, file: Path, offset: int) -> Any:
        """Ray's reference to a chunk. Raises OSError."""
        key = (file, offset)
        if key not in self._refs:
            with file.open("rb") as f:
                f.seek(offset)
                self._refs[key] = self._put(f.read(CHUNK_BYTES))
        self._refs.move_to_end(key)
        while len(self._refs) > CHUNKS_CACHED:
            self._refs.popitem(last=False)
        return self._refs[key]

    def clear(self) -> None:
        """Release all chunks."""
        self._refs.clear()


def chunks_of(bundle: ModelBundle, keys: list[str]) -> list[tuple[str, Path, int, bool]]:
    """(key, file, offset, whether it is the last) for every chunk of these files."""
    chunks = []
    for key in keys:
        size = bundle.files[key].stat().st_size
        offsets = list(range(0, max(size, 1), CHUNK_BYTES))
        chunks += [(key, bundle.files[key], offset, offset == offsets[-1]) for offset in offsets]
    return chunks


@dataclass
class PendingLoad:
    """A model that is being read on this machine, and the engines that wait for it."""

    future: Future[ModelBundle]
    waiting: list[tuple[RemoteEngine, list[Row]]] = field(default_factory=list)
