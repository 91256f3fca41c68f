"""The model that learns with its optimiser and averages: built, brought back from a checkpoint, and written into one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import BrokenWeights, Phrase
from trainer.config import Config
from trainer.learn import draws, optim
from trainer.learn.adapt import Denoise, build, learning
from trainer.learn.checkpoint import State
from trainer.learn.loss import Objective
from trainer.learn.processes import Processes, like, whole
from trainer.learn.step import Stepper


class Subject:
    """One run's model. ``dtype`` is what is computed in; what learns is fp32."""

    def __init__(self, config: Config, folder: ModelFolder, objective: Objective, processes: Processes, dtype: str, on_split: Callable[[int], None]) -> None:
        self._config, self._processes = config, processes
        self.sharded = processes.world > 1 and config.device.sharding == "fsdp2"
        self.model = Denoise(build(config, folder, processes.device, dtype))
        if self.sharded:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            # one unit: at 0.6 B parameters it is gradients and moments that fill the memory, and they are shared out
            fully_shard(self.model, mesh=init_device_mesh(processes.device.type, (processes.world,)), reshard_after_forward=False)
        self.named = {n.removeprefix("dit."): p for n, p in learning(self.model).items()}
        self.optimiser = optim.build_optimiser(list(self.named.values()), config.optimiser, processes.device)
        self.average = optim.Average(self.named, config.ema.decay) if config.ema.decay else None
        share = -(-config.batch.size // processes.world)
        self.stepper = Stepper(self.model, list(self.named.values()), self.optimiser, objective, processes, dtype=dtype, clip=config.optimiser.clip,
                               micro=min(config.batch.micro or share, share), sharded=self.sharded, on_split=on_split)

    def seed(self, step: int, attempt: int) -> None:
        """torch's own chance, which only dropout asks: a function of the step."""
        torch.manual_seed(draws.number(self._config.seed, draws.DROPOUT, step, attempt * self._processes.world + self._processes.rank))

    def state(self, step: int, facts: dict[str, Any]) -> State:
        """All of it as whole tensors; every process must ask."""
        names = {p: n for n, p in self.named.items()}
        moments, plain = optim.state_of(self.optimiser, names)
        scaler = self.stepper.scaler.state_dict() if self.stepper.scaler.is_enabled() else {}
        return State(step, {n: whole(p.detach()) for n, p in self.named.items()}, {n: whole(t) for n, t in moments.items()},
                     {n: whole(t) for n, t in self.average.kept.items()} if self.average else {},
                     facts | {"micro": self.stepper.micro, "optimiser": plain, "scaler": scaler})

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Put a checkpoint back; every process must ask.

        Raises:
            BrokenWeights: it is of other parameters.
        """
        if state.weights.keys() != self.named.keys() or any(t.shape != self.named[n].shape for n, t in state.weights.items()):
            raise BrokenWeights(path=f"step-{state.step:08d}", why=Phrase("it holds other weights than this run learns"))
        for name, p in self.named.items():
            p.copy_(like(state.weights[name], p))
        moments = {full: like(t, self.named[full.rpartition("/")[0]]) for full, t in state.optimiser.items()}
        optim.restore(self.optimiser, self.named, moments, state.facts.get("optimiser", {}))
        if self.average:
            for name, kept in self.average.kept.items():
                kept.copy_(like(state.ema.get(name, state.weights[name]), kept))
        if self.stepper.scaler.is_enabled() and state.facts.get("scaler"):
            self.stepper.scaler.load_state_dict(state.facts["scaler"])
        self.stepper.micro = int(state.facts.get("micro", self.stepper.micro))

    @contextlib.contextmanager
    def as_result(self) -> Iterator[None]:
        """Inside, the model is what would be saved: averaged weights, where they are kept."""
        if self.average:
            self.average.swap()
        try:
            yield
        finally:
            if self.sharded:
                self.model.reshard()  # type: ignore[operator]  # or the next step would meet the gathered copy
            if self.average:
                self.average.swap()

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Inside, sharded weights are whole in every process, so that one may use the model alone."""
        if self.sharded:
            self.model.unshard()  # type: ignore[operator]
        try:
            yield
        finally:
            if self.sharded:
                self.model.reshard()  # type: ignore[operator]

    def result(self) -> dict[str, Tensor]:
        """Whole tensors of what is saved at the end; every process must ask."""
        kept = self.average.kept if self.average else {n: p.detach() for n, p in self.named.items()}
        return {n: whole(t) for n, t in kept.items()}

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
