"""Quality presets: what each leaves out for speed, by static rules, so that a picture never depends on its neighbours.

Four levers, each a table fixed before: fewer steps, over timesteps fitted to come near a hundred; guidance only in a part of the steps
(Kynkäänniemi et al., arXiv 2404.07724: guidance late in sampling changes little), outside which the negative half is not computed at
all; blocks left out in some steps (``engine.models.step_cache``); weights in 8 bits on cards that compute in them. ``exact`` does none of it.
What each costs in pixels is measured by ``python -m benchmarks.presets`` and told in docs/performance.md.

A preset becomes a ``SamplingPlan`` for one model, sampler and device; what one of them cannot do is left as it is in ``exact``, and said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import Phrase
from engine.contract.request import PRESETS, ImageRequest
from engine.contract.sampling_plan import SamplingPlan, fewer, interval, predictions_of
from engine.sampling.fitted_timesteps import TAKES, find, fits_request, for_noise
from engine.sampling.schedule import Schedule


class Capabilities(Protocol):
    """What a backend tells here; see ``engine.backends.base.Backend``."""

    folder: ModelFolder
    name: str
    hashes: dict[str, str]
    notes: list[Phrase]
    levers: frozenset[str]

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]: ...


@dataclass(frozen=True, kw_only=True)
class Preset:
    """``steps`` is the share of the steps asked for; guidance is on from ``guided_from`` to ``guided_to``, shares of the way.

    Between the shares ``reused_from`` and ``reused_to`` of the way, ``reuse`` predictions after each computed one leave out the blocks from
    ``outer_before`` blocks after the first up to ``outer_after`` before the last, shares of the depth; ``order`` as in ``SamplingPlan``.
    ``fitted``: over fitted timesteps. ``small``: weights in 8 bits on a CUDA card.
    """

    steps: float = 1.0
    guided_from: float = 0.0
    guided_to: float = 1.0
    fitted: bool = False
    reuse: int = 0
    reused_from: float = 0.0
    reused_to: float = 1.0
    outer_before: float = 0.25
    outer_after: float = 0.25
    order: int = 0
    small: bool = False


KNOWN = {
    "exact": Preset(),
    "balanced": Preset(steps=0.5, fitted=True),
    "fast": Preset(steps=0.2, fitted=True, small=True),
    "draft": Preset(steps=0.2, fitted=True, guided_to=0.75, small=True),
}
assert tuple(KNOWN) == PRESETS


def cached_at(preset: Preset, count: int) -> tuple[int, ...]:
    """Which of ``count`` predictions reuse what was computed before: never the first, so there is something to reuse."""
    if not preset.reuse:
        return ()
    inside = [n for n in range(1, count) if preset.reused_from <= (n + 0.5) / count <= preset.reused_to]
    return tuple(n for k, n in enumerate(inside) if k % (preset.reuse + 1) < preset.reuse)


def sampling_plan_of(request: ImageRequest, backend: Capabilities, preset: Preset | None = None) -> SamplingPlan | None:
    """What is done for this picture on this backend; None where nothing is left out. ``preset`` stands in for the one that is named.

    A request that carries the course it was made along once is given that again. What cannot be done becomes a note of the backend.
    """
    definition = preset or KNOWN[request.preset]
    if definition == Preset():
        return None
    if request.preset_did:
        given = SamplingPlan.from_dict(request.preset_did)
        if given.answers(request.preset, request.sampler, request.steps):
            return _possible(given, request, backend)
    course = _fresh(definition, request, backend)
    return _possible(course, request, backend)


def _fresh(preset: Preset, request: ImageRequest, backend: Capabilities) -> SamplingPlan:
    steps = fewer(request.steps, preset.steps)
    count = predictions_of(request.sampler, steps)
    depth = int(backend.folder.denoiser_config.get("num_layers") or 28)
    blocks = (round(depth * preset.outer_before), depth - round(depth * preset.outer_after))
    cached = cached_at(preset, count) if blocks[0] < blocks[1] else ()
    weights, why = backend.small_weights("") if preset.small and "small" in backend.levers else ("exact", None)
    if why is not None:
        _note(backend, why)
    timesteps = (
        _fitted(request, backend, steps)
        if preset.fitted and "timesteps" in backend.levers and steps < request.steps
        else ()
    )
    guided = interval(request.sampler, steps, preset.guided_from, preset.guided_to)
    return SamplingPlan(
        preset=request.preset,
        sampler=request.sampler,
        asked=request.steps,
        steps=steps,
        guided=guided,
        timesteps=timesteps,
        cached=cached,
        blocks=blocks if cached else (0, 0),
        order=preset.order if cached else 0,
        weights=weights,
        halves="halves" in backend.levers and guided != (0, count),
    )


def _fitted(request: ImageRequest, backend: Capabilities, steps: int) -> tuple[int, ...]:
    schedule = Schedule.from_dict(backend.folder.scheduler_config)
    files = for_noise(schedule)
    if not files:
        _note(
            backend,
            Phrase(
                "The preset {preset} has no timesteps fitted for the noise schedule of {model}; the usual ones are used",
                preset=request.preset,
                model=backend.folder.name,
            ),
        )
    elif not any(fits_request(f, request.sampler) for f in files):
        _note(backend, _keeps(request))
    return find(schedule, backend.hashes["denoiser"], request.sampler, steps)


def _possible(course: SamplingPlan, request: ImageRequest, backend: Capabilities) -> SamplingPlan:
    """The course without what this backend cannot do; each such part is done as ``exact`` does it."""
    if course.cached and "cache" not in backend.levers:
        _note(
            backend,
            Phrase(
                "The preset {preset} leaves out blocks in some steps; {backend} runs them all",
                preset=request.preset,
                backend=backend.name,
            ),
        )
        course = replace(course, cached=(), blocks=(0, 0), order=0)
    levels = Schedule.from_dict(backend.folder.scheduler_config).num_train_timesteps if course.timesteps else 0
    if course.timesteps and (
        "timesteps" not in backend.levers or request.sampler not in TAKES or course.timesteps[0] >= levels
    ):
        _note(backend, _keeps(request))
        course = replace(course, timesteps=())
    if course.weights != "exact":
        weights, why = backend.small_weights(course.weights)
        if why is not None:
            _note(backend, why)
        course = replace(course, weights=weights)
    if course.halves and "halves" not in backend.levers:
        course = replace(course, halves=False)
    return course


def _keeps(request: ImageRequest) -> Phrase:
    return Phrase(
        "The preset {preset} has timesteps of its own; the sampler {sampler} keeps its usual ones",
        preset=request.preset,
        sampler=request.sampler,
    )


def _note(backend: Capabilities, note: Phrase) -> None:
    if all(str(note) != str(one) for one in backend.notes):
        backend.notes.append(note)
