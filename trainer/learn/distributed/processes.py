"""One process, or many under ``accelerate launch`` or ``torchrun``: who does what, and sums over all.

Gradients are summed in a few flat pieces after a step's last micro-batch, not by DistributedDataParallel during backward: then
a process that runs out of memory can tell the others, all halve their micro-batch and nobody waits for ever; and buckets of
different shapes may give processes different numbers of micro-batches.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn

from engine.backends.pytorch.devices import choose_device, choose_dtype
from engine.contract.errors import BadValue, CommonArtError, Phrase
from trainer.learn.distributed.watchdog import PULSE, Watch

PIECE = 1 << 24  # numbers summed at once


class Processes:
    """This process among its fellows. ``device`` is where it computes; ``machine`` counts machines from 0 in order of their first rank."""

    def __init__(self, wanted: str = "auto") -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.machine, self.machines, self.machine_of, self.hosts = 0, 1, [0], [""]
        self._watch: Watch | None = None
        self._told = 0
        cpu = (
            wanted == "cpu"
            or not torch.cuda.is_available()
            or os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
        )
        if self.world == 1:
            self.device = choose_device(
                "cpu" if wanted == "auto" and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true" else wanted
            )
            return
        from accelerate import PartialState

        # the first process may check licences, and all may encode pictures, for hours; who is lost is noticed by the watch
        options = {"timeout": timedelta(days=2)}
        state = PartialState(cpu=cpu, **options)
        self.world, self.rank, self.device = state.num_processes, state.process_index, state.device
        self._watch = Watch(self.rank, self.world)
        seen: dict[tuple[str, str], int] = {}
        self.machine_of = [seen.setdefault(p.machine, len(seen)) for p in self._watch.places]
        self.hosts = [p.host for p in self._watch.places]
        self.machine, self.machines = self.machine_of[self.rank], len(seen)

    @property
    def first(self) -> bool:
        """Is this the one that writes files and speaks?"""
        return self.rank == 0

    @property
    def first_here(self) -> bool:
        """Is this the first on its machine?"""
        return self.rank == self.machine_of.index(self.machine)

    def dtype(self, wanted: str) -> str:
        """What is computed in: the run's word, else the accelerate file's mixed precision, else what suits the device."""
        mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        if wanted == "auto" and mixed not in ("no", ""):
            if mixed not in ("bf16", "fp16"):
                raise BadValue(
                    name="mixed_precision", value=mixed, why=Phrase("the trainer computes in fp32, bf16 or fp16")
                )
            return mixed
        return choose_dtype(wanted, self.device)

    # together --------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises what ended another process, if one has ended."""
        if self._watch is not None and self._watch.lost is not None:
            raise self._watch.lost

    def total(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.world == 1:
            return list(values)
        self.check()
        found = torch.tensor(values, dtype=torch.float64, device=self._where(torch.float64))
        torch.distributed.all_reduce(found)
        return [float(v) for v in found.cpu()]

    def highest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.world == 1:
            return value
        self.check()
        found = torch.tensor([value], dtype=torch.int64, device=self.device)
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
        return int(found)

    def any(self, flag: bool) -> bool:
        """Is it so in any process?"""
        return self.highest(int(flag)) > 0

    def wait(self) -> None:
        """Until all are here."""
        self.highest(0)

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank; small ones that JSON can hold."""
        if self._watch is None:
            return [value]
        self._told += 1
        name = f"told/{self._told}"
        self._watch.store.set(f"{name}/{self.rank}", json.dumps(value))
        self.wait()
        return [json.loads(x) for x in self._watch.store.multi_get([f"{name}/{n}" for n in range(self.world)])]

    def share(self, value: Any) -> Any:
        """The first process's value, in all; one that JSON can hold."""
        if self._watch is None:
            return value
        self._told += 1
        if self.first:
            self._watch.store.set(f"told/{self._told}", json.dumps(value))
        self.wait()
        return json.loads(self._watch.store.get(f"told/{self._told}"))

    def share_tensors(self, tensors: Mapping[str, Tensor] | None, *, content: bool = True) -> dict[str, Tensor]:
        """The first process's tensors, on the CPU of all, one after the other; without ``content`` only their shapes, on the meta device."""
        if self.world == 1:
            return dict(tensors or {})
        table = self.share(
            [[n, str(t.dtype).removeprefix("torch."), list(t.shape)] for n, t in (tensors or {}).items()]
        )
        found = {}
        for name, dtype, shape in table:
            if self.first and tensors is not None:
                mine = tensors[name].contiguous()
            else:
                mine = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu" if content else "meta")
            if content or mine.numel() <= 1024:  # counters are no patterns for sharding
                self.check()
                mine = torch.empty(shape, dtype=mine.dtype) if mine.is_meta else mine
                wire = mine.reshape(-1).view(torch.uint8).to(self.device)
                torch.distributed.broadcast(wire, 0)
                mine = mine if self.first else wire.cpu().view(mine.dtype).reshape(mine.shape)
            found[name] = mine
        return found

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each parameter's gradient summed over all processes; none counts as zero."""
        if self.world == 1:
            return
        self.check()
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

    # the end ---------------------------------------------------------------------------------------------------------

    def on_lost(self, speak: Callable[[CommonArtError], None]) -> None:
        """How the user is told, where the watch must end a process that waits for a lost one."""
        if self._watch is not None:
            self._watch.on_lost(speak)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, the loss of another process waits until what is being written is whole."""
        if self._watch is not None:
            self._watch.writing = True
        try:
            yield
        finally:
            if self._watch is not None:
                self._watch.writing = False

    def explain(self, error: Exception) -> CommonArtError | None:
        """The loss of another process, if that is what lies behind a failed operation."""
        if self._watch is None:
            return None
        lost = self._watch.wait_lost(2 * PULSE)
        # broken connections are RuntimeErrors of torch, of several libraries
        return self._watch.silent(5 * PULSE) if lost is None and isinstance(error, RuntimeError) else lost

    def failed(self, error: CommonArtError) -> bool:
        """This process ends with ``error``: the others are told. Returns whether it is for this one to tell the user."""
        if self._watch is None:
            return True
        if self._watch.lost is not None:
            speaks = self._watch.speaker()
        else:
            self._watch.announce(error)
            speaks = self.first
            if self.first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
                time.sleep(2 * PULSE)  # the store dies with this process: the others hear first
        self._watch.stop()
        return speaks

    def close(self) -> None:
        """Leave the group."""
        if self._watch is not None:
            self._watch.stop()
        if self.world > 1 and torch.distributed.is_initialized() and not (self._watch and self._watch.lost):
            with contextlib.suppress(Exception):  # the others may be gone
                torch.distributed.destroy_process_group()


def _sum_flat(gradients: list[Tensor]) -> None:
    flat = torch.cat([g.reshape(-1) for g in gradients])
    torch.distributed.all_reduce(flat)
    start = 0
    for g in gradients:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()


def whole(t: Tensor) -> Tensor:
    """A sharded tensor gathered; every process must ask."""
    return t.full_tensor() if hasattr(t, "full_tensor") else t


def like(t: Tensor, pattern: Tensor) -> Tensor:
    """``t`` sharded as ``pattern`` is; every process must ask. Only the first need hold what is in it."""
    t = torch.empty_like(t, device=pattern.device) if t.is_meta else t.to(pattern.device)
    if not hasattr(pattern, "full_tensor") or t.shape != pattern.shape:
        return t
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(t, pattern.device_mesh, pattern.placements)  # type: ignore[attr-defined]
