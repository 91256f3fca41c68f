"""A worker's work: claim, encode, denoise, decode, write, each stage one batch behind the one before."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.backends import Backend, open_backend
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.clock import Clock
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, EngineError, LedgerError, OutOfMemory
from engine.contract.queue import Ledger, Row
from engine.contract.request import ImageRequest
from engine.finish import Batch, Finisher
from engine.output.preview import write_preview
from engine.output.save import check_room, settle
from engine.planner import batch_size, choose
from engine.provenance.policy import Policy
from engine.provenance.seal import Seal
from engine.stages import Stage
from engine.tell import Teller

CHECK_SECONDS = 0.1  # how often pause and cancel are looked for: seldom enough to cost nothing
LOW_DISK = int(os.environ.get("COMMONART_MIN_FREE_MB", "200")) << 20


@dataclass(frozen=True, kw_only=True)
class Options:
    device: str = "auto"
    kind: str = "auto"
    batch_size: int | None = None
    memory: int | None = None  # bytes of the device that the model may use
    replay: tuple[int, ...] | None = None  # (rows, index): see recipe.build
    preview: int = 0
    until_empty: bool = False
    debug: bool = False
    provenance: Policy = field(default_factory=Policy)


class Abandon(Exception):
    """Leave this micro-batch: quit, release, or nobody wants it any more."""


class Runner:
    """One worker on one device; ``run`` returns when it is told to quit or, if so asked, when nothing is left."""

    def __init__(self, ledger: Ledger, name: str, options: Options, say: Callable[[events.Event], None]) -> None:
        self.ledger, self.name, self.options, self.say = ledger, name, options, say
        self._quit = threading.Event()
        self._release = threading.Event()
        self._backend: Backend | None = None
        self._key: tuple[Any, ...] = ()
        self._limit: dict[str, int] = {}  # batch key -> micro-batch that was found to fit
        self._checked = 0.0
        self._told_paused = False  # whoever heard of a pause also hears of its end
        self._teller = Teller(say)
        self._clock = Clock()
        self._seal = Seal(options.provenance, self._teller.unsigned)
        self._finisher = Finisher(ledger, name, say, self._clock, self._seal, self._quit, options.debug)

    def command(self, command: str) -> None:
        """``quit`` or ``release``, from any thread."""
        if command == "quit":
            self._quit.set()
        elif command == "release":
            self._release.set()

    # the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        painter: Stage[tuple[Batch, Any]] = Stage("decode", self._decode, room=1)
        feeder = ThreadPoolExecutor(1, "encode")
        try:
            self._loop(painter, feeder)
            painter.drain()
            self._finisher.drain()
        finally:
            feeder.shutdown()
            painter.close()
            self._finisher.close()

    def _loop(self, painter: Stage[tuple[Batch, Any]], feeder: ThreadPoolExecutor) -> None:
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
                self._quit.wait(0.3)
            except (DiskFull, LedgerError) as e:
                if ahead:  # what it claimed is put back with the rest
                    ahead.exception()
                    ahead = None
                self._hold(e, painter)
        if ahead and not ahead.exception():
            self.ledger.put_back([r.id for r in ahead.result()[0]])

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

    def _hear(self) -> None:
        command = self.ledger.take_command(self.name)
        if command:
            self.command(command)
        if self._release.is_set():
            self._drop()

    def _drop(self) -> None:
        self._release.clear()
        if self._backend is not None:
            self._backend.trim()
        self._backend, self._key = None, ()
        if "torch" in sys.modules:
            import gc

            gc.collect()
        self.say(events.Released())

    def _hold(self, error: CommonArtError, painter: Stage[tuple[Batch, Any]]) -> None:
        """The ledger itself cannot be written: hold still until it can, then put back what is ours."""
        self.say(events.Paused(error=error.to_wire()))
        while not self._quit.wait(1.0):
            try:
                painter.drain()
                self._finisher.drain()
                self._put_back_mine()
                self.say(events.Resumed())
                return
            except CommonArtError:
                continue

    def _put_back_mine(self) -> None:
        for row in self.ledger.page(state="running", limit=10_000):
            settle(self.ledger, row.id, self.name)

    def _tell_resumed(self) -> None:
        """A pause that ended while something else was being done."""
        if self._told_paused:
            self._told_paused = False
            self.say(events.Resumed())

    def _wait_while_paused(self) -> bool:
        paused, error = self.ledger.paused()
        if not paused:
            self._tell_resumed()
            return False
        self._told_paused = True
        self.say(events.Paused(error=error))
        while not self._quit.is_set() and self.ledger.paused()[0]:
            self._hear()
            self._quit.wait(CHECK_SECONDS)
        if not self._quit.is_set():
            self._told_paused = False
            self.say(events.Resumed())
        return True

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

    def _work(self, rows: list[Row], batch: Batch | None, painter: Stage[tuple[Batch, Any]]) -> None:
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
        except Abandon:
            self.ledger.put_back([r.id for r in rows])
        except (DiskFull, LedgerError):
            raise
        except Exception as e:
            known = isinstance(e, CommonArtError)
            if self.options.debug and not known:
                traceback.print_exc()
            if len(rows) > 1 and (not known or isinstance(e, OutOfMemory)):  # find the one that cannot be made
                for row in rows:
                    self._work([row], None, painter)
            else:
                self._finisher.fail(rows, e if isinstance(e, CommonArtError) else EngineError(why=f"{type(e).__name__}: {e}"))

    def _prepare(self, rows: list[Row]) -> Batch | None:
        """Load the model if it is another one, settle sizes, look up or encode captions."""
        backend = self._load(rows[0].request)
        requests: list[ImageRequest] = []
        kept: list[Row] = []
        for row in rows:
            try:
                requests.append(pipeline.settle(row.request, backend.folder))
                kept.append(row)
            except CommonArtError as e:
                self._finisher.fail([row], e)
        if not kept:
            return None
        key = kept[0].request.batch_key
        if key not in self._limit:
            side = backend.folder.multiple
            tokens = (requests[0].width or side) // side * ((requests[0].height or side) // side)
            fitting = min(batch_size(tokens, backend.device), backend.fits(requests[0].width or side, requests[0].height or side))
            self._limit[key] = self.options.batch_size or fitting
        limit = self._limit[key]
        excess, kept, requests = kept[limit:], kept[:limit], requests[:limit]
        with self._clock("encode"):
            features = pipeline.encode(backend, requests, lambda n: self._upcoming(kept[0].request, n))
        self._teller.notes_of(backend)
        if excess:  # only now: until here all rows share one fate
            self.ledger.put_back([r.id for r in excess])
        # neighbours of equal length share one attention call
        order = sorted(range(len(kept)), key=lambda i: features[requests[i].prompt].tokens)
        kept, requests = [kept[i] for i in order], [requests[i] for i in order]
        size, index = self.options.replay or (len(kept), 0)
        return Batch(kept, requests, features, size, index)

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
            self._backend = open_backend(folder, kind=self.options.kind, device=self.options.device, dtype=request.dtype, loras=loras,
                                         merged=request.lora_merged, memory=self.options.memory)
            self._key = key
            b = self._backend
            self._teller.notes_of(b)
            self.say(events.Loaded(model=folder.name, backend=b.name, device=b.device, dtype=b.dtype,
                                   seconds=round(time.monotonic() - began, 3)))
        return self._backend

    def _denoise(self, batch: Batch, painter: Stage[tuple[Batch, Any]]) -> None:
        backend = self._backend
        assert backend is not None
        size, offset = batch.size, 0

        def attempt(requests: Sequence[ImageRequest]) -> list[tuple[Any, int, int]]:
            nonlocal offset
            rows = batch.rows[offset:offset + len(requests)]
            asked = [requests[0]] * batch.size if self.options.replay else requests
            with self._clock("denoise"):
                latents = pipeline.draw(backend, asked, batch.features, lambda n, of, x: self._on_step(rows, n, of, x))
            if self.options.replay:
                latents = latents[batch.index:batch.index + 1]
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
        for latents, count, together in pipeline.with_less_memory(attempt, batch.requests, backend, relieve, split):
            part = Batch(batch.rows[at:at + count], batch.requests[at:at + count], batch.features, together, batch.index)
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
            Abandon
        """
        told = False
        while True:
            command = self.ledger.take_command(self.name)
            if command:
                self.command(command)
            if self._quit.is_set():
                raise Abandon
            if not self.ledger.still_running(rows, self.name):
                raise Abandon
            if all(self.ledger.job(j).paused for j in {r.job for r in rows}):
                raise Abandon
            paused, error = self.ledger.paused()
            if not paused:
                break
            if not told:
                self.say(events.Paused(error=error))
                told = self._told_paused = True
            if self._release.is_set():
                raise Abandon
            time.sleep(CHECK_SECONDS)
        if told:
            self._told_paused = False
            self.say(events.Resumed())
        if self._release.is_set():
            raise Abandon

    def _decode(self, item: tuple[Batch, Any]) -> None:
        if self._backend is None:  # released in between: the rows are made again
            self.ledger.put_back([r.id for r in item[0].rows])
            return
        self._finisher.decode(self._backend, item)
