"""The way of a micro-batch through the cluster: claimed, submitted to an engine, generated there, written here."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.cluster.engine_pool import EnginePool
from engine.cluster.model_bundle import ModelBundle
from engine.cluster.remote_batch import store_features
from engine.cluster.remote_engine import PendingBatch, RemoteEngine
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, from_wire
from engine.contract.ledger.ledger import Row
from engine.contract.request import ImageRequest
from engine.output.save import DecodedImage, check_room
from engine.system.caption_cache import base, file_of, part_of
from engine.worker.base import LOW_DISK
from engine.worker.batching import choose

EMPTY_RETRY = 0.3  # seconds after which an empty queue is read again
MAX_UNWRITTEN = 24  # images waiting to be written, beyond which no more rows are claimed


class BatchDispatcher(EnginePool):
    """What happens to rows between the queue and their files."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._batch_ids = itertools.count(1)
        self._paused = False
        self._idle = False

    def _fill(self) -> bool:
        """Give waiting rows to engines with room; returns whether there were any."""
        if (
            self._paused
            or self._writer.busy > MAX_UNWRITTEN
            or not self._engines
            or self._last_time.get("empty", 0) > time.monotonic() - EMPTY_RETRY
        ):
            return False
        claimed = False
        for engine in sorted((e for e in self._engines if e.has_room), key=lambda e: len(e.batches)):
            rows = self._claim(engine)
            if rows:
                claimed = True
                self._idle = False
                self._last_time.pop("no_machine", None)
                engine.pending = rows
                if engine.key == rows[0].request.model_key:
                    self._on_loaded(engine)
                else:
                    self._transfer.load(engine, rows)
        if not claimed and all(not e.batches for e in self._engines):
            self._last_time["empty"] = time.monotonic()
        return claimed

    def _claim(self, engine: RemoteEngine) -> list[Row]:
        def pick(rows: Sequence[Row]) -> list[Row]:
            first = rows[0].request
            if engine.batches and (engine.key != first.model_key or rows[0].deaths):
                return []  # another model, or a suspect, waits until this engine has no other batch
            check_room(Path(first.out), LOW_DISK)
            return choose(rows, self.options.batch_size or engine.limits.get(first.batch_key, 64))

        try:
            return self.ledger.claim(self.name, pick)
        except DiskFull as e:
            self.ledger.pause(None, True, e)
            return []

    def _on_loaded(self, engine: RemoteEngine) -> None:
        """The engine has loaded the model: submit what was claimed for it."""
        rows = engine.pending
        if engine.facts and "reported" not in engine.facts:
            self._report_loaded(engine)
        if not rows:
            return
        key = rows[0].request.batch_key
        if key not in engine.limits:

            def limit_known(answer: dict[str, Any]) -> None:
                engine.limits[key] = answer["limit"]
                engine.busy = False
                self._on_loaded(engine)

            engine.busy = True
            self._calls.call(engine, "batch_limit", rows[0].request.to_dict(), then=limit_known)
            return
        limit = self.options.batch_size or engine.limits[key]
        self.ledger.put_back([r.id for r in rows[limit:]])
        engine.pending = []
        self._submit(engine, rows[:limit])

    def _report_loaded(self, engine: RemoteEngine) -> None:
        facts = engine.facts
        engine.facts["reported"] = True
        engine.node.device = facts["device_name"]
        engine.node.state = "ready"
        for note in facts["notes"]:
            self._note(note["template"], **note["fields"])
        self.notify(
            events.Loaded(
                model=facts["model"],
                backend=facts["backend"],
                device=f"{engine.node.name} {facts['device']}",
                dtype=facts["dtype"],
                seconds=facts["seconds"],
            )
        )

    def _can_omit_encoder(self, bundle: ModelBundle, rows: Sequence[Row]) -> bool:
        """Whether the text encoder need not be sent: the features of all these captions are in the cache on this
        machine.
        """
        folders = [
            p
            for p in (base() / part_of(bundle.hashes["text_encoder"], "any").parent).glob("*")
            if p.is_dir() and not p.name.startswith("onnx")
        ]
        texts = pipeline.texts_of(r.request for r in rows)
        return any(all(file_of(folder, t).exists() for t in texts) for folder in folders)

    def _submit(self, engine: RemoteEngine, rows: list[Row]) -> None:
        batch = PendingBatch(next(self._batch_ids), {r.id: r for r in rows})
        features: dict[str, bytes] = {}
        wanted: list[str] = []
        if engine.store is not None:
            for text in pipeline.texts_of(r.request for r in rows):
                if text in engine.known_captions:
                    continue
                try:
                    features[text] = file_of(base() / engine.store, text).read_bytes()
                except OSError:
                    wanted.append(text)
        engine.batches[batch.id] = batch
        self._owner |= dict.fromkeys(batch.rows, batch.id)
        self._begin(engine)
        payload = {
            "id": batch.id,
            "rows": [{"id": r.id, "request": r.request.to_dict()} for r in rows],
            "features": features,
            "wanted": wanted,
            "encoder_bytes": engine.bundle.encoder_bytes if engine.bundle else 0,
        }
        self._calls.call(
            engine,
            "generate",
            payload,
            then=lambda answer: self._on_generated(engine, batch, {*features, *wanted}, answer),
        )

    def _begin(self, engine: RemoteEngine) -> None:
        """Mark the rows of the batch that was submitted first as begun: it is being generated now."""
        first = next(iter(engine.batches.values()), None)
        if first is not None and not first.begun:
            first.begun = True
            self.ledger.begin(list(first.rows.values()))

    # answers ------------------------------------------------------------------------------------------------------

    def _on_generated(self, engine: RemoteEngine, batch: PendingBatch, texts: set[str], answer: dict[str, Any]) -> None:
        engine.batches.pop(batch.id, None)
        mine = {i for i in batch.rows if self._owner.get(i) == batch.id}
        for image in mine:
            del self._owner[image]
        self._begin(engine)
        rows = [r for i, r in batch.rows.items() if i in mine]
        if answer.get("cancelled") or answer.get("need"):
            if answer.get("need") and rows and not engine.batches:
                self._transfer.load_with_encoder(engine, rows)
            else:
                self.ledger.put_back([r.id for r in rows])
            return
        if "error" in answer:
            self._writer.fail(rows, from_wire(answer["error"]))
            return
        engine.known_captions |= texts
        if engine.store is not None:
            store_features(base() / engine.store, answer["features"])
        if answer["limit"] and rows:
            engine.limits[rows[0].request.batch_key] = answer["limit"]
            self._notifier.smaller(len(rows), answer["limit"])
        for note in answer["notes"]:
            self._note(note["template"], **note["fields"])
        self._timer.add(answer["seconds"])
        facts = engine.facts
        device = {k: facts[k] for k in ("backend", "device", "dtype", "libraries")}
        for p in answer["images"]:
            if p["row"] not in mine:
                continue  # put back meanwhile: another engine generates it
            row = batch.rows[p["row"]]
            request = ImageRequest.from_dict(p["request"])
            self._writer.take(
                DecodedImage(
                    row=row,
                    request=request,
                    coded=p["coded"],
                    sha256=p["sha256"],
                    model=facts["model"],
                    hashes=facts["hashes"],
                    loras=facts["loras"],
                    backend=device,
                    batch=(p["batch"][0], p["batch"][1]),
                    unknown_words=p["unknown_words"],
                    cut=p["cut"],
                )
            )
        engine.node.add_finished(len(answer["images"]))
        engine.node.deaths = 0
        for one in answer["failed"]:
            lost = [batch.rows[i] for i in one["rows"] if i in mine]
            if one["error"] is None:
                self.ledger.put_back([r.id for r in lost])
            else:
                self._writer.fail(lost, from_wire(one["error"]))

    def _failed(self, engine: RemoteEngine, rows: list[Row], error: CommonArtError) -> None:
        """Rows that no engine can generate."""
        engine.pending = []
        self._writer.fail(rows, error)

    def _put_back(self, engines: Sequence[RemoteEngine]) -> None:
        """Rows of these engines wait again; the engines cancel them at their next step."""
        for engine in engines:
            rows = [r.id for r in engine.pending]
            for batch in engine.batches.values():
                rows += [i for i in batch.rows if self._owner.get(i) == batch.id]
            for image in rows:
                self._owner.pop(image, None)
            if engine.alive and engine.batches:
                self._control(engine, cancel=list(engine.batches))
            engine.pending = []
            self.ledger.put_back(rows)

    def _control(self, engine: RemoteEngine, cancel: list[int] | None = None) -> None:
        """Send pause and cancellations to an engine; its answer is the progress of its batches."""

        def on_answer(answer: dict[str, Any]) -> None:
            engine.control_pending = False
            for number, (step, steps) in answer["steps"].items():
                batch = engine.batches.get(int(number))
                if batch is not None and step:
                    self.notify(events.Progress(images=list(batch.rows), step=step, steps=steps))

        engine.control_pending, engine.paused = True, self._paused
        self._calls.call(engine, "control", self._paused, cancel or [], then=on_answer)
