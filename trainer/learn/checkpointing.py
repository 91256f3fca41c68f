"""When a run saves and which checkpoints it retains: the newest, and the one with the lowest held-out loss."""

from __future__ import annotations

from typing import Any

from engine.contract import training_events as events
from engine.contract.errors import BrokenWeights
from trainer.config import Config
from trainer.learn.checkpoint import Checkpoints, State, shared
from trainer.learn.distributed.processes import Processes
from trainer.learn.distributed.sharding import Sharding
from trainer.learn.reporter import Reporter
from trainer.learn.train_state import TrainState


class CheckpointHook:
    """Saves and finds the checkpoints of one run; ``losses`` maps the step of a checkpoint to its held-out loss."""

    def __init__(self, config: Config, checkpoints: Checkpoints, processes: Processes, reporter: Reporter) -> None:
        self._config, self._checkpoints = config, checkpoints
        self._processes, self._reporter = processes, reporter
        self.losses: dict[int, float] = {}

    def restore(self, facts: dict[str, Any]) -> None:
        """Take ``losses`` over from a checkpoint's facts; without any they are empty."""
        self.losses = {int(k): float(v) for k, v in facts.get("bests", {}).items()}

    def save(self, train_state: TrainState, step: int, loss: float | None, facts: dict[str, Any]) -> None:
        """Write a checkpoint and remove the superseded ones; every process must call it.

        Args:
            loss: the held-out loss at this step, if it was evaluated.

        Raises:
            NoRoom, DiskFull, OutputFolder
        """
        if loss is not None:
            self.losses[step] = loss
        state = train_state.state(step, facts | {"bests": self.losses})
        if self._processes.first:
            with self._processes.writing():
                path = self._checkpoints.save(state)
                self._checkpoints.prune(
                    self._config.checkpoint.keep, self.best() if self._config.checkpoint.best else None
                )
            self._reporter.emit(events.Saved(step=step, path=str(path)))

    def best(self) -> int | None:
        """The step of the retained checkpoint with the lowest held-out loss."""
        losses = {s: self.losses[s] for s in self._checkpoints.steps() if s in self.losses}
        return min(losses, key=lambda s: (losses[s], s)) if losses else None

    def newest(self, dtype: str) -> State | None:
        """The newest valid checkpoint, in every process; damaged ones are reported and skipped."""

        def damaged(e: BrokenWeights) -> None:
            self._reporter.note(
                "A damaged checkpoint is passed over: {path} ({why})", path=str(e.fields["path"]), why=e.fields["why"]
            )

        newest = self._checkpoints.newest(damaged) if self._processes.first else None
        return shared(newest, self._processes, content=not Sharding.of(self._config, dtype).on)
