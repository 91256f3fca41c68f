"""A run from its configuration to its result: prepare, step by step with checkpoints, finish."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from engine.contract import training_events as events
from engine.contract.errors import BadValue, BrokenWeights, NothingToResume, Phrase, RunExists, TrainingDiverged
from engine.contract.events import Event
from engine.contract.files import as_our_error
from engine.contract.ledger.process_lock import ProcessLock
from engine.sampling.schedule import Schedule
from trainer.config import Config
from trainer.learn import optim, trainable, validation
from trainer.learn.artifacts import report
from trainer.learn.checkpoint import Checkpoints, State, demand_room, shared
from trainer.learn.commands import Commands
from trainer.learn.data.batches import BatchSampler
from trainer.learn.data.feature_cache import FeatureCache
from trainer.learn.distributed.dataset_agreement import check_all_datasets, companions, compare
from trainer.learn.distributed.processes import Processes
from trainer.learn.distributed.sharding import Sharding
from trainer.learn.log import RunLog
from trainer.learn.loss import Objective
from trainer.learn.prepare import RunInfo, bind, gather, open_base
from trainer.learn.previews import PreviewPainter
from trainer.learn.result import finish, write_summary
from trainer.learn.train_state import TrainState

Say = Callable[[Event], None]


class Stop(Exception):
    """The user asked for it; everything is saved."""


class Trainer:
    """One run. ``say`` gets every event; only the first of several processes speaks and writes."""

    def __init__(
        self, config: Config, say: Say, commands: Commands, processes: Processes, *, resume: bool = False
    ) -> None:
        self.config, self.commands, self.processes, self.resume = config, commands, processes, resume
        self.out = Path(config.output)
        self.checkpoints = Checkpoints(self.out / "checkpoints")
        self._say_to, self._diary = say, None
        self.step, self.attempt, self.bests = 0, 0, {}  # step -> held-out loss of the checkpoints
        self.history: list[tuple[int, float, float]] = []  # step, mean training loss since the last, held-out loss
        self._since: list[float] = [0.0, 0.0]  # sum and count of training losses since the last evaluation
        self._times: deque[float] = deque(maxlen=50)
        self._alarmed = False

    def say(self, event: Event) -> None:
        """Tell and keep it."""
        if self.processes.first:
            self._say_to(event)
            if self._diary:
                self._diary.write(event)

    def _note(self, template: str, **fields: Any) -> None:
        self.say(
            events.Note(
                template=template,
                fields={
                    k: {"template": v.template, "fields": v.fields} if isinstance(v, Phrase) else v
                    for k, v in fields.items()
                },
            )
        )

    def run(self) -> Event:
        """All of it. Returns the last event, ``Finished`` or ``Stopped``, which has been told.

        Raises:
            CommonArtError: what keeps the run from starting, or from going on; checkpoints made so far are whole.
        """
        lock = ProcessLock(self.out / ".lock")
        try:
            if self.processes.first and not lock.take():
                raise BadValue(name="output", value=self.out, why=Phrase("another training is at work in it"))
            self._prepare()
            self._loop()
            last = self._finish()
        except Stop:
            last = events.Stopped(step=self.step, path=str(self.checkpoints.path(self.step)))
        except OSError as e:  # a disk that is full or gone
            raise as_our_error(e, self.out) from e
        finally:
            if self._diary:
                self._diary.close()
            if hasattr(self, "rows"):
                self.rows.close()
            lock.drop(remove=True)
        self._say_to(last) if self.processes.first else None
        return last

    # before the first step -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        config, processes = self.config, self.processes
        # the run's folder is the first process's: other machines may not see it
        found, begun = processes.share([self.checkpoints.steps(), (self.out / "run.json").is_file()])
        if found and not self.resume:
            raise RunExists(path=self.out, step=found[0])
        if self.resume and not found and not begun:
            raise NothingToResume(path=self.out)
        if config.batch.size * config.batch.accumulation < processes.world:
            raise BadValue(
                name="batch.size",
                value=config.batch.size,
                why=Phrase("it is smaller than the number of processes, {n}", n=processes.world),
            )
        # what is asked wrongly is told before every byte of every picture is read
        folder = open_base(config)
        trainable.architecture(config, folder)
        if config.kind == "lora":
            trainable.matched(config.lora.layers, folder.denoiser_config)
        optim.demand(config.optimiser, processes.device)
        dtype = processes.dtype(config.device.dtype)
        Sharding.of(config, dtype)
        # never skipped: nothing of a refused picture is even read by the model
        reports = check_all_datasets(config, self.out, processes, self._progress)
        self.info: RunInfo = gather(config, folder, reports)
        compare(self.info, processes)
        if processes.first:
            bind(self.out, self.info, resume=self.resume)
        collection = self.info.collection
        schedule = Schedule.from_dict(trainable.scheduler(config, folder))
        self.objective = Objective(schedule, config.loss)
        self.features = FeatureCache(
            folder,
            device=processes.device,
            text_dtype=config.data.text_dtype,
            memory=config.data.memory_mb << 20,
            share=companions(processes),
        )
        self.rows = BatchSampler(config, collection.train, self.features, self.objective)
        self.steps = config.schedule.steps or max(1, round(config.schedule.epochs * self.rows.order.steps))
        self.painter = PreviewPainter(config.previews, folder, schedule, self.features, self.out / "previews")
        self.tested = sorted(collection.heldout, key=lambda i: i.sha256)[: config.heldout.limit]
        captions = [c for i in [*collection.train, *self.tested] for c in i.captions] + self.painter.texts() + [""]
        self.features.prepare(collection.train, captions, mirrored=config.data.flip > 0, progress=self._progress)
        self.features.prepare(self.tested, [], mirrored=False, progress=self._progress)
        processes.wait()
        self._dtype = dtype
        state = self._newest() if found and self.resume else None
        if self.resume and found and state is None:
            raise NothingToResume(path=self.out)
        self._begin(state)
        self._diary = RunLog(self.out, self.step, tensorboard=config.log.tensorboard) if processes.first else None
        self._tell_start(collection)

    def _tell_start(self, collection: Any) -> None:
        subject, processes = self.subject, self.processes
        size = sum(p.numel() for p in subject.named.values())
        self.say(
            events.Started(
                output=str(self.out),
                kind=self.config.kind,
                model=self.info.folder.name,
                device=str(processes.device),
                dtype=self._dtype,
                step=self.step,
                steps=self.steps,
                pictures=len(collection.train),
                heldout=len(self.tested),
                trainable=size,
                batch=self.config.batch.size * self.config.batch.accumulation,
                micro=subject.stepper.micro,
                processes=processes.world,
            )
        )
        for why, count in collection.skipped.items():
            self._note("{count} image(s) {why} left out", count=count, why=why)
        if collection.enlarged:
            self._note("{count} image(s) are smaller than what is trained and are enlarged", count=collection.enlarged)
        if processes.first:  # the last K, the best and one being written
            kept = 4 * size * (3 + (self.subject.average is not None))
            demand_room(self.out, kept * max(1, self.config.checkpoint.keep + 2 - len(self.checkpoints.steps())))

    def _progress(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - getattr(self, "_told_at", 0.0) > 0.2:
            self._told_at = now
            self.processes.check()
            self.say(events.Preparing(what=what, done=done, total=total))

    def _begin(self, state: State | None) -> None:
        """Fresh, or from a checkpoint; what was in memory before is let go first."""
        self.subject: Any = None
        self.subject = TrainState(
            self.config, self.info.folder, self.objective, self.processes, self._dtype, self._on_split
        )
        self.step = 0
        if state is not None:
            self.subject.restore(state)
            facts = state.facts
            self.step = state.step
            self.attempt = max(self.attempt, int(facts.get("attempt", 0)))
            self.history = [(int(s), float(t), float(h)) for s, t, h in facts.get("history", [])]
            self.bests = {int(k): float(v) for k, v in facts.get("bests", {}).items()}
            self._since = [float(x) for x in facts.get("since", (0, 0))]
        else:
            self.history, self.bests, self._since = [], {}, [0.0, 0.0]

    def _newest(self) -> State | None:
        def broken(e: BrokenWeights) -> None:
            self._note(
                "A damaged checkpoint is passed over: {path} ({why})", path=str(e.fields["path"]), why=e.fields["why"]
            )

        newest = self.checkpoints.newest(broken) if self.processes.first else None
        return shared(newest, self.processes, content=not Sharding.of(self.config, self._dtype).on)

    def _on_split(self, micro: int) -> None:
        self._note("Not enough memory: {micro} image(s) at once from now on, the same number a step", micro=micro)

    # step by step --------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        config = self.config
        total = config.batch.size * config.batch.accumulation
        if self.step == 0 and self.tested and config.heldout.every:
            self._evaluate()  # where the base stands
        while self.step < self.steps:
            self._obey()
            began = time.monotonic()
            self.subject.seed(self.step, self.attempt)
            rows = self.rows.of(self.step, self.attempt, self.processes.rank, self.processes.world)
            loss = self.subject.stepper.gradients(rows, total)
            rate = config.optimiser.lr * optim.rate(self.step, self.steps, config.schedule)
            norm = self.subject.stepper.update(rate) if math.isfinite(loss) else loss
            if not math.isfinite(loss) or (not math.isfinite(norm) and not self.subject.stepper.scaler.is_enabled()):
                self._go_back()
                continue
            if self.subject.average:
                self.subject.average.update(self.step)
            self.step += 1
            self._times.append(time.monotonic() - began)
            self._since = [self._since[0] + loss, self._since[1] + 1]
            if self.step % config.log.every == 0 or self.step == self.steps:
                pace = sum(self._times) / len(self._times)
                self.say(
                    events.Step(
                        step=self.step,
                        steps=self.steps,
                        loss=loss,
                        lr=rate,
                        norm=norm if math.isfinite(norm) else 0.0,
                        speed=total / pace,
                        eta=pace * (self.steps - self.step),
                    )
                )
            saves = self.step % config.checkpoint.every == 0 or self.step == self.steps
            if self.tested and config.heldout.every and (self.step % config.heldout.every == 0 or saves):
                self._evaluate()
            if saves:
                self._save()
            if (
                config.previews.prompts
                and config.previews.every
                and (self.step % config.previews.every == 0 or self.step == self.steps)
            ):
                self._preview()

    def _obey(self) -> None:
        """Commands, heard by the first process and followed by all."""
        names = ("", *events.COMMANDS)
        while True:
            mine = self.commands.next()
            if mine != "quit" and not self.processes.first:
                mine = ""  # the first is spoken to; a signal may come to any
            command = names[self.processes.highest(names.index(mine))]
            if command == "pause":
                command = self._pause()
            if command == "save":
                self._save()
            elif command == "sample":
                self._preview()
            elif command == "quit":
                self._save()
                raise Stop
            elif not command:
                return

    def _pause(self) -> str:
        """Wait with nothing on the GPU; returns the command that ended it, empty for resume."""
        self.say(events.Paused())
        here = self.processes.device
        away = here.type != "cpu" and not self.subject.sharded
        if away:
            self.subject.move(torch.device("cpu"))
        names = ("", *events.COMMANDS)
        while True:
            mine = self.commands.next(wait=True) if self.processes.first else ""
            command = names[self.processes.highest(names.index(mine))]
            if command not in ("", "pause"):
                break
        if away:
            self.subject.move(here)
        self.say(events.Resumed())
        return "" if command == "resume" else command

    def _go_back(self) -> None:
        """The loss is not a number: once to the last good checkpoint, and on with other chance.

        Raises:
            TrainingDiverged: the second time.
        """
        if self.attempt:
            raise TrainingDiverged(step=self.step + 1)
        self.attempt = 1
        failed = self.step
        state = self._newest()
        self.subject = None
        self._begin(state)
        self._note(
            "The loss became not-a-number at step {failed}; back to step {step}", failed=failed + 1, step=self.step
        )

    def _evaluate(self) -> None:
        if self.history and self.history[-1][0] == self.step:
            return
        rows = self.rows.heldout(self.tested, self.objective.count)
        with self.subject.as_result():
            loss = validation.evaluate(self.subject.stepper, rows, self.processes)
        mean = (
            self._since[0] / self._since[1] if self._since[1] else loss
        )  # before the first step there is none: no picture is known yet
        best = loss < min((h for _, _, h in self.history), default=math.inf)
        self._since = [0.0, 0.0]
        self.history.append((self.step, mean, loss))
        self.say(events.HeldoutLoss(step=self.step, loss=loss, best=best))
        alarm = validation.overfits(self.history, self.config.heldout.window)
        if alarm and not self._alarmed:
            self._note(
                "The held-out loss rises while the training loss falls: the model begins to learn its images by heart (best at step {step})",
                step=min(self.history, key=lambda x: x[2])[0],
            )
        self._alarmed = alarm

    def _save(self) -> None:
        if self.history and self.history[-1][0] == self.step:
            self.bests[self.step] = self.history[-1][2]
        facts = {"attempt": self.attempt, "history": self.history, "bests": self.bests, "since": self._since}
        state = self.subject.state(self.step, facts)
        if self.processes.first:
            with self.processes.writing():
                path = self.checkpoints.save(state)
                self.checkpoints.prune(
                    self.config.checkpoint.keep, self._best() if self.config.checkpoint.best else None
                )
            self.say(events.Saved(step=self.step, path=str(path)))

    def _best(self) -> int | None:
        """The step of the kept checkpoint with the lowest held-out loss."""
        there = {s: self.bests[s] for s in self.checkpoints.steps() if s in self.bests}
        return min(there, key=lambda s: (there[s], s)) if there else None

    def _preview(self) -> None:
        def shown(path: Path, prompt: str, seed: int) -> None:
            self.say(events.Preview(step=self.step, path=str(path), prompt=prompt, seed=seed))

        try:
            with self.subject.as_result():
                model = self.subject.alone()
                if model is not None:
                    self.painter.draw(model, self.subject.stepper, self.step, self.processes.device, shown)
        except Exception as e:  # whatever it is, the run goes on
            self._note("No preview could be drawn: {why}", why=f"{type(e).__name__}: {e}"[:300])

    # the end -------------------------------------------------------------------------------------------------------

    def _finish(self) -> Event:
        weights = self.subject.result()
        if not self.processes.first:
            return events.Stopped(step=self.step, path="")
        if self.config.checkpoint.result == "best" and (best := self._best()) is not None:
            state = self.checkpoints.load(best)
            weights = dict(state.ema or state.weights)
        steps = [x["loss"] for x in report.read_log(self.out) if x.get("event") == "step"]
        last = steps[-max(1, len(steps) // 20) :]
        loss = sum(last) / len(last) if last else None
        heldout = self.history[-1][2] if self.history else None
        result = finish(self.out, self.info, weights, step=self.step, loss=loss, heldout=heldout)
        summary = write_summary(self.out, self.info, self.history, result)
        return events.Finished(
            step=self.step,
            path=str(result.path),
            sha256=result.sha256,
            report=str(summary),
            loss=loss,
            heldout=heldout,
            installed=str(result.installed or ""),
        )
