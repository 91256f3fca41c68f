"""One training step: gradients accumulated over micro-batches that fit in memory, then the optimiser's update.

The gradients do not depend on the number of micro-batches.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.backends.pytorch.devices import DTYPES
from engine.contract.errors import TrainingMemory
from trainer.learn.data.batches import Sample, micro_batches
from trainer.learn.distributed.processes import Processes, full_tensor
from trainer.learn.loss import Objective
from trainer.learn.trainable import TrainableDenoiser


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the system ran out of memory."""
    text = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )


class TrainStep:
    """Forward pass, backward pass and update of the trainable parameters."""

    def __init__(
        self,
        model: TrainableDenoiser,
        parameters: Sequence[torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        objective: Objective,
        processes: Processes,
        *,
        dtype: str,
        clip: float,
        micro: int,
        sharded: bool,
        on_split: Callable[[int], None],
    ) -> None:
        self.model, self.parameters, self.optimiser, self.objective = model, list(parameters), optimiser, objective
        self.micro, self.sharded = micro, sharded
        self._processes, self._dtype, self._clip, self._on_split = processes, dtype, clip, on_split
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=dtype == "fp16")

    def autocast(self) -> Any:
        """Context in which fp32 weights are computed with in the run's dtype."""
        if self._dtype == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self._processes.device.type, DTYPES[self._dtype])

    def loss_of(self, rows: Sequence[Sample]) -> Tensor:
        """float32 ``[n]``: the weighted loss of each row; all rows have the same shape."""
        device = self._processes.device
        timesteps = torch.tensor([r.timestep for r in rows])
        noisy, target = self.objective.noised(
            torch.stack([r.latents for r in rows]).to(device, non_blocking=True),
            torch.stack([r.noise for r in rows]).to(device, non_blocking=True),
            timesteps,
        )
        sizes: dict[str, Tensor] = {}
        dit = self.model.dit
        if dit.config.use_additional_conditions:
            sides = torch.tensor([[r.size[1], r.size[0]] for r in rows], dtype=torch.float32, device=device)
            sizes = {"resolution": sides, "aspect": sides[:, :1] / sides[:, 1:]}
        with self.autocast():
            frozen = dit.scale_shift_table.dtype
            out = self.model(
                noisy.to(frozen), timesteps.to(device), [r.text.to(device, non_blocking=True) for r in rows], sizes
            )
        return self.objective.each(out, target, timesteps)

    def gradients(self, rows: Sequence[Sample], total: int) -> float:
        """Gradients of the mean loss over ``total`` rows of all processes; returns that loss.

        When memory runs out, the micro-batch is halved in all processes and the step is repeated.

        Raises:
            TrainingMemory: a single image does not fit.
        """
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            failed, loss = False, 0.0
            try:
                loss = self._accumulate(rows, total)
            except BaseException as e:
                if not is_out_of_memory(e) or self.sharded:
                    raise
                failed = True
            if not self._processes.any(failed):
                break
            # outside the handler: the traceback would keep the failed attempt's tensors alive
            self._halve_micro_batch(rows)
        if not self.sharded:
            self._processes.sum_gradients(self.parameters)
        return self._processes.total(loss)[0]

    def _accumulate(self, rows: Sequence[Sample], total: int) -> float:
        parts = micro_batches(rows, self.micro)
        count = self._processes.highest(len(parts)) if self.sharded else len(parts)
        # sharded gradients are means over the processes, and every process must run the same number of passes
        scale = self._processes.world if self.sharded else 1
        losses_per_part = []
        for n in range(count):
            losses = self.loss_of(parts[min(n, len(parts) - 1)])
            share = losses.sum() / total * (1 if n < len(parts) else 0)
            self.scaler.scale(share * scale).backward()  # type: ignore[no-untyped-call]
            losses_per_part.append(share.detach())
        return float(torch.stack(losses_per_part).sum())

    def _halve_micro_batch(self, rows: Sequence[Sample]) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        largest = max((r.size for r in rows), key=lambda s: s[0] * s[1])
        if self.micro <= 1:
            raise TrainingMemory(device=str(self._processes.device), width=largest[0], height=largest[1])
        self.micro = (self.micro + 1) // 2
        if self._processes.device.type == "cuda":
            torch.cuda.empty_cache()
        self._on_split(self.micro)

    def update(self, rate: float) -> float:
        """Clip the gradients and step at learning rate ``rate``; returns their norm before clipping.

        If it is not finite and there is no loss scaler, nothing is changed.
        """
        self.scaler.unscale_(self.optimiser)
        clipped = torch.nn.utils.clip_grad_norm_(self.parameters, self._clip or math.inf)
        norm = float(full_tensor(clipped))
        if not math.isfinite(norm) and not self.scaler.is_enabled():
            return norm  # the caller returns to a checkpoint
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.scaler.step(self.optimiser)  # skips a step with infinite gradients
        self.scaler.update()
        return norm
