"""The loss on pictures that were set aside, and the alarm when it parts from the training's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.contract.errors import TrainingMemory
from trainer.learn.data.batches import Sample, micro_batches
from trainer.learn.distributed.processes import Processes
from trainer.learn.train_step import TrainStep, is_out_of_memory


def evaluate(stepper: TrainStep, rows: Sequence[Sample], processes: Processes) -> float:
    """The mean weighted loss over all rows, which are shared out among the processes; in smaller parts where memory is short.

    Raises:
        TrainingMemory: one picture alone does not fit.
    """
    most = max(1, stepper.micro)
    while True:
        failed, total = False, 0.0
        try:
            total = _sum(stepper, rows, processes, most)
        except BaseException as e:
            if not is_out_of_memory(e) or stepper.sharded:
                raise
            failed = True
        if not processes.any(failed):
            return processes.total(total)[0] / len(rows)
        if most == 1:
            width, height = max((r.size for r in rows), key=lambda s: s[0] * s[1])
            raise TrainingMemory(device=str(processes.device), width=width, height=height)
        most = (most + 1) // 2


@torch.no_grad()
def _sum(stepper: TrainStep, rows: Sequence[Sample], processes: Processes, most: int) -> float:
    """Of this process's rows."""
    parts = micro_batches(rows[processes.rank :: processes.world], most)
    count = processes.highest(len(parts)) if stepper.sharded else len(parts)
    stepper.model.eval()
    try:
        total = 0.0
        for n in range(count):  # where weights are sharded all take part in every one
            losses = stepper.loss_of(parts[n] if n < len(parts) else [rows[0]])
            total += float(losses.sum()) if n < len(parts) else 0.0
    finally:
        stepper.model.train()
    return total


def overfits(history: Sequence[tuple[int, float, float]], window: int) -> bool:
    """Over the last ``window`` evaluations of (step, training loss, held-out loss): does the held-out loss rise on the whole,
    at least one in a hundred above its best, while the training loss falls?"""
    if len(history) < window:
        return False
    last = history[-window:]
    best = min(h for _, _, h in history)
    return _slope([h for _, _, h in last]) > 0 and _slope([t for _, t, _ in last]) < 0 and last[-1][2] > best * 1.01


def _slope(values: Sequence[float]) -> float:
    """Of the straight line through equally spaced values, by least squares, but for a positive factor."""
    middle = (len(values) - 1) / 2
    return sum((n - middle) * v for n, v in enumerate(values))
