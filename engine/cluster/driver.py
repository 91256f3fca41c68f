"""The queue's worker that draws elsewhere: it claims, hands out, and names, signs, writes and marks what comes back."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine import pipeline
from engine.cluster import ray_connection
from engine.cluster.engine_pool import EnginePool
from engine.cluster.model_bundle import ModelBundle
from engine.cluster.model_transfer import ModelTransfer
from engine.cluster.nodes import NodeShares
from engine.cluster.remote_batch import keep
from engine.cluster.remote_calls import RemoteCalls
from engine.cluster.remote_engine import PendingBatch, RemoteEngine
from engine.contract import events
from engine.contract.errors import CommonArtError, DiskFull, LedgerError, from_wire
from engine.contract.ledger.ledger import Ledger, Row
from engine.contract.request import ImageRequest
from engine.output.save import DecodedImage, check_room
from engine.system.caption_cache import base, file_of, part_of
from engine.worker.base import CHECK_SECONDS, LOW_DISK, WorkerOptions
from engine.worker.batching import choose

LOOK = 1.0  # seconds between two looks at who is there
MIND = 0.5  # seconds between two questions how far an engine is
EMPTY = 0.3  # seconds after which an empty queue is asked again
LAG = 24  # pictures not yet written at which no more are asked for


class Driver(EnginePool):
    """One worker over the ledger, many engines. ``run`` raises NoCluster and its kin where there is nothing to join."""

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        options: WorkerOptions,
        notify: Callable[[events.Event], None],
        address: str,
        *,
        gpus: float = 1.0,
        cpus: float = 0.0,
    ) -> None:
        super().__init__(ledger, name, options, notify, NodeShares(gpus=gpus, cpus=cpus))
        self._address = address
        self._numbers = itertools.count(1)
        self._paused = False
        self._idle = False

    def run(self) -> None:
        def late(error: CommonArtError) -> None:
            self.notify(events.Broken(error=error.to_wire()))
            os._exit(1)

        self._join(ray_connection.join(self._address, late)[0], self._address.startswith("ray://"))
        self._calls = RemoteCalls(self._ray, self._died)
        self._bringing = ModelTransfer(
            self._calls, self._ray.put, self._ready, self._failed, self._refuse, self._note, self._spare
        )
        self._finalizer.warm()
        try:
            while not self._quit.is_set() and self._turn():
                pass
            self._give_back(self._hands)
            self._writer.drain()
            self._nodes.tell(last=True)
        finally:
            for held in self._hands:
                self._ray.kill(held.actor)
            self._bringing.close()
            self._writer.close()
            self._ray.shutdown()

    def _turn(self) -> bool:
        """One round; false when all is done."""
        try:
            self._poll_commands()
            if self._due("look", LOOK):
                self._look()
            self._calls.hear(0.05)
            self._bringing.look()
            if self._due("check", CHECK_SECONDS):
                self._check()
            if self._writer.out_of_memory:
                self._writer.out_of_memory = False
            moved = self._fill()
            self._nodes.tell()
            if not moved and not any(h.rows() for h in self._hands):
                return self._rest()
        except (DiskFull, LedgerError) as e:
            self._wait_for_ledger(e, lambda: self._give_back(self._hands))
        return True

    def _rest(self) -> bool:
        """Nothing is in hand: done, paused or idle. False when all is done and that was asked for."""
        if self._writer.busy or self._paused:
            return True
        self._writer.drain()
        if seconds := self._timer.take():
            self.notify(events.Timings(seconds=seconds))
        waiting = any(j.waiting and not j.paused for j in self.ledger.jobs())
        if not waiting:
            if self.options.until_empty and not self.ledger.paused()[0]:
                return False
            if not self._idle:
                self._idle = True
                self.notify(events.Idle())
        elif not any(h.alive for h in self._hands):
            self._nobody()
        if self._idle:
            self._quit.wait(EMPTY)
        return True

    # what is to be done -------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Hand out what waits; whether anything was."""
        if (
            self._paused
            or self._writer.busy > LAG
            or not self._hands
            or self._when.get("empty", 0) > time.monotonic() - EMPTY
        ):
            return False
        moved = False
        for held in sorted((h for h in self._hands if h.room), key=lambda h: len(h.flights)):
            rows = self._claim(held)
            if rows:
                moved = True
                self._idle = False
                self._when.pop("nobody", None)
                held.pending = rows
                if held.key == rows[0].request.model_key:
                    self._ready(held)
                else:
                    self._bringing.bring(held, rows)
        if not moved and all(not h.flights for h in self._hands):
            self._when["empty"] = time.monotonic()
        return moved

    def _claim(self, held: RemoteEngine) -> list[Row]:
        def pick(rows: Sequence[Row]) -> list[Row]:
            first = rows[0].request
            if held.flights and (held.key != first.model_key or rows[0].deaths):
                return []  # another model, or a suspect, waits until it has nothing else in hand
            check_room(Path(first.out), LOW_DISK)
            return choose(rows, self.options.batch_size or held.limits.get(first.batch_key, 64))

        try:
            return self.ledger.claim(self.name, pick)
        except DiskFull as e:
            self.ledger.pause(None, True, e)
            return []

    def _ready(self, held: RemoteEngine) -> None:
        """The model is there: hand over what was claimed for it."""
        rows = held.pending
        if held.facts and "told" not in held.facts:
            self._opened(held)
        if not rows:
            return
        key = rows[0].request.batch_key
        if key not in held.limits:

            def known(answer: dict[str, Any]) -> None:
                held.limits[key] = answer["limit"]
                held.busy = False
                self._ready(held)

            held.busy = True
            self._calls.ask(held, "limit", rows[0].request.to_dict(), then=known)
            return
        limit = self.options.batch_size or held.limits[key]
        self.ledger.put_back([r.id for r in rows[limit:]])
        held.pending = []
        self._submit(held, rows[:limit])

    def _opened(self, held: RemoteEngine) -> None:
        facts = held.facts
        held.facts["told"] = True
        held.node.device = facts["words"]
        held.node.state = "ready"
        for note in facts["notes"]:
            self._note(note["template"], **note["fields"])
        self.notify(
            events.Loaded(
                model=facts["model"],
                backend=facts["backend"],
                device=f"{held.node.name} {facts['device']}",
                dtype=facts["dtype"],
                seconds=facts["seconds"],
            )
        )

    def _spare(self, parcel: ModelBundle, rows: Sequence[Row], facts: dict[str, Any] | None) -> bool:
        """Whether the text encoder may stay here: all these captions' features are in the store, in the dtype that engine would have used."""
        folders = [
            p
            for p in (base() / part_of(parcel.hashes["text_encoder"], "any").parent).glob("*")
            if p.is_dir() and not p.name.startswith("onnx")
        ]
        texts = pipeline.texts_of(r.request for r in rows)
        return any(all(file_of(folder, t).exists() for t in texts) for folder in folders)

    def _submit(self, held: RemoteEngine, rows: list[Row]) -> None:
        flight = PendingBatch(next(self._numbers), {r.id: r for r in rows})
        features: dict[str, bytes] = {}
        wanted: list[str] = []
        if held.store is not None:
            for text in pipeline.texts_of(r.request for r in rows):
                if text in held.knows:
                    continue
                try:
                    features[text] = file_of(base() / held.store, text).read_bytes()
                except OSError:
                    wanted.append(text)
        held.flights[flight.id] = flight
        self._owner |= dict.fromkeys(flight.rows, flight.id)
        self._begin(held)
        batch = {
            "id": flight.id,
            "rows": [{"id": r.id, "request": r.request.to_dict()} for r in rows],
            "features": features,
            "wanted": wanted,
            "encoder_bytes": held.parcel.encoder_bytes if held.parcel else 0,
        }
        self._calls.ask(
            held, "draw", batch, then=lambda answer: self._drawn(held, flight, {*features, *wanted}, answer)
        )

    def _begin(self, held: RemoteEngine) -> None:
        """The batch that has waited longest is being worked on now."""
        first = next(iter(held.flights.values()), None)
        if first is not None and not first.begun:
            first.begun = True
            self.ledger.begin(list(first.rows.values()))

    # what comes back ----------------------------------------------------------------------------------------------

    def _drawn(self, held: RemoteEngine, flight: PendingBatch, texts: set[str], answer: dict[str, Any]) -> None:
        held.flights.pop(flight.id, None)
        mine = {i for i in flight.rows if self._owner.get(i) == flight.id}
        for image in mine:
            del self._owner[image]
        self._begin(held)
        rows = [r for i, r in flight.rows.items() if i in mine]
        if answer.get("abandoned") or answer.get("need"):
            if answer.get("need") and rows and not held.flights:
                self._bringing.whole(held, rows)
            else:
                self.ledger.put_back([r.id for r in rows])
            return
        if "error" in answer:
            self._writer.fail(rows, from_wire(answer["error"]))
            return
        held.knows |= texts
        if held.store is not None:
            keep(base() / held.store, answer["features"])
        if answer["limit"] and rows:
            held.limits[rows[0].request.batch_key] = answer["limit"]
            self._notifier.smaller(len(rows), answer["limit"])
        for note in answer["notes"]:
            self._note(note["template"], **note["fields"])
        self._timer.add(answer["seconds"])
        facts = held.facts
        device = {k: facts[k] for k in ("backend", "device", "dtype", "libraries")}
        for p in answer["pictures"]:
            if p["row"] not in mine:
                continue  # it was given away meanwhile
            row = flight.rows[p["row"]]
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
        held.node.count(len(answer["pictures"]))
        held.node.deaths = 0
        for one in answer["undone"]:
            lost = [flight.rows[i] for i in one["rows"] if i in mine]
            if one["error"] is None:
                self.ledger.put_back([r.id for r in lost])
            else:
                self._writer.fail(lost, from_wire(one["error"]))

    def _failed(self, held: RemoteEngine, rows: list[Row], error: CommonArtError) -> None:
        """Nobody can make these."""
        held.pending = []
        self._writer.fail(rows, error)

    def _give_back(self, hands: Sequence[RemoteEngine]) -> None:
        """What these engines have in hand waits again; they give it up at their next step."""
        for held in hands:
            rows = [r.id for r in held.pending]
            for flight in held.flights.values():
                rows += [i for i in flight.rows if self._owner.get(i) == flight.id]
            for image in rows:
                self._owner.pop(image, None)
            if held.alive and held.flights:
                self._mind(held, drop=list(held.flights))
            held.pending = []
            self.ledger.put_back(rows)

    # commands -----------------------------------------------------------------------------------------------------

    def _mind(self, held: RemoteEngine, drop: list[int] | None = None) -> None:
        def told(answer: dict[str, Any]) -> None:
            held.minded = False
            for number, (step, steps) in answer["steps"].items():
                flight = held.flights.get(int(number))
                if flight is not None and step:
                    self.notify(events.Progress(images=list(flight.rows), step=step, steps=steps))

        held.minded, held.held = True, self._paused
        self._calls.ask(held, "mind", self._paused, drop or [], then=told)

    def _check(self) -> None:
        """Pause, cancelled pictures and paused jobs; and how far everybody is."""
        paused, error = self.ledger.paused()
        if paused != self._paused:
            self._paused = paused
            self.notify(events.Paused(error=error) if paused else events.Resumed())
        flying = [(h, f) for h in self._hands for f in h.flights.values()]
        rows = [r for _, f in flying for r in f.rows.values()]
        ours = set().union(*(self.ledger.still_running(rows[n : n + 500], self.name) for n in range(0, len(rows), 500)))
        held_jobs = {j.id for j in self.ledger.jobs() if j.paused} if flying else set()
        for held, flight in flying:
            mine = [i for i in flight.rows if i in ours and self._owner.get(i) == flight.id]
            if mine and not (held_jobs and all(flight.rows[i].job in held_jobs for i in mine)):
                continue
            if any(self._owner.get(i) == flight.id for i in flight.rows):  # the first time it is seen
                for i in flight.rows:
                    self._owner.pop(i, None)
                self.ledger.put_back(mine)
                self._mind(held, drop=[flight.id])
        mind = self._due("mind", MIND)
        for held in self._hands:
            if not held.minded and ((mind and held.flights) or held.held != self._paused):
                self._mind(held)

    def _release_device(self) -> None:
        self._release.clear()
        self._give_back(self._hands)
        for held in list(self._hands):
            held.forget_model()
            held.busy = True

            def freed(_: dict[str, Any], held: RemoteEngine = held) -> None:
                held.forget_model()  # it may have been loading
                held.busy = False

            self._calls.ask(held, "release", then=freed)
        self.notify(events.Released())
