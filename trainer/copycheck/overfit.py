"""A run's training loss against its held-out loss: once the second rises while the first falls, the run learns by heart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.errors import BadFile, Phrase, system_words

RISE = 0.02  # held-out loss this far above its lowest is an alarm: less is noise of a small held-out set
_TAIL = 0.1


def overfit(path: Path) -> dict[str, Any]:
    """What ``log.jsonl`` of a run (or the run's folder) tells.

    ``rise`` is the last held-out loss over the lowest, less 1; ``fall`` how much the training loss fell since that step, as a
    share. ``alarm`` where the first is above 2 % and the second above 0; None where there are fewer than three held-out losses.

    Raises:
        BadFile
    """
    path = path / "log.jsonl" if path.is_dir() else path
    steps: list[tuple[int, float]] = []
    held: list[tuple[int, float]] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as f:
            for line in f:
                try:
                    row = json.loads(line)
                    kind, pair = row.get("event"), (int(row["step"]), float(row["loss"]))
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
                if np.isfinite(pair[1]):
                    if kind == "step":
                        steps.append(pair)
                    elif kind == "heldout":
                        held.append(pair)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    if not steps:
        raise BadFile(path=path, why=Phrase("it has no training losses; give the log.jsonl of a run"))
    told: dict[str, Any] = {
        "steps": steps[-1][0],
        "heldout": [list(h) for h in held],
        "training": _mean(steps, steps[-1][0]),
        "alarm": None,
    }
    if len(held) >= 3:
        best, last = min(held, key=lambda h: h[1]), held[-1]
        before = _mean(steps, best[0])
        told |= {
            "best_step": best[0],
            "best": best[1],
            "last": last[1],
            "rise": last[1] / best[1] - 1 if best[1] > 0 else 0.0,
            "fall": 1 - told["training"] / before if before > 0 else 0.0,
        }
        told["alarm"] = bool(told["rise"] > RISE and told["fall"] > 0)
    return told


def _mean(steps: list[tuple[int, float]], at: int) -> float:
    """The training loss around a step: mean of the last tenth of the run up to it."""
    width = max(1, round(len(steps) * _TAIL))
    return float(np.mean([loss for step, loss in steps if step <= at][-width:] or [steps[0][1]]))
