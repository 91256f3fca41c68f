"""One process, or many under ``accelerate launch`` or ``torchrun``: ranks, devices and collective operations.

Gradients are summed in a few flat pieces after a step's last micro-batch, not by DistributedDataParallel during the
backward pass: so a process that runs out of memory can inform the others, all halve their micro-batch and none waits
forever; and with buckets of different shapes processes may have different numbers of micro-batches.
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

PIECE = 1 << 24  # elements summed at once


class Processes:
    """This process in its group.

    ``device``: where it computes; ``machine``: its machine, numbered by their first ranks.
    """

    def __init__(self, wanted: str = "auto") -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.machine, self.machines, self.machine_of, self.hosts = 0, 1, [0], [""]
        self._watch: Watch | None = None
        self._share_count = 0
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

        # the first process may check licences, and all may encode images, for hours;
        # lost processes are the watchdog's job
        options = {"timeout": timedelta(days=2)}
        state = PartialState(cpu=cpu, **options)
        self.world, self.rank, self.device = state.num_processes, state.process_index, state.device
        self._watch = Watch(self.rank, self.world)
        seen: dict[tuple[str, str], int] = {}
        self.machine_of = [seen.setdefault(p.machine, len(seen)) for p in self._watch.locations]
        self.hosts = [p.host for p in self._watch.locations]
        self.machine, self.machines = self.machine_of[self.rank], len(seen)

    @property
    def first(self) -> bool:
        """Whether this process writes the files and reports to the user."""
        return self.rank == 0

    @property
    def first_here(self) -> bool:
        """Whether this is the first process on its machine."""
        return self.rank == self.machine_of.index(self.machine)

    def dtype(self, wanted: str) -> str:
        """The dtype of computation.

        It is the configured one, else the accelerate file's mixed precision, else the device's default.
        """
        mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        if wanted == "auto" and mixed not in ("no", ""):
            if mixed not in ("bf16", "fp16"):
                raise BadValue(
                    name="mixed_precision", value=mixed, why=Phrase("the trainer computes in fp32, bf16 or fp16")
                )
            return mixed
        return choose_dtype(wanted, self.device)

    # collective operations ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the error that ended another process, if one has ended."""
        if self._watch is not None and self._watch.lost is not None:
            raise self._watch.lost

    def total(self, *values: float) -> list[float]:
        """Each value summed over all processes."""
        if self.world == 1:
            return list(values)
        self.check()
        result = torch.tensor(values, dtype=torch.float64, device=self._where(torch.float64))
        torch.distributed.all_reduce(result)
        return [float(v) for v in result.cpu()]

    def highest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.world == 1:
            return value
        self.check()
        result = torch.tensor([value], dtype=torch.int64, device=self.device)
        torch.distributed.all_reduce(result, op=torch.distributed.ReduceOp.MAX)
        return int(result)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.highest(int(flag)) > 0

    def wait(self) -> None:
        """Wait until all processes have called it."""
        self.highest(0)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, by rank; small JSON values."""
        if self._watch is None:
            return [value]
        self._share_count += 1
        name = f"share/{self._share_count}"
        self._watch.store.set(f"{name}/{self.rank}", json.dumps(value))
        self.wait()
        return [json.loads(x) for x in self._watch.store.multi_get([f"{name}/{n}" for n in range(self.world)])]

    def share(self, value: Any) -> Any:
        """Send the first process's JSON value to all."""
        if self._watch is None:
            return value
        self._share_count += 1
        if self.first:
            self._watch.store.set(f"share/{self._share_count}", json.dumps(value))
        self.wait()
        return json.loads(self._watch.store.get(f"share/{self._share_count}"))

    def share_tensors(self, tensors: Mapping[str, Tensor] | None, *, content: bool = True) -> dict[str, Tensor]:
        """Send the first process's tensors to the CPU of all, one after the other.

        Without ``content`` the others get only their shapes, on the meta device.
        """
        if self.world == 1:
            return dict(tensors or {})
        table = self.share(
            [[n, str(t.dtype).removeprefix("torch."), list(t.shape)] for n, t in (tensors or {}).items()]
        )
        result = {}
        for name, dtype, shape in table:
            if self.first and tensors is not None:
                mine = tensors[name].contiguous()
            else:
                mine = torch.empty(shape, dtype=getattr(torch, dtype), device="cpu" if content else "meta")
            if content or mine.numel() <= 1024:  # small counters are not sharded
                self.check()
                mine = torch.empty(shape, dtype=mine.dtype) if mine.is_meta else mine
                wire = mine.reshape(-1).view(torch.uint8).to(self.device)
                torch.distributed.broadcast(wire, 0)
                mine = mine if self.first else wire.cpu().view(mine.dtype).reshape(mine.shape)
            result[name] = mine
        return result

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum each parameter's gradient over all processes; a missing one counts as zero."""
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

    def on_lost(self, report: Callable[[CommonArtError], None]) -> None:
        """Set how to report when the watchdog must end a process that waits for a lost one."""
        if self._watch is not None:
            self._watch.on_lost(report)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, the loss of another process is handled only after the file being written is complete."""
        if self._watch is not None:
            self._watch.writing = True
        try:
            yield
        finally:
            if self._watch is not None:
                self._watch.writing = False

    def explain(self, error: Exception) -> CommonArtError | None:
        """The loss of another process, if that is the cause of a failed operation."""
        if self._watch is None:
            return None
        lost = self._watch.wait_lost(2 * PULSE)
        # broken connections are RuntimeErrors of torch, of several libraries
        return self._watch.silent(5 * PULSE) if lost is None and isinstance(error, RuntimeError) else lost

    def failed(self, error: CommonArtError) -> bool:
        """Inform the others that this process ends with ``error``.

        Returns whether this one must report it to the user.
        """
        if self._watch is None:
            return True
        if self._watch.lost is not None:
            reports = self._watch.reports()
        else:
            self._watch.announce(error)
            reports = self.first
            if self.first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
                time.sleep(2 * PULSE)  # the store ends with this process: let the others read it first
        self._watch.stop()
        return reports

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


def full_tensor(t: Tensor) -> Tensor:
    """Gather a sharded tensor; every process must call it."""
    return t.full_tensor() if hasattr(t, "full_tensor") else t


def like(t: Tensor, pattern: Tensor) -> Tensor:
    """``t`` sharded in the same way as ``pattern``; every process must call it. Only the first needs its content."""
    t = torch.empty_like(t, device=pattern.device) if t.is_meta else t.to(pattern.device)
    if not hasattr(pattern, "full_tensor") or t.shape != pattern.shape:
        return t
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(t, pattern.device_mesh, pattern.placements)  # type: ignore[attr-defined]
