"""The sampling plan of an image: what a quality preset resolved to when the image was generated, as plain values.

A preset's definition may change between versions; an image's recipe stores the plan itself, so that the same pixels can
be generated again. A plan is a static rule: it addresses predictions by their index alone and is the same for every
image of a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.contract.errors import BadValue, Phrase

WEIGHTS = ("exact", "int8", "fp8")
#: share of the steps and end of the guided part, of the presets at the time when recipes did not store a plan
_LEGACY_PRESETS = {"balanced": (0.8, 0.6), "fast": (0.4, 0.7), "draft": (0.25, 0.7)}
#: keys of version 0.1.0 for a step cache, which no preset ever used; see docs/decisions.md
_STEP_CACHE_KEYS = frozenset({"cached", "blocks", "order"})


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """``preset``, ``sampler`` and ``asked`` (steps) identify the request that the plan belongs to.

    The rest is what is done.

    Predictions are counted from 0; a sampler may take more of them than steps (``predictions_of``). Those from
    ``guided[0]`` up to ``guided[1]`` have a negative half. ``timesteps`` are the sampler's own where none are given.
    ``weights`` are those of the denoiser's blocks. With ``halves``, guided predictions are computed for half of the
    micro-batch at a time, unguided ones for all of it.

    Raises:
        BadValue: invalid values, as a recipe from elsewhere may have them.
    """

    preset: str
    sampler: str
    asked: int
    steps: int
    guided: tuple[int, int]
    timesteps: tuple[int, ...] = ()
    weights: str = "exact"
    halves: bool = False

    def __post_init__(self) -> None:
        if not self._is_valid():
            raise _invalid()

    def _is_valid(self) -> bool:
        if not all(isinstance(getattr(self, k), str) for k in ("preset", "sampler", "weights")):
            return False
        if not isinstance(self.halves, bool) or self.weights not in WEIGHTS:
            return False
        if not _are_counts((self.asked, self.steps)) or not 1 <= self.steps <= self.asked <= 1000:
            return False
        if not all(isinstance(v, tuple) and _are_counts(v) for v in (self.guided, self.timesteps)):
            return False
        if len(self.guided) != 2 or self.guided[0] > self.guided[1]:
            return False
        descending = all(a > b for a, b in zip(self.timesteps, self.timesteps[1:], strict=False))
        return len(self.timesteps) in (0, self.steps) and descending

    def matches(self, preset: str, sampler: str, asked: int) -> bool:
        """Whether it was resolved for such a request."""
        return (self.preset, self.sampler, self.asked) == (preset, sampler, asked)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without defaults."""
        defaults = {f.name: f.default for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v != defaults[k]}

    @classmethod
    def from_dict(cls, data: Any) -> SamplingPlan:
        """The inverse of ``to_dict``.

        Raises:
            BadValue: it is not a plan, or one that skips blocks by the step cache of version 0.1.0.
        """
        allowed = {f.name for f in fields(cls)} | _STEP_CACHE_KEYS
        required = {"preset", "sampler", "asked", "steps", "guided"}
        if not isinstance(data, dict) or not required <= data.keys() <= allowed:
            raise _invalid()
        if data.get("cached", []) not in ([], ()):
            raise BadValue(
                name="preset_did",
                value="cached",
                why=Phrase("it skips blocks by a step cache, which was removed after version 0.1.0"),
            )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k not in _STEP_CACHE_KEYS
        }
        return cls(**values)


def _invalid() -> BadValue:
    return BadValue(name="preset_did", value="…", why=Phrase("invalid sampling plan"))


def _are_counts(values: Sequence[Any]) -> bool:
    return all(type(v) is int and 0 <= v < 1 << 20 for v in values)


def predictions_of(sampler: str, steps: int) -> int:
    """How often the denoiser is called in ``steps`` steps: by Heun's method twice in all but the last, by PNDM twice in
    the second.
    """
    if sampler == "heun":
        return 2 * steps - 1
    return steps + 1 if sampler == "pndm" and steps > 1 else steps


def reduced_steps(asked: int, share: float) -> int:
    """The steps that are done when ``asked`` were requested; never under 4, unless fewer were requested."""
    return max(min(4, asked), math.ceil(asked * share))


def guidance_interval(sampler: str, steps: int, end: float) -> tuple[int, int]:
    """Which predictions are guided: those whose middle is at most ``end``, a share of the way. ``(first, stop)``."""
    count = predictions_of(sampler, steps)
    return 0, sum((n + 0.5) / count <= end for n in range(count))


def legacy_plan(preset: str, sampler: str, asked: int) -> dict[str, Any]:
    """The plan of a recipe that was written before recipes stored one; empty for ``exact``."""
    if preset not in _LEGACY_PRESETS:
        return {}
    share, end = _LEGACY_PRESETS[preset]
    steps = reduced_steps(asked, share)
    return SamplingPlan(
        preset=preset, sampler=sampler, asked=asked, steps=steps, guided=guidance_interval(sampler, steps, end)
    ).to_dict()
