"""Timesteps fitted for few steps by ``python -m benchmarks.fit_schedule``, stored as readable JSON.

A file says for which noise schedule, prediction and sampler it was fitted, on which denoiser, and the timesteps for
some numbers of steps. The program's own are in ``resources/presets/schedules``; the data folder's ``schedules`` takes
precedence. Counts between fitted ones are interpolated from the next larger one; others, and other noise schedules,
keep the sampler's usual spacing.
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

#: the noise schedule that a file was fitted for, with the keys of a scheduler's config
NOISE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
#: samplers that accept given timesteps; the others have a spacing of their own, or need equal strides
ACCEPTING_SAMPLERS = ("dpm++2m", "dpm++3m", "unipc", "euler", "heun", "ddim", "deis", "lms")
#: timesteps fitted for one of these suit the others: multistep solvers in log-SNR that end without noise. Elsewhere a
#: foreign fit loses up to 3.7 dB (docs/performance.md)
INTERCHANGEABLE_SAMPLERS = ("dpm++2m", "dpm++3m", "unipc")
_MAX_BYTES = 1 << 20  # of a file
_MAX_FILES = 200  # read in a folder


@dataclass(frozen=True)
class FittedTimesteps:
    """One file: ``steps`` maps a number of steps to its descending timesteps."""

    noise: dict[str, Any]
    sampler: str
    denoiser: str  # SHA-256 of the weights it was fitted on
    steps: dict[int, tuple[int, ...]]

    def timesteps(self, steps: int) -> tuple[int, ...]:
        """For ``steps`` steps; empty outside the range of fitted step counts."""
        if not min(self.steps) <= steps <= max(self.steps):
            return ()
        fitted = self.steps[min(n for n in self.steps if n >= steps)]
        # a step's position is its share of the way; the end of the way is the level without noise
        at = np.interp(np.arange(steps) / steps, np.arange(len(fitted) + 1) / len(fitted), [*fitted, 0])
        timesteps = tuple(round(float(t)) for t in at)
        return timesteps if all(a > b for a, b in pairwise(timesteps)) else ()


def read(path: Path) -> FittedTimesteps:
    """One file.

    Raises:
        ValueError, OSError: it is invalid or cannot be read.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError("it is too large")
    data = json.loads(path.read_text(encoding="utf-8"))
    if (
        not isinstance(data, dict)
        or data.get("format") != 1
        or not isinstance(data.get("noise"), dict)
        or not isinstance(data.get("steps"), dict)
    ):
        raise ValueError("not a schedule of this version")
    levels = data["noise"].get("num_train_timesteps")
    steps: dict[int, tuple[int, ...]] = {}
    for count, one in data["steps"].items():
        timesteps = tuple(one["timesteps"]) if isinstance(one, dict) and isinstance(one.get("timesteps"), list) else ()
        descending = all(type(t) is int for t in timesteps) and all(a > b for a, b in pairwise(timesteps))
        if (
            not str(count).isdigit()
            or len(timesteps) != int(count)
            or not timesteps
            or type(levels) is not int
            or not descending
            or not 0 < timesteps[-1] <= timesteps[0] < levels
        ):
            raise ValueError(f"its timesteps for {count} steps are invalid")
        steps[int(count)] = timesteps
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
        return None  # a broken file counts as absent: the usual spacing is used, with a note


def installed() -> list[FittedTimesteps]:
    """All files that can be read, the user's before the program's."""
    files = []
    for folder in (home() / "schedules", resources() / "presets" / "schedules"):
        for path in sorted(folder.glob("*.json"))[:_MAX_FILES]:
            one = _read(path, path.stat().st_mtime_ns)
            if one is not None:
                files.append(one)
    return files


def find(schedule: Schedule, denoiser: str, sampler: str, steps: int) -> tuple[int, ...]:
    """Fitted timesteps for a model with this noise schedule and SHA-256; empty where there are none.

    Those of its own weights come first, then any of the same noise and prediction; those of the same sampler before
    interchangeable ones.
    """
    fitting = [f for f in for_noise(schedule) if fits_request(f, sampler) and f.timesteps(steps)]
    fitting.sort(key=lambda f: (f.denoiser != denoiser, f.sampler != sampler))  # stable: the user's own stay first
    return fitting[0].timesteps(steps) if fitting else ()


def fits_request(fitted: FittedTimesteps, sampler: str) -> bool:
    """Whether its timesteps suit this sampler."""
    interchangeable = fitted.sampler in INTERCHANGEABLE_SAMPLERS and sampler in INTERCHANGEABLE_SAMPLERS
    return sampler in ACCEPTING_SAMPLERS and (fitted.sampler == sampler or interchangeable)


def for_noise(schedule: Schedule) -> list[FittedTimesteps]:
    """The files fitted for the same noise and prediction, whatever the model."""
    return [f for f in installed() if all(_same(f.noise[k], getattr(schedule, k)) for k in NOISE)]


def _same(a: Any, b: Any) -> bool:
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return math.isclose(a, b, rel_tol=1e-6) if numbers else a == b
