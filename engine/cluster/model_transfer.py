"""Load a model in an engine: found on its machine by hash, or sent there once for each machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.cluster.model_bundle import ModelBundle
from engine.cluster.remote_batch import caption_store
from engine.cluster.remote_calls import RemoteCalls
from engine.cluster.remote_engine import CHUNKS_AHEAD, ChunkStore, PendingLoad, RemoteEngine, chunks_of
from engine.contract.errors import CommonArtError, NodeRefused, Phrase, UsageError, from_wire
from engine.contract.ledger.ledger import Row
from engine.worker.decoding import as_engine_error


class ModelTransfer:
    """Has engines load models, and reports what came of it through callbacks.

    ``ready(engine)``: its model is loaded. ``failed(engine, rows, error)``: no machine can generate these rows.
    ``refused(engine, error)``: this machine cannot. ``note(template, **fields)``: a note for the user.
    ``can_omit_encoder(bundle, rows)``: whether the text encoder need not be sent for these rows.
    """

    def __init__(
        self,
        calls: RemoteCalls,
        put: Callable[[bytes], Any],
        ready: Callable[[RemoteEngine], None],
        failed: Callable[[RemoteEngine, list[Row], CommonArtError], None],
        refused: Callable[[RemoteEngine, CommonArtError], None],
        note: Callable[..., None],
        can_omit_encoder: Callable[[ModelBundle, Sequence[Row]], bool],
    ) -> None:
        self._calls, self._ready, self._failed, self._refused = calls, ready, failed, refused
        self._note, self._can_omit_encoder = note, can_omit_encoder
        self._chunks = ChunkStore(put)
        self._bundles: dict[tuple[Any, ...], ModelBundle] = {}
        self._loading: dict[tuple[Any, ...], PendingLoad] = {}
        self._reader = ThreadPoolExecutor(1, "models")
        #: node -> engines that wait for the files being sent to their machine
        self._sending: dict[str, list[RemoteEngine]] = {}

    def close(self) -> None:
        """End the reader thread, after the model that is being read."""
        self._reader.shutdown(wait=False, cancel_futures=True)

    def load(self, engine: RemoteEngine, rows: list[Row]) -> None:
        """Have ``engine`` load the model of ``rows``, which are its ``pending`` until then."""
        key = rows[0].request.model_key
        engine.busy, engine.pending = True, rows
        engine.forget_model()
        if key in self._bundles:
            self._open(engine, key)
            return
        if key not in self._loading:
            self._loading[key] = PendingLoad(self._reader.submit(ModelBundle, rows[0].request))
        self._loading[key].waiting.append((engine, rows))

    def poll(self) -> None:
        """Continue with the models that have been read."""
        for key, loading in list(self._loading.items()):
            if not loading.future.done():
                continue
            del self._loading[key]
            error = loading.future.exception()
            if error is None:
                self._bundles[key] = bundle = loading.future.result()
                for name in bundle.loras_for_others:
                    self._note("The LoRA {name} was made for another base model; it fits by its shapes", name=name)
            for engine, rows in loading.waiting:
                if not engine.alive:
                    continue
                if engine.pending is not rows:  # they were put back meanwhile
                    engine.busy = False
                    continue
                if error is None:
                    self._open(engine, key)
                else:
                    engine.busy = False
                    self._failed(
                        engine,
                        rows,
                        as_engine_error(error) if isinstance(error, Exception) else CommonArtError(why=str(error)),
                    )

    def _open(self, engine: RemoteEngine, key: tuple[Any, ...], with_encoder: bool = False) -> None:
        bundle = self._bundles[key]
        engine.bundle = bundle
        without_encoder = (
            not with_encoder and bundle.folder.layout != "onnx" and self._can_omit_encoder(bundle, engine.pending)
        )

        def opened(answer: dict[str, Any]) -> None:
            if "error" in answer:
                self._not_loaded(engine, from_wire(answer["error"]))
            elif "missing" in answer:
                if answer["different"]:
                    self._note(
                        "{node} has another model under the name {name}; it gets the one of this machine",
                        node=engine.node.name,
                        name=bundle.folder.name,
                    )
                self._send(engine, key, answer["missing"], with_encoder)
            else:
                engine.facts, engine.key, engine.busy = answer, key, False
                engine.without_encoder = answer["without_encoder"]
                engine.store = caption_store(
                    answer["backend"], answer["dtype"], bundle.hashes["text_encoder"], bundle.encoder_bytes
                )
                self._ready(engine)

        self._calls.call(engine, "open", bundle.manifest, without_encoder, then=opened)

    def _not_loaded(self, engine: RemoteEngine, error: CommonArtError) -> None:
        rows, engine.pending = engine.pending, []
        if isinstance(error, UsageError):  # the request is invalid on every machine
            engine.busy = False
            self._failed(engine, rows, error)
        else:
            engine.pending = rows
            self._refused(engine, error)

    def _send(self, engine: RemoteEngine, key: tuple[Any, ...], missing: list[str], with_encoder: bool) -> None:
        """Send the files one after another, a few chunks ahead.

        Other engines of the same machine wait, then find them.
        """
        node = engine.node.id
        if node in self._sending:
            self._sending[node].append(engine)
            return
        self._sending[node] = []
        bundle = self._bundles[key]
        chunks = iter(chunks_of(bundle, missing))
        in_flight = 0

        def finished() -> None:
            waiting = self._sending.pop(node, [])
            if not self._sending:
                self._chunks.clear()
            for one in [engine, *waiting]:
                self._retry(one, with_encoder)

        def received(answer: dict[str, Any]) -> None:
            nonlocal in_flight
            in_flight -= 1
            if "error" in answer:
                error = from_wire(answer["error"])
                for one in [engine, *self._sending.pop(node, [])]:
                    self._refused(one, error)
                return
            send_more()

        def send_more() -> None:
            nonlocal in_flight
            while engine.alive and in_flight < CHUNKS_AHEAD:
                chunk = next(chunks, None)
                if chunk is None:
                    if not in_flight:
                        finished()
                    return
                name, file, offset, last = chunk
                try:
                    ref = self._chunks.ref(file, offset)
                except OSError as e:
                    self._sending.pop(node, None)
                    self._refused(
                        engine,
                        NodeRefused(
                            node=engine.node.name,
                            why=Phrase("{path} cannot be read here ({reason})", path=file, reason=e),
                        ),
                    )
                    return
                in_flight += 1
                self._calls.call(engine, "receive_chunk", name, offset, last, ref, then=received)

        send_more()

    def engine_lost(self, engine: RemoteEngine) -> None:
        """An engine has ended: those that waited for files sent through it ask again."""
        waiting = self._sending.pop(engine.node.id, []) if engine.pending else []
        for one in waiting:
            if one is not engine:
                self._retry(one)

    def _retry(self, engine: RemoteEngine, with_encoder: bool = False) -> None:
        if engine.alive and engine.pending:
            self._open(engine, engine.pending[0].request.model_key, with_encoder)
        else:
            engine.busy = False

    def load_with_encoder(self, engine: RemoteEngine, rows: list[Row]) -> None:
        """Load the model again with its text encoder: there are captions without stored features."""
        key = engine.key
        engine.busy, engine.pending = True, rows
        engine.forget_model()
        self._open(engine, key, with_encoder=True)
