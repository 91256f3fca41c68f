"""The model that learns with its optimiser and averages: built, brought back from a checkpoint, and written into one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import BrokenWeights, Phrase
from engine.models.pixart import DiT, DiTConfig
from trainer.config import Config
from trainer.learn import optim
from trainer.learn.checkpoint import State
from trainer.learn.data import counter_rng
from trainer.learn.distributed.processes import Processes, like, whole
from trainer.learn.distributed.sharding import Sharding, shard
from trainer.learn.loss import Objective
from trainer.learn.train_step import TrainStep
from trainer.learn.trainable import TrainableDenoiser, architecture, build, learning


class TrainState:
    """One run's model. ``dtype`` is what is computed in; what learns is fp32."""

    def __init__(
        self,
        config: Config,
        folder: ModelFolder,
        objective: Objective,
        processes: Processes,
        dtype: str,
        on_split: Callable[[int], None],
    ) -> None:
        self._config, self._processes, self._folder = config, processes, folder
        sharding = Sharding.of(config, dtype)
        self.sharded = sharding.on and processes.world > 1
        if sharding.checkpointing:  # the accelerate file asks for it: the same numbers, less memory
            config = dataclasses.replace(config, device=dataclasses.replace(config.device, checkpointing=True))
        # what is to be shared out is never whole on a device: block by block it moves there and is cut
        self.model = TrainableDenoiser(
            build(config, folder, torch.device("cpu") if self.sharded else processes.device, dtype)
        )
        if self.sharded:
            shard(self.model, processes.device.type, processes.world, reshard=sharding.reshard)
        self.named = {n.removeprefix("dit."): p for n, p in learning(self.model).items()}
        self.optimiser = optim.build_optimiser(list(self.named.values()), config.optimiser, processes.device)
        self.average = optim.Ema(self.named, config.ema.decay) if config.ema.decay else None
        share = -(-config.batch.size // processes.world)
        self._micro = min(config.batch.micro or share, share)  # before memory ran short
        self.stepper = TrainStep(
            self.model,
            list(self.named.values()),
            self.optimiser,
            objective,
            processes,
            dtype=dtype,
            clip=config.optimiser.clip,
            micro=self._micro,
            sharded=self.sharded,
            on_split=on_split,
        )

    def seed(self, step: int, attempt: int) -> None:
        """torch's own chance, which only dropout asks: a function of the step."""
        torch.manual_seed(
            counter_rng.number(
                self._config.seed, counter_rng.DROPOUT, step, attempt * self._processes.world + self._processes.rank
            )
        )

    def state(self, step: int, facts: dict[str, Any]) -> State:
        """All of it as whole tensors; every process must ask, and where weights are sharded only the first is given them."""
        names = {p: n for n, p in self.named.items()}
        moments, plain = optim.state_of(self.optimiser, names)
        scaler = self.stepper.scaler.state_dict() if self.stepper.scaler.is_enabled() else {}
        return State(
            step,
            self._whole({n: p.detach() for n, p in self.named.items()}),
            self._whole(moments),
            self._whole(self.average.kept) if self.average else {},
            facts
            | {
                "micro": self.stepper.micro,
                "planned": self._micro,
                "world": self._processes.world,
                "optimiser": plain,
                "scaler": scaler,
            },
        )

    def _whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sharded tensors are gathered one after the other, so that no device holds more than one whole."""
        if not self.sharded:
            return dict(tensors)
        found = {}
        for name, t in tensors.items():
            gathered = whole(t)
            if self._processes.first:
                found[name] = gathered.cpu()
        return found

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Put a checkpoint back; every process must ask.

        Raises:
            BrokenWeights: it is of other parameters.
        """
        if state.weights.keys() != self.named.keys() or any(
            t.shape != self.named[n].shape for n, t in state.weights.items()
        ):
            raise BrokenWeights(
                path=f"step-{state.step:08d}", why=Phrase("it holds other weights than this run learns")
            )
        for name, p in self.named.items():
            p.copy_(like(state.weights[name], p))
        moments = {full: like(t, self.named[full.rpartition("/")[0]]) for full, t in state.optimiser.items()}
        optim.restore(self.optimiser, self.named, moments, state.facts.get("optimiser", {}))
        if self.average:
            for name, kept in self.average.kept.items():
                kept.copy_(like(state.ema.get(name, state.weights[name]), kept))
        if self.stepper.scaler.is_enabled() and state.facts.get("scaler"):
            self.stepper.scaler.load_state_dict(state.facts["scaler"])
        self.stepper.micro = self._micro_after(state.facts)

    def _micro_after(self, facts: Mapping[str, Any]) -> int:
        """The same processes go on as they were. Others begin with their own share, unless memory had run short before."""
        micro = int(facts.get("micro", self._micro))
        if facts.get("world", self._processes.world) == self._processes.world:
            return micro
        return min(self._micro, micro) if micro < int(facts.get("planned", micro)) else self._micro

    @contextlib.contextmanager
    def as_result(self) -> Iterator[None]:
        """Inside, the model is what would be saved: averaged weights, where they are kept."""
        if self.average:
            self.average.swap()
        try:
            yield
        finally:
            if self.sharded:
                for module in self.model.modules():  # or the next step would meet the gathered copy
                    if hasattr(module, "reshard"):
                        module.reshard()
            if self.average:
                self.average.swap()

    def alone(self) -> DiT | None:
        """The denoiser for the first process to use alone; every process must ask, others get None. Sharded weights are copied whole."""
        if not self.sharded:
            return self.model.dit if self._processes.first else None
        weights = self._whole({n: p.detach() for n, p in self.named.items()})
        if not self._processes.first:
            return None
        with torch.device("meta"):
            model = DiT(DiTConfig.from_dict(architecture(self._config, self._folder)))
        model.load_state_dict({n: t.to(self._processes.device) for n, t in weights.items()}, assign=True)
        return model.requires_grad_(False)

    def result(self) -> dict[str, Tensor]:
        """Whole tensors of what is saved at the end; every process must ask, and where weights are sharded only the first is given them."""
        kept = self.average.kept if self.average else {n: p.detach() for n, p in self.named.items()}
        return self._whole(kept)

    def move(self, device: torch.device) -> None:
        """Everything to another device: a paused run holds no GPU memory."""
        self.model.to(device)
        for state in self.optimiser.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and key != "step":
                    state[key] = value.to(device)
        if self.average:
            self.average.kept = {n: t.to(device) for n, t in self.average.kept.items()}
        if device.type == "cpu" and torch.cuda.is_available():
            torch.cuda.empty_cache()
