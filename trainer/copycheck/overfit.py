"""Detect overfitting in a run's log: the held-out loss rises while the training loss falls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.errors import BadFile, Phrase, system_words

RISE = 0.02  # relative rise of the held-out loss that is an alarm; less is noise of a small held-out set
_TAIL = 0.1


def overfit(path: Path) -> dict[str, Any]:
    """Evaluate the ``log.jsonl`` of a run (or the run's folder).

    ``rise`` is the last held-out loss divided by the lowest, minus 1; ``fall`` the relative decrease of the training loss
    since that step. ``alarm`` is set if the first is above 2 % and the second above 0, and None with fewer than three
    held-out losses.

    Raises:
        BadFile
    """
    path = path / "log.jsonl" if path.is_dir() else path
    steps: list[tuple[int, float]] = []
    heldout: list[tuple[int, float]] = []
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
                        heldout.append(pair)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    if not steps:
        raise BadFile(path=path, why=Phrase("it has no training losses; give the log.jsonl of a run"))
    result: dict[str, Any] = {
        "steps": steps[-1][0],
        "heldout": [list(h) for h in heldout],
        "training": _mean(steps, steps[-1][0]),
        "alarm": None,
    }
    if len(heldout) >= 3:
        best, last = min(heldout, key=lambda h: h[1]), heldout[-1]
        before = _mean(steps, best[0])
        result |= {
            "best_step": best[0],
            "best": best[1],
            "last": last[1],
            "rise": last[1] / best[1] - 1 if best[1] > 0 else 0.0,
            "fall": 1 - result["training"] / before if before > 0 else 0.0,
        }
        result["alarm"] = bool(result["rise"] > RISE and result["fall"] > 0)
    return result


def _mean(steps: list[tuple[int, float]], at: int) -> float:
    """The training loss around a step: mean of the last tenth of the run up to it."""
    width = max(1, round(len(steps) * _TAIL))
    return float(np.mean([loss for step, loss in steps if step <= at][-width:] or [steps[0][1]]))
