"""A training run from its configuration to its result: prepare, train step by step with checkpoints, finish."""

from __future__ import annotations

import math
import time
from collections import deque
from pathlib import Path

import torch

from engine.contract import training_events as events
from engine.contract.errors import BadValue, NothingToResume, Phrase, RunExists, TrainingDiverged
from engine.contract.events import Event
from engine.contract.files import as_our_error
from engine.contract.ledger.process_lock import ProcessLock
from trainer.config import Config
from trainer.learn import optim
from trainer.learn.checkpoint import Checkpoints, State, demand_room
from trainer.learn.checkpointing import CheckpointHook
from trainer.learn.commands import Commands
from trainer.learn.distributed.processes import Processes
from trainer.learn.log import RunLog, read_log
from trainer.learn.previews import draw_previews
from trainer.learn.reporter import Notify, Reporter
from trainer.learn.result import finish, write_summary
from trainer.learn.setup import RunSetup, prepare_run
from trainer.learn.train_state import TrainState
from trainer.learn.validation import ValidationHook


class Stop(Exception):
    """The user stopped the run; everything is saved."""


class Trainer:
    """One run. ``notify`` gets every event; only the first of several processes reports and writes."""

    def __init__(
        self, config: Config, notify: Notify, commands: Commands, processes: Processes, *, resume: bool = False
    ) -> None:
        self.config, self.commands, self.processes, self.resume = config, commands, processes, resume
        self.out = Path(config.output)
        self.reporter = Reporter(notify, processes)
        self.checkpoints = Checkpoints(self.out / "checkpoints")
        self.checkpointing = CheckpointHook(config, self.checkpoints, processes, self.reporter)
        self.validation = ValidationHook(config, processes, self.reporter)
        self.step, self.attempt = 0, 0
        self._setup: RunSetup | None = None
        self._train_state: TrainState | None = None
        self._times: deque[float] = deque(maxlen=50)

    @property
    def setup(self) -> RunSetup:
        """What the run works with; there once it is prepared."""
        assert self._setup is not None
        return self._setup

    @property
    def train_state(self) -> TrainState:
        """The model and its optimiser; there once the run is prepared."""
        assert self._train_state is not None
        return self._train_state

    def run(self) -> Event:
        """Run to the end. Returns the last event, ``Finished`` or ``Stopped``, which was also sent to ``notify``.

        Raises:
            CommonArtError: why the run cannot start or continue; the checkpoints written so far are valid.
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
            self.reporter.close()
            if self._setup is not None:
                self._setup.batches.close()
            lock.drop(remove=True)
        self.reporter.emit(last)
        return last

    # before the first step -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        config, processes = self.config, self.processes
        # the run's folder belongs to the first process: other machines may not see it
        saved, started = processes.share([self.checkpoints.steps(), (self.out / "run.json").is_file()])
        if saved and not self.resume:
            raise RunExists(path=self.out, step=saved[0])
        if self.resume and not saved and not started:
            raise NothingToResume(path=self.out)
        self._setup = prepare_run(config, self.out, processes, self.reporter, resume=self.resume)
        state = self.checkpointing.newest(self.setup.dtype) if saved and self.resume else None
        if self.resume and saved and state is None:
            raise NothingToResume(path=self.out)
        self._begin(state)
        if processes.first:
            self.reporter.open_log(RunLog(self.out, self.step, tensorboard=config.log.tensorboard))
        self._report_start()

    def _report_start(self) -> None:
        setup, processes, train_state = self.setup, self.processes, self.train_state
        collection = setup.info.collection
        trainable = sum(p.numel() for p in train_state.named.values())
        self.reporter.emit(
            events.Started(
                output=str(self.out),
                kind=self.config.kind,
                model=setup.info.folder.name,
                device=str(processes.device),
                dtype=setup.dtype,
                step=self.step,
                steps=setup.steps,
                pictures=len(collection.train),
                heldout=len(setup.heldout),
                trainable=trainable,
                batch=self.config.batch.size * self.config.batch.accumulation,
                micro=train_state.stepper.micro,
                processes=processes.world,
            )
        )
        for why, count in collection.skipped.items():
            self.reporter.note("{count} image(s) {why} left out", count=count, why=why)
        if collection.enlarged:
            self.reporter.note(
                "{count} image(s) are smaller than what is trained and are enlarged", count=collection.enlarged
            )
        if processes.first:  # the last K checkpoints, the best one and the one being written
            one = 4 * trainable * (3 + (train_state.average is not None))
            demand_room(self.out, one * max(1, self.config.checkpoint.keep + 2 - len(self.checkpoints.steps())))

    def _begin(self, state: State | None) -> None:
        """Start afresh or from a checkpoint; what was in memory before is released first."""
        self._train_state = None
        setup = self.setup
        train_state = TrainState(
            self.config, setup.info.folder, setup.objective, self.processes, setup.dtype, self._on_split
        )
        self._train_state = train_state
        self.step = 0
        facts = {}
        if state is not None:
            train_state.restore(state)
            facts = state.facts
            self.step = state.step
            self.attempt = max(self.attempt, int(facts.get("attempt", 0)))
        self.validation.restore(facts)
        self.checkpointing.restore(facts)

    def _on_split(self, micro: int) -> None:
        self.reporter.note(
            "Not enough memory: {micro} image(s) at once from now on, the same number a step", micro=micro
        )

    # step by step --------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        config, setup = self.config, self.setup
        if self.step == 0 and setup.heldout and config.heldout.every:
            self._validate()  # the loss of the base model
        while self.step < setup.steps:
            self._handle_commands()
            if not self._train_one():
                self._go_back()
                continue
            last = self.step == setup.steps
            saves = self.step % config.checkpoint.every == 0 or last
            if setup.heldout and config.heldout.every and (self.step % config.heldout.every == 0 or saves):
                self._validate()
            if saves:
                self._save()
            previews = config.previews
            if previews.prompts and previews.every and (self.step % previews.every == 0 or last):
                self._preview()

    def _train_one(self) -> bool:
        """One optimiser step; False, and nothing changed, if the loss or the gradients are not finite."""
        config, setup, train_state = self.config, self.setup, self.train_state
        total = config.batch.size * config.batch.accumulation
        began = time.monotonic()
        train_state.seed(self.step, self.attempt)
        rows = setup.batches.of(self.step, self.attempt, self.processes.rank, self.processes.world)
        loss = train_state.stepper.gradients(rows, total)
        rate = config.optimiser.lr * optim.rate(self.step, setup.steps, config.schedule)
        norm = train_state.stepper.update(rate) if math.isfinite(loss) else loss
        if not math.isfinite(loss) or (not math.isfinite(norm) and not train_state.stepper.scaler.is_enabled()):
            return False
        if train_state.average:
            train_state.average.update(self.step)
        self.step += 1
        self._times.append(time.monotonic() - began)
        self.validation.add_training_loss(loss)
        if self.step % config.log.every == 0 or self.step == setup.steps:
            pace = sum(self._times) / len(self._times)
            self.reporter.emit(
                events.Step(
                    step=self.step,
                    steps=setup.steps,
                    loss=loss,
                    lr=rate,
                    norm=norm if math.isfinite(norm) else 0.0,
                    speed=total / pace,
                    eta=pace * (setup.steps - self.step),
                )
            )
        return True

    def _validate(self) -> None:
        self.validation.run(self.step, self.train_state, self.setup)

    def _save(self) -> None:
        facts = {"attempt": self.attempt} | self.validation.facts()
        self.checkpointing.save(self.train_state, self.step, self.validation.loss_at(self.step), facts)

    def _preview(self) -> None:
        draw_previews(self.setup.painter, self.train_state, self.step, self.processes, self.reporter)

    def _go_back(self) -> None:
        """The loss is not a number: return once to the last good checkpoint and continue with other random numbers.

        Raises:
            TrainingDiverged: the second time.
        """
        if self.attempt:
            raise TrainingDiverged(step=self.step + 1)
        self.attempt = 1
        failed = self.step
        self._begin(self.checkpointing.newest(self.setup.dtype))
        self.reporter.note(
            "The loss became not-a-number at step {failed}; back to step {step}", failed=failed + 1, step=self.step
        )

    # commands ------------------------------------------------------------------------------------------------------

    def _handle_commands(self) -> None:
        """Execute the pending commands: the first process receives them, all processes follow."""
        names = ("", *events.COMMANDS)
        while True:
            mine = self.commands.next()
            if mine != "quit" and not self.processes.first:
                mine = ""  # commands go to the first process; a signal may reach any of them
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
        """Wait with nothing on the GPU; returns the command that ended the pause, empty for resume."""
        self.reporter.emit(events.Paused())
        device = self.processes.device
        moves = device.type != "cpu" and not self.train_state.sharded
        if moves:
            self.train_state.move(torch.device("cpu"))
        names = ("", *events.COMMANDS)
        while True:
            mine = self.commands.next(wait=True) if self.processes.first else ""
            command = names[self.processes.highest(names.index(mine))]
            if command not in ("", "pause"):
                break
        if moves:
            self.train_state.move(device)
        self.reporter.emit(events.Resumed())
        return "" if command == "resume" else command

    # the end -------------------------------------------------------------------------------------------------------

    def _finish(self) -> Event:
        weights = self.train_state.result()
        if not self.processes.first:
            return events.Stopped(step=self.step, path="")
        if self.config.checkpoint.result == "best" and (best := self.checkpointing.best()) is not None:
            state = self.checkpoints.load(best)
            weights = dict(state.ema or state.weights)
        losses = [x["loss"] for x in read_log(self.out) if x.get("event") == "step"]
        recent = losses[-max(1, len(losses) // 20) :]
        loss = sum(recent) / len(recent) if recent else None
        history = self.validation.history
        heldout = history[-1][2] if history else None
        info = self.setup.info
        result = finish(self.out, info, weights, step=self.step, loss=loss, heldout=heldout)
        summary = write_summary(self.out, info, history, result)
        return events.Finished(
            step=self.step,
            path=str(result.path),
            sha256=result.sha256,
            report=str(summary),
            loss=loss,
            heldout=heldout,
            installed=str(result.installed or ""),
        )
