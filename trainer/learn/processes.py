"""One process, or many under ``accelerate launch`` or ``torchrun``: who does what, and sums over all.

Gradients are summed in a few flat pieces after a step's last micro-batch, not by DistributedDataParallel during backward: then
a process that runs out of memory can tell the others, all halve their micro-batch and nobody waits for ever; and buckets of
different shapes may give processes different numbers of micro-batches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from datetime import timedelta

import torch
from torch import Tensor, nn

from engine.backends.pytorch.load import choose_device

PIECE = 1 << 24  # numbers summed at once


class Processes:
    """This process among its fellows. ``device`` is where it computes."""

    def __init__(self, wanted: str = "auto") -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.world == 1:
            self.device = choose_device(wanted)
            return
        from accelerate import PartialState

        # the first process may check licences, and all may encode pictures, for hours
        options = {"timeout": timedelta(days=2)}
        cpu = wanted == "cpu" or not torch.cuda.is_available()
        state = PartialState(cpu=cpu, **options)
        self.world, self.rank, self.device = state.num_processes, state.process_index, state.device

    @property
    def first(self) -> bool:
        """Is this the one that writes files and speaks?"""
        return self.rank == 0

    def total(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.world == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64, device=self._where(torch.float64))
        torch.distributed.all_reduce(found)
        return [float(v) for v in found.cpu()]

    def highest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.world == 1:
            return value
        found = torch.tensor([value], dtype=torch.int64, device=self.device)
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
        return int(found)

    def any(self, flag: bool) -> bool:
        """Is it so in any process?"""
        return self.highest(int(flag)) > 0

    def wait(self) -> None:
        """Until all are here."""
        self.highest(0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each parameter's gradient summed over all processes; none counts as zero."""
        if self.world == 1:
            return
        piece: list[Tensor] = []
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            piece.append(p.grad)
            if sum(g.numel() for g in piece) >= PIECE:
                _sum_flat(piece)
                piece = []
        if piece:
            _sum_flat(piece)

    def _where(self, dtype: torch.dtype) -> torch.device:
        return torch.device("cpu") if self.device.type == "mps" and dtype == torch.float64 else self.device

    def close(self) -> None:
        """Leave the group."""
        if self.world > 1 and torch.distributed.is_initialized():
            with contextlib.suppress(Exception):  # the others may be gone
                torch.distributed.destroy_process_group()


def _sum_flat(gradients: list[Tensor]) -> None:
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    start = 0
    for g in gradients:
        g.copy_(flat[start:start + g.numel()].view_as(g))
        start += g.numel()


def whole(t: Tensor) -> Tensor:
    """A sharded tensor gathered; every process must ask."""
    return t.full_tensor() if hasattr(t, "full_tensor") else t


def like(t: Tensor, pattern: Tensor) -> Tensor:
    """``t`` sharded as ``pattern`` is; every process must ask."""
    if not hasattr(pattern, "full_tensor") or t.shape != pattern.shape:
        return t.to(pattern.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(t.to(pattern.device), pattern.device_mesh, pattern.placements)  # type: ignore[attr-defined]
