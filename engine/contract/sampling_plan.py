"""The course of a picture: what a quality preset stood for when it was made, as plain numbers.

A preset's definition may change with the program; a picture's recipe keeps the course itself, so that the same pixels can be made again.
A course is a static rule: it names steps and blocks by their place alone, and is the same for every picture of a micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from engine.contract.errors import BadValue, Phrase

WEIGHTS = ("exact", "int8", "fp8")
#: share of the steps and end of the guided part, by presets as they stood when recipes did not keep a course
_BEFORE = {"balanced": (0.8, 0.6), "fast": (0.4, 0.7), "draft": (0.25, 0.7)}


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """``preset``, ``sampler`` and ``asked`` (steps) say which request it answers; the rest what is done.

    Predictions are counted from 0; a sampler may take more of them than steps (``predictions_of``). Those from ``guided[0]`` up to
    ``guided[1]`` have a negative half. In those of ``cached`` the blocks from ``blocks[0]`` up to ``blocks[1]`` are not run: what they
    changed at the last prediction that ran them is added again, or, with ``order`` 1, carried on in a line through the last two.
    ``timesteps`` are the sampler's own where none are given. ``weights`` are those of the denoiser's blocks. With ``halves`` guided
    predictions are made for half of the micro-batch at a time, unguided ones for all of it.

    Raises:
        BadValue: numbers that make no sense, as a recipe from elsewhere may hold them.
    """

    preset: str
    sampler: str
    asked: int
    steps: int
    guided: tuple[int, int]
    timesteps: tuple[int, ...] = ()
    cached: tuple[int, ...] = ()
    blocks: tuple[int, int] = (0, 0)
    order: int = 0
    weights: str = "exact"
    halves: bool = False

    def __post_init__(self) -> None:
        ok = all(isinstance(getattr(self, k), str) for k in ("preset", "sampler", "weights")) and isinstance(
            self.halves, bool
        )
        ok = (
            ok
            and all(_whole((getattr(self, k),)) for k in ("asked", "steps", "order"))
            and 1 <= self.steps <= self.asked <= 1000
        )
        for name in ("guided", "timesteps", "cached", "blocks"):
            ok = ok and isinstance(getattr(self, name), tuple) and _whole(getattr(self, name))
        ok = (
            ok
            and len(self.guided) == len(self.blocks) == 2
            and self.guided[0] <= self.guided[1]
            and self.blocks[0] <= self.blocks[1] <= 1000
        )
        ok = (
            ok
            and len(self.timesteps) in (0, self.steps)
            and all(a > b for a, b in zip(self.timesteps, self.timesteps[1:]))
        )
        ok = ok and len(self.cached) <= 2000 and list(self.cached) == sorted(set(self.cached)) and 0 not in self.cached
        if not ok or self.order > 1 or self.weights not in WEIGHTS:
            raise BadValue(name="preset_did", value="…", why=Phrase("its numbers make no sense"))

    def answers(self, preset: str, sampler: str, asked: int) -> bool:
        """Whether it was made for such a request."""
        return (self.preset, self.sampler, self.asked) == (preset, sampler, asked)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what is as it would be anyway."""
        plain = {f.name: f.default for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v != plain[k]}

    @classmethod
    def from_dict(cls, data: Any) -> SamplingPlan:
        """The inverse of ``to_dict``. Raises BadValue."""
        known = {f.name for f in fields(cls)}
        needed = {"preset", "sampler", "asked", "steps", "guided"}
        if not isinstance(data, dict) or not needed <= data.keys() <= known:
            raise BadValue(name="preset_did", value="…", why=Phrase("its numbers make no sense"))
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**given)


def _whole(values: Sequence[Any]) -> bool:
    return all(type(v) is int and 0 <= v < 1 << 20 for v in values)


def predictions_of(sampler: str, steps: int) -> int:
    """How often the denoiser is asked in ``steps`` steps: Heun's method looks twice at all but the last, PNDM twice at the second."""
    if sampler == "heun":
        return 2 * steps - 1
    return steps + 1 if sampler == "pndm" and steps > 1 else steps


def fewer(asked: int, share: float) -> int:
    """The steps that are done when ``asked`` were asked for; never under 4, unless fewer were asked for."""
    return max(min(4, asked), math.ceil(asked * share))


def interval(sampler: str, steps: int, start: float, end: float) -> tuple[int, int]:
    """Which predictions are guided: those whose middle lies between the shares ``start`` and ``end`` of the way."""
    count = predictions_of(sampler, steps)
    inside = [n for n in range(count) if start <= (n + 0.5) / count <= end]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def before(preset: str, sampler: str, asked: int) -> dict[str, Any]:
    """What a recipe without a course stood for, as a course; empty for ``exact``."""
    if preset not in _BEFORE:
        return {}
    share, end = _BEFORE[preset]
    steps = fewer(asked, share)
    return SamplingPlan(
        preset=preset, sampler=sampler, asked=asked, steps=steps, guided=interval(sampler, steps, 0.0, end)
    ).to_dict()
