"""Quality presets: what each leaves out for speed, by static rules, so that a picture never depends on its neighbours.

Two levers, both on every backend: fewer steps of the same sampler, and guidance only in a part of the steps (Kynkäänniemi et al.,
arXiv 2404.07724: guidance late in sampling changes little), outside which the negative half is not computed at all. What each preset
costs in pixels is measured in docs/performance.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.contract.request import PRESETS


@dataclass(frozen=True, kw_only=True)
class Preset:
    """``steps`` is the share of the steps asked for; guidance is on from ``guided_from`` to ``guided_to``, shares of the way."""

    steps: float = 1.0
    guided_from: float = 0.0
    guided_to: float = 1.0


KNOWN = {
    "exact": Preset(),
    "balanced": Preset(steps=0.8, guided_to=0.6),
    "fast": Preset(steps=0.4, guided_to=0.7),
    "draft": Preset(steps=0.25, guided_to=0.7),
}
assert tuple(KNOWN) == PRESETS


def steps_of(name: str, steps: int) -> int:
    """The steps that are done when ``steps`` were asked for; never under 4, unless fewer were asked for."""
    return max(min(4, steps), math.ceil(steps * KNOWN[name].steps))


def guided_at(name: str, index: int, steps: int) -> bool:
    """Whether step ``index`` of ``steps`` has both halves."""
    preset, place = KNOWN[name], (index + 0.5) / steps
    return preset.guided_from <= place <= preset.guided_to
