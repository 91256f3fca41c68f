"""Validation: the loss on held-out images, and an alarm when it rises while the training loss falls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from engine.contract import training_events as events
from engine.contract.errors import TrainingMemory
from trainer.config import Config
from trainer.learn.data.batches import Sample, micro_batches
from trainer.learn.distributed.processes import Processes
from trainer.learn.reporter import Reporter
from trainer.learn.setup import RunSetup
from trainer.learn.train_state import TrainState
from trainer.learn.train_step import TrainStep, is_out_of_memory


class ValidationHook:
    """The validations of one run. ``history``: step, mean training loss since the previous one, held-out loss."""

    def __init__(self, config: Config, processes: Processes, reporter: Reporter) -> None:
        self._config, self._processes, self._reporter = config, processes, reporter
        self.history: list[tuple[int, float, float]] = []
        self._since = [0.0, 0.0]  # sum and count of the training losses since the last validation
        self._alarmed = False

    def restore(self, facts: dict[str, Any]) -> None:
        """Continue from a checkpoint's facts; without any, from the beginning."""
        self.history = [(int(s), float(t), float(h)) for s, t, h in facts.get("history", [])]
        self._since = [float(x) for x in facts.get("since", (0, 0))]

    def facts(self) -> dict[str, Any]:
        """What a checkpoint saves of it, JSON-ready."""
        return {"history": self.history, "since": self._since}

    def add_training_loss(self, loss: float) -> None:
        """Count one step's training loss."""
        self._since = [self._since[0] + loss, self._since[1] + 1]

    def loss_at(self, step: int) -> float | None:
        """The held-out loss, if the last validation was at ``step``."""
        return self.history[-1][2] if self.history and self.history[-1][0] == step else None

    def run(self, step: int, train_state: TrainState, setup: RunSetup) -> None:
        """Validate unless it was done at this step, and report; every process must call it.

        Raises:
            TrainingMemory: a single image does not fit.
        """
        if self.loss_at(step) is not None:
            return
        rows = setup.batches.heldout(setup.heldout, setup.objective.count)
        with train_state.as_result():
            loss = evaluate(train_state.stepper, rows, self._processes)
        # before the first step there is no training loss: the model has not seen an image yet
        mean = self._since[0] / self._since[1] if self._since[1] else loss
        best = loss < min((h for _, _, h in self.history), default=math.inf)
        self._since = [0.0, 0.0]
        self.history.append((step, mean, loss))
        self._reporter.emit(events.HeldoutLoss(step=step, loss=loss, best=best))
        alarm = overfits(self.history, self._config.heldout.window)
        if alarm and not self._alarmed:
            self._reporter.note(
                "The held-out loss rises while the training loss falls: "
                "the model begins to learn its images by heart (best at step {step})",
                step=min(self.history, key=lambda x: x[2])[0],
            )
        self._alarmed = alarm


def evaluate(stepper: TrainStep, rows: Sequence[Sample], processes: Processes) -> float:
    """The mean weighted loss over all rows, which are split among the processes; in smaller batches if memory is short.

    Raises:
        TrainingMemory: a single image does not fit.
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
    """Sum of the losses of this process's rows."""
    parts = micro_batches(rows[processes.rank :: processes.world], most)
    count = processes.highest(len(parts)) if stepper.sharded else len(parts)
    stepper.model.eval()
    try:
        total = 0.0
        for n in range(count):  # with sharded weights all processes take part in every forward pass
            losses = stepper.loss_of(parts[n] if n < len(parts) else [rows[0]])
            total += float(losses.sum()) if n < len(parts) else 0.0
    finally:
        stepper.model.train()
    return total


def overfits(history: Sequence[tuple[int, float, float]], window: int) -> bool:
    """Whether the held-out loss rises while the training loss falls over the last ``window`` of ``history``.

    ``history`` is (step, training loss, held-out loss). Trends are least-squares slopes, and the last held-out loss
    must be at least 1 % above the lowest.
    """
    if len(history) < window:
        return False
    last = history[-window:]
    best = min(h for _, _, h in history)
    return _slope([h for _, _, h in last]) > 0 and _slope([t for _, t, _ in last]) < 0 and last[-1][2] > best * 1.01


def _slope(values: Sequence[float]) -> float:
    """Least-squares slope of equally spaced values, up to a positive factor."""
    middle = (len(values) - 1) / 2
    return sum((n - middle) * v for n, v in enumerate(values))
