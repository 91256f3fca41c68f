"""A worker's work: claim, encode, denoise, decode, write, each stage one batch behind the one before."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.backends.onnx_substitute import onnx_substitute
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, EngineError, LedgerError, OutOfMemory
from engine.contract.ledger.ledger import Ledger, Row
from engine.contract.request import ImageRequest
from engine.output.preview import write_preview
from engine.output.save import check_room
from engine.pipeline import Cancelled
from engine.worker.base import CHECK_SECONDS, LOW_DISK, QueueWorker, WorkerOptions
from engine.worker.batching import choose
from engine.worker.decoding import Batch, as_engine_error, batch_of, micro_batch, settle_rows
from engine.worker.threads import PipelineStage


class LocalWorker(QueueWorker):
    """One worker on one device; ``run`` returns when it is told to quit or, if so asked, when nothing is left."""

    def __init__(self, ledger: Ledger, name: str, options: WorkerOptions, say: Callable[[events.Event], None]) -> None:
        super().__init__(ledger, name, options, say)
        self._backend: Backend | None = None
        self._key: tuple[Any, ...] = ()
        self._limit: dict[str, int] = {}  # batch key -> micro-batch that was found to fit
        self._checked = 0.0

    # the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        painter: PipelineStage[tuple[Batch, Any]] = PipelineStage("decode", self._decode, room=1)
        feeder = ThreadPoolExecutor(1, "encode")
        try:
            self._loop(painter, feeder)
            painter.drain()
            self._finisher.drain()
        finally:
            feeder.shutdown()
            painter.close()
            self._finisher.close()

    def _loop(self, painter: PipelineStage[tuple[Batch, Any]], feeder: ThreadPoolExecutor) -> None:
        idle = False
        ahead: Future[tuple[list[Row], Batch | None]] | None = None
        while not self._quit.is_set():
            try:
                self._hear()
                if self._finisher.squeeze and self._backend is not None:
                    painter.drain()  # nothing may be at work on the device while parts are moved off it
                    self._backend.trim()
                    self._finisher.squeeze = False
                future, ahead = ahead, None
                rows, batch = future.result() if future else self._feed()
                if rows:
                    idle = False
                    self._tell_resumed()
                    # On a CPU the stages would fight for the same cores: there they take turns, and only files overlap.
                    b = self._backend
                    painter.threaded = b is None or not b.tight and (b.name == "fake" or b.device != "cpu")
                    if painter.threaded and self._backend is not None:
                        ahead = feeder.submit(self._feed)
                    self._work(rows, batch, painter)
                    continue
                painter.drain()
                self._finisher.drain()
                if seconds := self._clock.take():
                    self.say(events.Timings(seconds=seconds))
                if self._wait_while_paused():
                    continue
                if self.options.until_empty and not any(j.waiting and not j.paused for j in self.ledger.jobs()):
                    break
                if not idle:
                    self.say(events.Idle())
                idle = True
                self._nap()
            except (DiskFull, LedgerError) as e:
                if ahead:  # what it claimed is put back with the rest
                    ahead.exception()
                    ahead = None
                self._hold(e, painter.drain)
        if ahead and not ahead.exception():
            self.ledger.put_back([r.id for r in ahead.result()[0]])

    def _nap(self) -> None:
        """A third of a second, or until somebody writes into the queue."""
        seen = self.ledger.version()
        for _ in range(15):
            if self._quit.wait(0.02) or self.ledger.version() != seen:
                return

    def _feed(self) -> tuple[list[Row], Batch | None]:
        """The next rows, with their captions encoded where the loaded model is theirs."""
        rows = self._claim()
        if not rows or self._backend is None or self._key != rows[0].request.model_key:
            return rows, None
        try:
            batch = self._prepare(rows)
            return (batch.rows, batch) if batch else ([], None)
        except Exception:
            return rows, None  # _work meets it again, where it is dealt with

    def _drop(self) -> None:
        self._release.clear()
        if self._backend is not None:
            self._backend.trim()
        self._backend, self._key = None, ()
        if "torch" in sys.modules:
            import gc

            gc.collect()
        self.say(events.Released())

    def _claim(self) -> list[Row]:
        def pick(rows: Sequence[Row]) -> list[Row]:
            check_room(Path(rows[0].request.out), LOW_DISK)
            return choose(rows, self._limit_for(rows[0]))

        try:
            return self.ledger.claim(self.name, pick)
        except DiskFull as e:
            self.ledger.pause(None, True, e)
            return []

    def _limit_for(self, row: Row) -> int:
        if self.options.replay:
            return 1
        wanted = self.options.batch_size or self._limit.get(row.request.batch_key)
        return wanted or 64  # the model is not known yet: _work hands back what is too much

    # one micro-batch ----------------------------------------------------------------------------------------------

    def _work(self, rows: list[Row], batch: Batch | None, painter: PipelineStage[tuple[Batch, Any]]) -> None:
        try:
            if batch is None:
                painter.drain()  # another model may be loaded now
                batch = self._prepare(rows)
            if batch is None:
                return
            rows = batch.rows  # the others wait again, and may be in other hands already
            if batch.rows[0].deaths:  # a suspect runs with nothing else in hand
                painter.drain()
                self._finisher.drain()
            self.ledger.begin(batch.rows)
            self._denoise(batch, painter)
        except Cancelled:
            self.ledger.put_back([r.id for r in rows])
        except (DiskFull, LedgerError):
            raise
        except Exception as e:
            ours = isinstance(e, CommonArtError)
            if self.options.debug and not ours:
                traceback.print_exc()
            if len(rows) > 1 and (not ours or isinstance(e, OutOfMemory)):  # find the one that cannot be made
                for row in rows:
                    self._work([row], None, painter)
            else:
                self._finisher.fail(rows, as_engine_error(e))

    def _prepare(self, rows: list[Row]) -> Batch | None:
        """Load the model if it is another one, settle sizes, look up or encode captions."""
        backend = self._load(rows[0].request)
        kept, requests, wrong = settle_rows(rows, backend)
        for one in wrong:
            self._finisher.fail(one.rows, one.error or EngineError(why="?"))
        if not kept:
            return None
        key = kept[0].request.batch_key
        if key not in self._limit:
            self._limit[key] = self.options.batch_size or micro_batch(backend, requests[0])
        limit = self._limit[key]
        excess, kept, requests = kept[limit:], kept[:limit], requests[:limit]
        with self._clock("encode"):
            features = pipeline.encode(backend, requests, lambda n: self._upcoming(kept[0].request, n))
        self._teller.notes_of(backend)
        if excess:  # only now: until here all rows share one fate
            self.ledger.put_back([r.id for r in excess])
        return batch_of(kept, requests, features, *(self.options.replay or ()))

    def _upcoming(self, request: ImageRequest, count: int) -> list[str]:
        """The next waiting captions of the same model."""
        key = request.model_key
        rows = self.ledger.page(state="waiting", limit=count)
        return pipeline.texts_of(r.request for r in rows if r.request.model_key == key)

    def _load(self, request: ImageRequest) -> Backend:
        key = request.model_key
        if self._backend is None or self._key != key:
            began = time.monotonic()
            self._backend, self._key = None, ()  # two models at once may not fit
            self._seal.warm()
            folder = open_model(request.model, request.text_encoder, request.vae)
            loras = [open_lora(name, scale, folder) for name, scale in request.loras]
            for lora in loras:
                if lora.strange:
                    self._teller.strange_lora(lora.name)
            o = self.options
            folder = (
                None
                if loras
                else onnx_substitute(folder, kind=o.kind, device=o.device, dtype=request.dtype, memory=o.memory)
            ) or folder
            self._backend = open_backend(
                folder,
                kind=o.kind,
                device=o.device,
                dtype=request.dtype,
                loras=loras,
                merged=request.lora_merged,
                memory=o.memory,
            )
            self._key = key
            b = self._backend
            self._teller.notes_of(b)
            self.say(
                events.Loaded(
                    model=folder.name,
                    backend=b.name,
                    device=b.device,
                    dtype=b.dtype,
                    seconds=round(time.monotonic() - began, 3),
                )
            )
        return self._backend

    def _denoise(self, batch: Batch, painter: PipelineStage[tuple[Batch, Any]]) -> None:
        backend = self._backend
        assert backend is not None
        size, offset = batch.size, 0

        def attempt(requests: Sequence[ImageRequest]) -> list[tuple[Any, int, int]]:
            nonlocal offset
            rows = batch.rows[offset : offset + len(requests)]
            asked = [requests[0]] * batch.size if self.options.replay else requests
            with self._clock("denoise"):
                latents = pipeline.denoise_batch(
                    backend, asked, batch.features, lambda n, of, x: self._on_step(rows, n, of, x)
                )
            if self.options.replay:
                latents = latents[batch.index : batch.index + 1]
            offset += len(requests)
            return [(latents, len(rows), len(asked))]

        def split(half: int) -> None:
            self._limit[batch.rows[0].request.batch_key] = half
            self._teller.smaller(size, half)

        def relieve() -> None:
            painter.drain()  # nothing may be at work on the device while parts are moved off it
            backend.trim()
            painter.threaded = painter.threaded and not backend.tight

        at = 0
        for latents, count, together in pipeline.retry_with_less_memory(
            attempt, batch.requests, backend, relieve, split
        ):
            part = Batch(
                batch.rows[at : at + count], batch.requests[at : at + count], batch.features, together, batch.index
            )
            painter.put((part, latents))
            at += count

    def _on_step(self, rows: Sequence[Row], step: int, steps: int, latents: Any) -> None:
        now = time.monotonic()
        last = step == steps
        if now - self._checked < CHECK_SECONDS and not last:
            return
        self._checked = now
        preview = None
        if self.options.preview and self._backend is not None and (step % self.options.preview == 0) and not last:
            preview = write_preview(self._backend, latents[:1], self.name)
        self.say(events.Progress(images=[r.id for r in rows], step=step, steps=steps, preview=preview))
        self._check(rows)

    def _check(self, rows: Sequence[Row]) -> None:
        """Within a step: quit, release, cancel and pause.

        Raises:
            Cancelled
        """
        told = False
        while True:
            command = self.ledger.take_command(self.name)
            if command:
                self.command(command)
            if self._quit.is_set():
                raise Cancelled
            if not self.ledger.still_running(rows, self.name):
                raise Cancelled
            if all(self.ledger.job(j).paused for j in {r.job for r in rows}):
                raise Cancelled
            paused, error = self.ledger.paused()
            if not paused:
                break
            if not told:
                self.say(events.Paused(error=error))
                told = self._told_paused = True
            if self._release.is_set():
                raise Cancelled
            time.sleep(CHECK_SECONDS)
        if told:
            self._told_paused = False
            self.say(events.Resumed())
        if self._release.is_set():
            raise Cancelled

    def _decode(self, item: tuple[Batch, Any]) -> None:
        if self._backend is None:  # released in between: the rows are made again
            self.ledger.put_back([r.id for r in item[0].rows])
            return
        self._finisher.decode(self._backend, item)
