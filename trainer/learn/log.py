"""The log of a run: its events as lines of ``log.jsonl``, and curves in TensorBoard if that is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.contract import training_events as events
from engine.contract.events import Event
from engine.contract.files import replacing

FILE = "log.jsonl"
_LOGGED = (
    events.Started,
    events.Step,
    events.HeldoutLoss,
    events.Preview,
    events.Saved,
    events.Note,
    events.Finished,
    events.Stopped,
)


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The log's lines; one that a crash cut off is skipped."""
    try:
        with (folder / FILE).open(encoding="utf-8", errors="replace") as f:
            for line in f:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue
    except OSError:
        return


class RunLog:
    """Appends events. ``step`` is where the run resumes: later lines belong to work that was lost and is repeated."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool) -> None:
        lines = [x for x in read_log(folder) if step and x.get("step", 0) <= step]
        with replacing(folder / FILE) as f:
            f.writelines(json.dumps(x, ensure_ascii=False).encode("utf-8") + b"\n" for x in lines)
        self._file = (folder / FILE).open("a", encoding="utf-8", newline="\n", buffering=1)
        self._board: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def write(self, event: Event) -> None:
        """Log the event if it is of a logged kind. A full disk does not end the run."""
        if isinstance(event, _LOGGED):
            with contextlib.suppress(OSError, ValueError):
                self._file.write(events.encode(event) + "\n")
        if self._board is None:
            return
        with contextlib.suppress(OSError):
            if isinstance(event, events.Step):
                for name in ("loss", "lr", "norm", "speed"):
                    self._board.add_scalar(f"train/{name}", getattr(event, name), event.step)
            elif isinstance(event, events.HeldoutLoss):
                self._board.add_scalar("heldout/loss", event.loss, event.step)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        if self._board is not None:
            self._board.close()
