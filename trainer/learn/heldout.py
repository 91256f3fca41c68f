"""The loss on pictures that were set aside, and the alarm when it parts from the training's."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer.learn.processes import Processes
from trainer.learn.rows import Row, micro_batches
from trainer.learn.step import Stepper


@torch.no_grad()
def evaluate(stepper: Stepper, rows: Sequence[Row], processes: Processes) -> float:
    """The mean weighted loss over all rows, which are shared out among the processes."""
    mine = rows[processes.rank::processes.world]
    parts = micro_batches(mine, max(1, stepper.micro))
    stepper.model.eval()
    try:
        total = 0.0
        for n in range(processes.highest(len(parts))):
            losses = stepper.loss_of(parts[n] if n < len(parts) else [rows[0]])  # sharded weights: all take part
            total += float(losses.sum()) if n < len(parts) else 0.0
    finally:
        stepper.model.train()
    return processes.total(total)[0] / len(rows)


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
