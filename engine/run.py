"""A worker's work: claim, encode, denoise, decode, write, each stage one batch behind the one before."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.backends import Backend, open_backend
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.clock import Clock
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, EngineError, LedgerError, NotFinite, OutOfMemory, OutputError, Phrase
from engine.contract.queue import Ledger, Row
from engine.contract.request import ImageRequest
from engine.output.preview import write_preview
from engine.output.save import Made, check_room, save, settle
from engine.planner import batch_size, choose
from engine.provenance.policy import Policy
from engine.provenance.seal import Seal
from engine.stages import Pool, Stage
from engine.vocabulary import vocabulary_of

CHECK_SECONDS = 0.1  # how often pause and cancel are looked for: seldom enough to cost nothing
LOW_DISK = int(os.environ.get("COMMONART_MIN_FREE_MB", "200")) << 20
WRITERS = min(4, max(2, (os.cpu_count() or 2) // 2))


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


@dataclass
class Batch:
    """Rows that are made together."""

    rows: list[Row]
    requests: list[ImageRequest]  # sizes settled, in the order of rows
    features: dict[str, Any]
    size: int  # rows denoised together, copies for a replay included
    index: int = 0  # of the first row among them


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
        self._noted: set[str] = set()
        self._squeeze = False  # decoding found too little memory: keep idle parts off the device from the next batch on
        self._jobs: dict[int, str] = {}
        self._clock = Clock()
        self._seal = Seal(options.provenance, self._unsigned)
        self._pool = Pool(WRITERS, room=4 * WRITERS + 32)

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
            self._pool.drain()
        finally:
            feeder.shutdown()
            painter.close()
            self._pool.close()
            self._seal.close()

    def _loop(self, painter: Stage[tuple[Batch, Any]], feeder: ThreadPoolExecutor) -> None:
        idle = False
        ahead: Future[tuple[list[Row], Batch | None]] | None = None
        while not self._quit.is_set():
            try:
                self._hear()
                if self._squeeze and self._backend is not None:
                    painter.drain()  # nothing may be at work on the device while parts are moved off it
                    self._backend.trim()
                    self._squeeze = False
                future, ahead = ahead, None
                rows, batch = future.result() if future else self._feed()
                if rows:
                    idle = False
                    # On a CPU the stages would fight for the same cores: there they take turns, and only files overlap.
                    b = self._backend
                    painter.threaded = b is None or not b.tight and (b.name == "fake" or b.device != "cpu")
                    if painter.threaded and self._backend is not None:
                        ahead = feeder.submit(self._feed)
                    self._work(rows, batch, painter)
                    continue
                painter.drain()
                self._pool.drain()
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
                self._pool.drain()
                self._put_back_mine()
                self.say(events.Resumed())
                return
            except CommonArtError:
                continue

    def _put_back_mine(self) -> None:
        for row in self.ledger.page(state="running", limit=10_000):
            settle(self.ledger, row.id, self.name)

    def _wait_while_paused(self) -> bool:
        paused, error = self.ledger.paused()
        if not paused:
            return False
        self.say(events.Paused(error=error))
        while not self._quit.is_set() and self.ledger.paused()[0]:
            self._hear()
            self._quit.wait(CHECK_SECONDS)
        if not self._quit.is_set():
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
                self._pool.drain()
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
                self._fail(rows, e if isinstance(e, CommonArtError) else EngineError(why=f"{type(e).__name__}: {e}"))

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
                self._fail([row], e)
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
        self._tell_notes(backend)
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
                    self._note("The LoRA {name} was made for another base model; it fits by its shapes", name=lora.name)
            self._backend = open_backend(folder, kind=self.options.kind, device=self.options.device, dtype=request.dtype, loras=loras,
                                         merged=request.lora_merged, memory=self.options.memory)
            self._key = key
            b = self._backend
            self._tell_notes(b)
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
            self._note("Not enough memory for {more} pictures at once; going on with {half}", more=size, half=half)

        def relieve() -> None:
            painter.drain()  # nothing may be at work on the device while parts are moved off it
            backend.trim()
            painter.threaded = painter.threaded and not backend.tight

        at = 0
        for latents, count, together in pipeline.with_less_memory(attempt, batch.requests, backend, relieve, split):
            part = Batch(batch.rows[at:at + count], batch.requests[at:at + count], batch.features, together, batch.index)
            painter.put((part, latents))
            at += count

    def _note(self, template: str, /, **fields: Any) -> None:
        if template not in self._noted:
            self._noted.add(template)
            self.say(events.Note(template=template, fields=fields))

    def _tell_notes(self, backend: Backend) -> None:
        """What the backend found worth knowing, such as a device that had to give way to another."""
        while backend.notes:
            note = backend.notes.pop(0)
            self._note(note.template, **{k: v if isinstance(v, (int, float)) else str(v) for k, v in note.fields.items()})

    def _unsigned(self, error: CommonArtError) -> None:
        """Once a run: three notes, each told in the reader's language."""
        self._note("Pictures are saved without a signature.")
        why = error.fields.get("why", str(error))
        template, fields = (why.template, why.fields) if isinstance(why, Phrase) else ("{why}", {"why": why})
        self.say(events.Note(template=template, fields={k: str(v) for k, v in fields.items()}))
        if error.hint:
            self.say(events.Note(template=error.hint))

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
                told = True
            if self._release.is_set():
                raise Abandon
            time.sleep(CHECK_SECONDS)
        if told:
            self.say(events.Resumed())
        if self._release.is_set():
            raise Abandon

    # finishing ----------------------------------------------------------------------------------------------------

    def _decode(self, item: tuple[Batch, Any]) -> None:
        batch, latents = item
        backend = self._backend
        if backend is None:  # released in between: the rows are made again
            self.ledger.put_back([r.id for r in batch.rows])
            return
        try:
            with self._clock("decode"):
                pixels = pipeline.paint(backend, latents)
        except NotFinite as e:
            if len(batch.rows) == 1:
                self._fail(batch.rows, e)
                return
            for i, row in enumerate(batch.rows):  # only the broken ones fail
                self._decode((Batch([row], [batch.requests[i]], batch.features, batch.size, batch.index + i), latents[i:i + 1]))
            return
        except OutOfMemory as e:
            if backend.tight or backend.device == "cpu":
                self._fail(batch.rows, e)
            else:  # even tiled: made again, with the denoiser off the device while decoding
                self._squeeze = True
                self.ledger.put_back([r.id for r in batch.rows])
            return
        except CommonArtError as e:
            self._fail(batch.rows, e)
            return
        except Exception as e:
            if self.options.debug:
                traceback.print_exc()
            self._fail(batch.rows, EngineError(why=f"{type(e).__name__}: {e}"))
            return
        words = vocabulary_of(backend.folder.root)
        device = {"backend": backend.name, "device": backend.device, "dtype": backend.dtype, "libraries": backend.libraries()}
        for i, (row, request) in enumerate(zip(batch.rows, batch.requests, strict=True)):
            made = Made(row=row, request=replace(request, model=backend.folder.name), pixels=pixels[i], model=backend.folder.name,
                        hashes=backend.hashes, loras=backend.loras, backend=device, batch=(batch.size, batch.index + i),
                        unknown_words=words.unknown(request.prompt) if words else [], cut=batch.features[request.prompt].cut)
            self._pool.submit(self._write, made)

    def _write(self, made: Made) -> None:
        row = made.row
        try:
            if row.job not in self._jobs:
                self._jobs[row.job] = self.ledger.job(row.job).name
            with self._clock("write"):
                report = save(made, self.ledger, self.name, self._jobs[row.job], self._seal)
        except (OutputError, LedgerError) as e:
            report = self._settle(row, e)
        except CommonArtError as e:
            self._fail([row], e)
            return
        except Exception as e:  # an error of ours must not fall on the next picture
            if self.options.debug:
                traceback.print_exc()
            self._fail([row], EngineError(why=f"{type(e).__name__}: {e}"))
            return
        if report is not None:
            self.say(events.Saved(image=row.id, report=report | {"job": row.job}))

    def _settle(self, row: Row, error: CommonArtError) -> dict[str, Any] | None:
        """Nothing is lost: the row waits if its file has no name yet, and the queue until the place can be written again."""
        told = False
        while True:
            try:
                report = settle(self.ledger, row.id, self.name)
                self.ledger.pause(None, True, error)
                return report
            except CommonArtError:
                if not told:
                    self.say(events.Paused(error=error.to_wire()))
                told = True
                if self._quit.wait(1.0):  # the ledger cannot be written either: the next worker recovers the row
                    return None

    def _fail(self, rows: Sequence[Row], error: CommonArtError) -> None:
        self.ledger.fail([r.id for r in rows], error)
        for row in rows:
            self.say(events.Failed(image=row.id, prompt=row.request.prompt, error=error.to_wire()))
