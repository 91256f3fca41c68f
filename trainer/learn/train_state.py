"""The trainable model with its optimiser and averaged weights: build, restore from a checkpoint, save to one."""

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
from trainer.learn.distributed.processes import Processes, full_tensor, like
from trainer.learn.distributed.sharding import Sharding, shard
from trainer.learn.loss import Objective
from trainer.learn.train_step import TrainStep
from trainer.learn.trainable import TrainableDenoiser, architecture, build, trainable_parameters


class TrainState:
    """The model and optimiser of one run. ``dtype`` is the dtype of computation; trainable parameters are fp32."""

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
        if sharding.checkpointing:  # requested by the accelerate file: the same values with less memory
            config = dataclasses.replace(config, device=dataclasses.replace(config.device, checkpointing=True))
        # a model to be sharded never fits on a device completely: it moves there and is sharded block by block
        self.model = TrainableDenoiser(
            build(config, folder, torch.device("cpu") if self.sharded else processes.device, dtype)
        )
        if self.sharded:
            shard(self.model, processes.device.type, processes.world, reshard=sharding.reshard)
        self.named = {n.removeprefix("dit."): p for n, p in trainable_parameters(self.model).items()}
        self.optimiser = optim.build_optimiser(list(self.named.values()), config.optimiser, processes.device)
        self.average = optim.Ema(self.named, config.ema.decay) if config.ema.decay else None
        share = -(-config.batch.size // processes.world)
        self._micro = min(config.batch.micro or share, share)  # before any reduction for lack of memory
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
        """Seed torch's own generator, which only dropout uses, as a function of the step."""
        torch.manual_seed(
            counter_rng.number(
                self._config.seed, counter_rng.DROPOUT, step, attempt * self._processes.world + self._processes.rank
            )
        )

    def state(self, step: int, facts: dict[str, Any]) -> State:
        """Everything as unsharded tensors; every process must call it.

        With sharded weights only the first process gets the tensors.
        """
        names: dict[Tensor, str] = {p: n for n, p in self.named.items()}
        moments, plain = optim.state_of(self.optimiser, names)
        scaler = self.stepper.scaler.state_dict() if self.stepper.scaler.is_enabled() else {}
        return State(
            step,
            self._gathered({n: p.detach() for n, p in self.named.items()}),
            self._gathered(moments),
            self._gathered(self.average.weights) if self.average else {},
            facts
            | {
                "micro": self.stepper.micro,
                "planned": self._micro,
                "world": self._processes.world,
                "optimiser": plain,
                "scaler": scaler,
            },
        )

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gather sharded tensors one after the other, so that a device holds at most one complete tensor."""
        if not self.sharded:
            return dict(tensors)
        result = {}
        for name, t in tensors.items():
            gathered = full_tensor(t)
            if self._processes.first:
                result[name] = gathered.cpu()
        return result

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Load a checkpoint; every process must call it.

        Raises:
            BrokenWeights: it has other parameters.
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
            for name, average in self.average.weights.items():
                average.copy_(like(state.ema.get(name, state.weights[name]), average))
        if self.stepper.scaler.is_enabled() and state.facts.get("scaler"):
            self.stepper.scaler.load_state_dict(state.facts["scaler"])
        self.stepper.micro = self._micro_after(state.facts)

    def _micro_after(self, facts: Mapping[str, Any]) -> int:
        """The micro-batch size to resume with.

        The same number of processes continues as before; another number starts with its own share, unless memory had
        been short before.
        """
        micro = int(facts.get("micro", self._micro))
        if facts.get("world", self._processes.world) == self._processes.world:
            return micro
        return min(self._micro, micro) if micro < int(facts.get("planned", micro)) else self._micro

    @contextlib.contextmanager
    def as_result(self) -> Iterator[None]:
        """Inside, the model has the weights that would be saved: the averaged ones, if there are any."""
        if self.average:
            self.average.swap()
        try:
            yield
        finally:
            if self.sharded:
                from torch.distributed.fsdp import FSDPModule

                for module in self.model.modules():  # otherwise the next step would use the gathered copy
                    if isinstance(module, FSDPModule):
                        module.reshard()
            if self.average:
                self.average.swap()

    def standalone_model(self) -> DiT | None:
        """The denoiser for the first process to use by itself; every process must call it, the others get None.

        Sharded weights are gathered into a copy.
        """
        if not self.sharded:
            return self.model.dit if self._processes.first else None
        weights = self._gathered({n: p.detach() for n, p in self.named.items()})
        if not self._processes.first:
            return None
        with torch.device("meta"):
            model = DiT(DiTConfig.from_dict(architecture(self._config, self._folder)))
        model.load_state_dict({n: t.to(self._processes.device) for n, t in weights.items()}, assign=True)
        return model.requires_grad_(False)

    def result(self) -> dict[str, Tensor]:
        """The unsharded tensors of the result; every process must call it.

        With sharded weights only the first process gets the tensors.
        """
        result = self.average.weights if self.average else {n: p.detach() for n, p in self.named.items()}
        return self._gathered(result)

    def move(self, device: torch.device) -> None:
        """Move everything to another device: a paused run uses no GPU memory."""
        self.model.to(device)
        for state in self.optimiser.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and key != "step":
                    state[key] = value.to(device)
        if self.average:
            self.average.weights = {n: t.to(device) for n, t in self.average.weights.items()}
        if device.type == "cpu" and torch.cuda.is_available():
            torch.cuda.empty_cache()
