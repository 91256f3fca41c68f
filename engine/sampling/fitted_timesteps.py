"""Timesteps fitted for few steps: made by ``python -m benchmarks.fit_schedule``, kept as JSON that people can read.

A file says for which noise schedule, prediction and sampler it was fitted, on which denoiser, and the timesteps for some numbers of steps.
The program's own lie in ``resources/presets/schedules``; the data folder's ``schedules`` is looked at first. Counts between fitted ones are
read off the next larger one; others, and other noise schedules, keep the sampler's usual spacing.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.paths import home, resources
from engine.sampling.schedule import Schedule

#: the noise that a file was fitted for, in the words of a scheduler's config
NOISE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
#: samplers that draw over given timesteps; the others have a spacing of their own, or need equal strides
TAKES = ("dpm++2m", "dpm++3m", "unipc", "euler", "heun", "ddim", "deis", "lms")
#: what was fitted for one of these serves the others: multistep solvers in log-SNR that end without noise. Elsewhere a foreign fit loses up to
#: 3.7 dB (docs/performance.md)
KIN = ("dpm++2m", "dpm++3m", "unipc")
_MOST = 1 << 20  # bytes of a file
_FILES = 200  # looked at in a folder


@dataclass(frozen=True)
class FittedTimesteps:
    """One file: ``steps`` maps a number of steps to its timesteps, falling."""

    noise: dict[str, Any]
    sampler: str
    denoiser: str  # SHA-256 of the weights it was fitted on
    steps: dict[int, tuple[int, ...]]

    def timesteps(self, steps: int) -> tuple[int, ...]:
        """For ``steps`` steps; empty where none that are as many or more were fitted, or it is below the fewest."""
        if not min(self.steps) <= steps <= max(self.steps):
            return ()
        known = self.steps[min(n for n in self.steps if n >= steps)]
        # a step's place is its share of the way; at the end of the way lies the level without noise
        at = np.interp(np.arange(steps) / steps, np.arange(len(known) + 1) / len(known), [*known, 0])
        found = tuple(round(float(t)) for t in at)
        return found if all(a > b for a, b in pairwise(found)) else ()


def read(path: Path) -> FittedTimesteps:
    """One file.

    Raises:
        ValueError, OSError: it is none.
    """
    if path.stat().st_size > _MOST:
        raise ValueError("it is too large")
    data = json.loads(path.read_text(encoding="utf-8"))
    if (
        not isinstance(data, dict)
        or data.get("format") != 1
        or not isinstance(data.get("noise"), dict)
        or not isinstance(data.get("steps"), dict)
    ):
        raise ValueError("it is no schedule of this version")
    levels = data["noise"].get("num_train_timesteps")
    steps: dict[int, tuple[int, ...]] = {}
    for count, one in data["steps"].items():
        found = tuple(one["timesteps"]) if isinstance(one, dict) and isinstance(one.get("timesteps"), list) else ()
        falls = all(type(t) is int for t in found) and all(a > b for a, b in pairwise(found))
        if (
            not str(count).isdigit()
            or len(found) != int(count)
            or not found
            or type(levels) is not int
            or not falls
            or not 0 < found[-1] <= found[0] < levels
        ):
            raise ValueError(f"its timesteps for {count} steps make no sense")
        steps[int(count)] = found
    if not steps or not isinstance(data.get("sampler"), str):
        raise ValueError("it holds no timesteps")
    on = data.get("fitted_on")
    return FittedTimesteps(
        {k: data["noise"].get(k) for k in NOISE},
        data["sampler"],
        str(on.get("denoiser", "")) if isinstance(on, dict) else "",
        steps,
    )


@lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> FittedTimesteps | None:
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # a broken file is as none: the usual spacing is used, and said


def known() -> list[FittedTimesteps]:
    """All files that can be read, the user's before the program's."""
    found = []
    for folder in (home() / "schedules", resources() / "presets" / "schedules"):
        for path in sorted(folder.glob("*.json"))[:_FILES]:
            one = _read(path, path.stat().st_mtime_ns)
            if one is not None:
                found.append(one)
    return found


def find(schedule: Schedule, denoiser: str, sampler: str, steps: int) -> tuple[int, ...]:
    """Fitted timesteps for a model with this noise schedule and SHA-256; empty where there are none.

    Those of its own weights come first, then any of the same noise and prediction; those of the same sampler before its kin.
    """
    fitting = [f for f in for_noise(schedule) if fits_request(f, sampler) and f.timesteps(steps)]
    fitting.sort(key=lambda f: (f.denoiser != denoiser, f.sampler != sampler))  # stable: the user's own stay first
    return fitting[0].timesteps(steps) if fitting else ()


def fits_request(fitted: FittedTimesteps, sampler: str) -> bool:
    """Whether its timesteps are good for this sampler."""
    return sampler in TAKES and (fitted.sampler == sampler or (fitted.sampler in KIN and sampler in KIN))


def for_noise(schedule: Schedule) -> list[FittedTimesteps]:
    """The files fitted for the same noise and prediction, whatever the model."""
    return [f for f in known() if all(_same(f.noise[k], getattr(schedule, k)) for k in NOISE)]


def _same(a: Any, b: Any) -> bool:
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return math.isclose(a, b, rel_tol=1e-6) if numbers else a == b
