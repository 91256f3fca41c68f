"""A worker on one device of this machine: claim, encode, denoise, decode, write.

Each stage is one batch behind the one before.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine import pipeline
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
from engine.worker.model_slot import ModelSlot
from engine.worker.threads import PipelineStage


class LocalWorker(QueueWorker):
    """Draws with one loaded model at a time.

    ``run`` returns on ``quit`` or, with ``until_empty``, when nothing is waiting.
    """

    def __init__(
        self, ledger: Ledger, name: str, options: WorkerOptions, notify: Callable[[events.Event], None]
    ) -> None:
        super().__init__(ledger, name, options, notify)
        self._slot = ModelSlot(options, self._notifier)
        self._limit: dict[str, int] = {}  # batch key -> largest micro-batch that fitted
        self._last_check = 0.0

    # the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        decoder: PipelineStage[tuple[Batch, Any]] = PipelineStage("decode", self._decode, room=1)
        encoder = ThreadPoolExecutor(1, "encode")
        try:
            self._loop(decoder, encoder)
            decoder.drain()
            self._writer.drain()
        finally:
            encoder.shutdown()
            decoder.close()
            self._writer.close()

    def _loop(self, decoder: PipelineStage[tuple[Batch, Any]], encoder: ThreadPoolExecutor) -> None:
        idle = False
        ahead: Future[tuple[list[Row], Batch | None]] | None = None
        while not self._quit.is_set():
            try:
                self._poll_commands()
                if self._writer.out_of_memory and self._slot.backend is not None:
                    decoder.drain()  # nothing may use the device while parts are moved off it
                    self._slot.backend.trim()
                    self._writer.out_of_memory = False
                future, ahead = ahead, None
                rows, batch = future.result() if future else self._next_batch()
                if rows:
                    idle = False
                    self._report_resumed()
                    # On a CPU the stages would compete for the same cores: they run one after the other, and only file
                    # writing overlaps.
                    b = self._slot.backend
                    decoder.threaded = b is None or (not b.tight and (b.name == "fake" or b.device != "cpu"))
                    if decoder.threaded and b is not None:
                        ahead = encoder.submit(self._next_batch)
                    self._process(rows, batch, decoder)
                    continue
                decoder.drain()
                self._writer.drain()
                if seconds := self._timer.take():
                    self.notify(events.Timings(seconds=seconds))
                if self._wait_while_paused():
                    continue
                if self.options.until_empty and not any(j.waiting and not j.paused for j in self.ledger.jobs()):
                    break
                if not idle:
                    self.notify(events.Idle())
                idle = True
                self._sleep()
            except (DiskFull, LedgerError) as e:
                if ahead:  # what it claimed is put back with the rest
                    ahead.exception()
                    ahead = None
                self._wait_for_ledger(e, decoder.drain)
        if ahead and not ahead.exception():
            self.ledger.put_back([r.id for r in ahead.result()[0]])

    def _sleep(self) -> None:
        """A third of a second, or until somebody writes into the queue."""
        seen = self.ledger.version()
        for _ in range(15):
            if self._quit.wait(0.02) or self.ledger.version() != seen:
                return

    def _next_batch(self) -> tuple[list[Row], Batch | None]:
        """The next rows, with their captions encoded if their model is the loaded one."""
        rows = self._claim()
        if not rows or not self._slot.matches(rows[0].request):
            return rows, None
        try:
            batch = self._prepare(rows)
            return (batch.rows, batch) if batch else ([], None)
        except Exception:
            return rows, None  # _process meets it again and handles it

    def _release_device(self) -> None:
        self._release.clear()
        self._slot.release()
        self.notify(events.Released())

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
        return wanted or 64  # the model is not known yet: _prepare puts back what is too much

    # one micro-batch ----------------------------------------------------------------------------------------------

    def _process(self, rows: list[Row], batch: Batch | None, decoder: PipelineStage[tuple[Batch, Any]]) -> None:
        try:
            if batch is None:
                decoder.drain()  # another model may be loaded now
                batch = self._prepare(rows)
            if batch is None:
                return
            rows = batch.rows  # the others wait again, and another worker may have claimed them
            if batch.rows[0].deaths:  # a suspect runs with no other image in progress
                decoder.drain()
                self._writer.drain()
            self.ledger.begin(batch.rows)
            self._denoise(batch, decoder)
        except Cancelled:
            self.ledger.put_back([r.id for r in rows])
        except (DiskFull, LedgerError):
            raise
        except Exception as e:
            expected = isinstance(e, CommonArtError)
            if self.options.debug and not expected:
                traceback.print_exc()
            if len(rows) > 1 and (not expected or isinstance(e, OutOfMemory)):  # find the one that cannot be generated
                for row in rows:
                    self._process([row], None, decoder)
            else:
                self._writer.fail(rows, as_engine_error(e))

    def _prepare(self, rows: list[Row]) -> Batch | None:
        """Load the model unless it is loaded, resolve sizes and presets, look up or encode captions."""
        backend = self._slot.load(rows[0].request, self._finalizer.warm)
        kept, requests, failed = settle_rows(rows, backend)
        for one in failed:
            self._writer.fail(one.rows, one.error or EngineError(why="?"))
        if not kept:
            return None
        key = kept[0].request.batch_key
        if key not in self._limit:
            self._limit[key] = self.options.batch_size or micro_batch(backend, requests[0])
        limit = self._limit[key]
        rest, kept, requests = kept[limit:], kept[:limit], requests[:limit]
        with self._timer("encode"):
            features = pipeline.encode(backend, requests, lambda n: self._upcoming(kept[0].request, n))
        self._notifier.notes_of(backend)
        if rest:  # only now: an error before this point concerns all rows
            self.ledger.put_back([r.id for r in rest])
        return batch_of(kept, requests, features, *(self.options.replay or ()))

    def _upcoming(self, request: ImageRequest, count: int) -> list[str]:
        """The next waiting captions of the same model."""
        key = request.model_key
        rows = self.ledger.page(state="waiting", limit=count)
        return pipeline.texts_of(r.request for r in rows if r.request.model_key == key)

    def _denoise(self, batch: Batch, decoder: PipelineStage[tuple[Batch, Any]]) -> None:
        backend = self._slot.backend
        assert backend is not None
        size, offset = batch.size, 0

        def attempt(requests: Sequence[ImageRequest]) -> list[tuple[Any, int, int]]:
            nonlocal offset
            rows = batch.rows[offset : offset + len(requests)]
            drawn = [requests[0]] * batch.size if self.options.replay else requests
            with self._timer("denoise"):
                latents = pipeline.denoise_batch(
                    backend, drawn, batch.features, lambda n, of, x: self._on_step(rows, n, of, x)
                )
            if self.options.replay:
                latents = latents[batch.index : batch.index + 1]
            offset += len(requests)
            return [(latents, len(rows), len(drawn))]

        def split(half: int) -> None:
            self._limit[batch.rows[0].request.batch_key] = half
            self._notifier.smaller(size, half)

        def free_memory() -> None:
            decoder.drain()  # nothing may use the device while parts are moved off it
            backend.trim()
            decoder.threaded = decoder.threaded and not backend.tight

        at = 0
        for latents, count, together in pipeline.retry_with_less_memory(
            attempt, batch.requests, backend, free_memory, split
        ):
            part = Batch(
                batch.rows[at : at + count], batch.requests[at : at + count], batch.features, together, batch.index
            )
            decoder.put((part, latents))
            at += count

    def _on_step(self, rows: Sequence[Row], step: int, steps: int, latents: Any) -> None:
        now = time.monotonic()
        last = step == steps
        if now - self._last_check < CHECK_SECONDS and not last:
            return
        self._last_check = now
        preview, backend = None, self._slot.backend
        if self.options.preview and backend is not None and (step % self.options.preview == 0) and not last:
            preview = write_preview(backend, latents[:1], self.name)
        self.notify(events.Progress(images=[r.id for r in rows], step=step, steps=steps, preview=preview))
        self._check(rows)

    def _check(self, rows: Sequence[Row]) -> None:
        """Within a step: quit, release, cancel and pause.

        Raises:
            Cancelled
        """
        reported = False
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
            if not reported:
                self.notify(events.Paused(error=error))
                reported = self._reported_paused = True
            if self._release.is_set():
                raise Cancelled
            time.sleep(CHECK_SECONDS)
        if reported:
            self._reported_paused = False
            self.notify(events.Resumed())
        if self._release.is_set():
            raise Cancelled

    def _decode(self, item: tuple[Batch, Any]) -> None:
        if self._slot.backend is None:  # released in between: the rows are generated again
            self.ledger.put_back([r.id for r in item[0].rows])
            return
        self._writer.decode(self._slot.backend, item)
