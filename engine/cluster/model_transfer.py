"""A model brought to an engine: found there by hash, or sent from here once a machine, then loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.cluster.model_bundle import ModelBundle
from engine.cluster.remote_batch import store_of
from engine.cluster.remote_calls import RemoteCalls
from engine.cluster.remote_engine import PIECES_AHEAD, BatchPieces, PendingLoad, RemoteEngine, pieces_of
from engine.contract.errors import CommonArtError, NodeRefused, Phrase, UsageError, from_wire
from engine.contract.ledger.ledger import Row
from engine.worker.decoding import as_engine_error


class ModelTransfer:
    """``ready(held)`` when a model is loaded, ``failed(held, rows, error)`` when these rows cannot be made by anybody, ``refused(held, error)``
    when this machine cannot; ``note(template, fields)`` tells what a person should know."""

    def __init__(
        self,
        calls: RemoteCalls,
        put: Callable[[bytes], Any],
        ready: Callable[[RemoteEngine], None],
        failed: Callable[[RemoteEngine, list[Row], CommonArtError], None],
        refused: Callable[[RemoteEngine, CommonArtError], None],
        note: Callable[..., None],
        spare: Callable[[ModelBundle, Sequence[Row], dict[str, Any] | None], bool],
    ) -> None:
        self._calls, self._ready, self._failed, self._refused, self._note, self._spare = (
            calls,
            ready,
            failed,
            refused,
            note,
            spare,
        )
        self._pieces = BatchPieces(put)
        self._parcels: dict[tuple[Any, ...], ModelBundle] = {}
        self._loading: dict[tuple[Any, ...], PendingLoad] = {}
        self._reader = ThreadPoolExecutor(1, "models")
        self._sending: dict[
            str, list[RemoteEngine]
        ] = {}  # node -> engines that wait for what is being sent to their machine

    def close(self) -> None:
        """End the reader; a model being read is read to its end."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def bring(self, held: RemoteEngine, rows: list[Row]) -> None:
        """Have the model of ``rows`` loaded by ``held``; they are its ``pending`` meanwhile."""
        key = rows[0].request.model_key
        held.busy, held.pending = True, rows
        held.forget_model()
        if key in self._parcels:
            self._open(held, key)
            return
        if key not in self._loading:
            self._loading[key] = PendingLoad(self._reader.submit(ModelBundle, rows[0].request))
        self._loading[key].waiting.append((held, rows))

    def look(self) -> None:
        """Go on with what was read meanwhile."""
        for key, loading in list(self._loading.items()):
            if not loading.future.done():
                continue
            del self._loading[key]
            error = loading.future.exception()
            if error is None:
                self._parcels[key] = parcel = loading.future.result()
                for name in parcel.strange:
                    self._note("The LoRA {name} was made for another base model; it fits by its shapes", name=name)
            for held, rows in loading.waiting:
                if not held.alive:
                    continue
                if held.pending is not rows:  # they were given back meanwhile
                    held.busy = False
                    continue
                if error is None:
                    self._open(held, key)
                else:
                    held.busy = False
                    self._failed(
                        held,
                        rows,
                        as_engine_error(error) if isinstance(error, Exception) else CommonArtError(why=str(error)),
                    )

    def _open(self, held: RemoteEngine, key: tuple[Any, ...], whole: bool = False) -> None:
        parcel = self._parcels[key]
        held.parcel = parcel
        light = not whole and parcel.folder.layout != "onnx" and self._spare(parcel, held.pending, None)

        def opened(answer: dict[str, Any]) -> None:
            if "error" in answer:
                self._not_opened(held, from_wire(answer["error"]))
            elif "missing" in answer:
                if answer["other"]:
                    self._note(
                        "{node} has another model under the name {name}; it gets the one of this machine",
                        node=held.node.name,
                        name=parcel.folder.name,
                    )
                self._send(held, key, answer["missing"], whole)
            else:
                held.facts, held.light, held.key, held.busy = answer, answer["light"], key, False
                held.store = store_of(
                    answer["backend"], answer["dtype"], parcel.hashes["text_encoder"], parcel.encoder_bytes
                )
                self._ready(held)

        self._calls.ask(held, "open", parcel.order, light, then=opened)

    def _not_opened(self, held: RemoteEngine, error: CommonArtError) -> None:
        rows, held.pending = held.pending, []
        if isinstance(error, UsageError):  # asked wrongly, whichever machine it is
            held.busy = False
            self._failed(held, rows, error)
        else:
            held.pending = rows
            self._refused(held, error)

    def _send(self, held: RemoteEngine, key: tuple[Any, ...], missing: list[str], whole: bool) -> None:
        """The files one after another, a few pieces ahead; other engines of the same machine wait and then find them."""
        node = held.node.id
        if node in self._sending:
            self._sending[node].append(held)
            return
        self._sending[node] = []
        parcel = self._parcels[key]
        left = iter(pieces_of(parcel, missing))
        flying = 0

        def ended() -> None:
            waiting = self._sending.pop(node, [])
            if not self._sending:
                self._pieces.clear()
            for one in [held, *waiting]:
                self._again(one, whole)

        def arrived(answer: dict[str, Any]) -> None:
            nonlocal flying
            flying -= 1
            if "error" in answer:
                error = from_wire(answer["error"])
                for one in [held, *self._sending.pop(node, [])]:
                    self._refused(one, error)
                return
            more()

        def more() -> None:
            nonlocal flying
            while held.alive and flying < PIECES_AHEAD:
                piece = next(left, None)
                if piece is None:
                    if not flying:
                        ended()
                    return
                name, file, offset, last = piece
                try:
                    ref = self._pieces.ref(file, offset)
                except OSError as e:
                    self._sending.pop(node, None)
                    self._refused(
                        held,
                        NodeRefused(
                            node=held.node.name,
                            why=Phrase("{path} cannot be read here ({reason})", path=file, reason=e),
                        ),
                    )
                    return
                flying += 1
                self._calls.ask(held, "take", name, offset, last, ref, then=arrived)

        more()

    def gone(self, held: RemoteEngine) -> None:
        """This engine is no more: who waited for files sent through it asks again."""
        waiting = self._sending.pop(held.node.id, []) if held.pending else []
        for one in waiting:
            if one is not held:
                self._again(one)

    def _again(self, held: RemoteEngine, whole: bool = False) -> None:
        if held.alive and held.pending:
            self._open(held, held.pending[0].request.model_key, whole)
        else:
            held.busy = False

    def whole(self, held: RemoteEngine, rows: list[Row]) -> None:
        """Captions came that only the text encoder can read: have it brought too."""
        key = held.key
        held.busy, held.pending = True, rows
        held.forget_model()
        self._open(held, key, whole=True)
