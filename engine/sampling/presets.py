"""Quality presets: what each omits for speed, by static rules, so that an image never depends on its neighbours in the
micro-batch.

Three measures, each fixed beforehand: fewer steps, over timesteps fitted to approximate a hundred; guidance only in the
first part of the steps (Kynkäänniemi et al., arXiv 2404.07724: guidance late in sampling changes little), after which
the negative half is not computed at all; weights in 8 bits on cards that compute in them. ``exact`` uses none of them.
What each costs in pixels is measured by ``python -m benchmarks.presets`` and reported in docs/performance.md.

A preset is resolved to a ``SamplingPlan`` for one model, sampler and device; what one of them does not support stays as
in ``exact``, with a note to the user.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import Phrase
from engine.contract.request import PRESETS, ImageRequest
from engine.contract.sampling_plan import SamplingPlan, guidance_interval, predictions_of, reduced_steps
from engine.sampling.fitted_timesteps import ACCEPTING_SAMPLERS, find, fits_request, for_noise
from engine.sampling.schedule import Schedule


class Capabilities(Protocol):
    """The part of ``engine.backends.base.Backend`` that decides what a preset can use."""

    folder: ModelFolder
    name: str
    hashes: dict[str, str]
    notes: list[Phrase]
    supports: frozenset[str]

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]: ...


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A preset's definition.

    Attributes:
        steps: the share of the requested steps that is done.
        guided_to: guidance is on up to this share of the way.
        fitted: whether the steps are over fitted timesteps.
        small: whether weights are in 8 bits on a CUDA card.
    """

    steps: float = 1.0
    guided_to: float = 1.0
    fitted: bool = False
    small: bool = False


PRESET_DEFINITIONS = {
    "exact": Preset(),
    "balanced": Preset(steps=0.5, fitted=True),
    "fast": Preset(steps=0.2, fitted=True, small=True),
    "draft": Preset(steps=0.2, fitted=True, guided_to=0.75, small=True),
}
assert tuple(PRESET_DEFINITIONS) == PRESETS


def sampling_plan_of(request: ImageRequest, backend: Capabilities, preset: Preset | None = None) -> SamplingPlan | None:
    """The plan for this image on this backend; None where nothing is omitted.

    A request that carries the plan it was generated with gets that plan again. What the backend does not support
    becomes one of its notes.

    Args:
        request: with a preset.
        backend: the model and device it is for.
        preset: replaces the definition of the preset that the request names.
    """
    definition = preset or PRESET_DEFINITIONS[request.preset]
    if definition == Preset():
        return None
    if request.preset_did:
        given = SamplingPlan.from_dict(request.preset_did)
        if given.matches(request.preset, request.sampler, request.steps):
            return _supported(given, request, backend)
    return _supported(_resolve(definition, request, backend), request, backend)


def _resolve(preset: Preset, request: ImageRequest, backend: Capabilities) -> SamplingPlan:
    steps = reduced_steps(request.steps, preset.steps)
    weights, why = backend.small_weights("") if preset.small and "small" in backend.supports else ("exact", None)
    if why is not None:
        _note(backend, why)
    timesteps: tuple[int, ...] = ()
    if preset.fitted and "timesteps" in backend.supports and steps < request.steps:
        timesteps = _fitted(request, backend, steps)
    guided = guidance_interval(request.sampler, steps, preset.guided_to)
    return SamplingPlan(
        preset=request.preset,
        sampler=request.sampler,
        asked=request.steps,
        steps=steps,
        guided=guided,
        timesteps=timesteps,
        weights=weights,
        halves="halves" in backend.supports and guided != (0, predictions_of(request.sampler, steps)),
    )


def _fitted(request: ImageRequest, backend: Capabilities, steps: int) -> tuple[int, ...]:
    schedule = Schedule.from_dict(backend.folder.scheduler_config)
    files = for_noise(schedule)
    if not files:
        _note(
            backend,
            Phrase(
                "The preset {preset} has no timesteps fitted for the noise schedule of {model}; "
                "the usual ones are used",
                preset=request.preset,
                model=backend.folder.name,
            ),
        )
    elif not any(fits_request(f, request.sampler) for f in files):
        _note(backend, _usual_timesteps(request))
    return find(schedule, backend.hashes["denoiser"], request.sampler, steps)


def _supported(plan: SamplingPlan, request: ImageRequest, backend: Capabilities) -> SamplingPlan:
    """The plan without what this backend does not support; each such part is done as ``exact`` does it."""
    levels = Schedule.from_dict(backend.folder.scheduler_config).num_train_timesteps if plan.timesteps else 0
    if plan.timesteps and (
        "timesteps" not in backend.supports or request.sampler not in ACCEPTING_SAMPLERS or plan.timesteps[0] >= levels
    ):
        _note(backend, _usual_timesteps(request))
        plan = replace(plan, timesteps=())
    if plan.weights != "exact":
        weights, why = backend.small_weights(plan.weights)
        if why is not None:
            _note(backend, why)
        plan = replace(plan, weights=weights)
    if plan.halves and "halves" not in backend.supports:
        plan = replace(plan, halves=False)
    return plan


def _usual_timesteps(request: ImageRequest) -> Phrase:
    return Phrase(
        "The preset {preset} has timesteps of its own; the sampler {sampler} keeps its usual ones",
        preset=request.preset,
        sampler=request.sampler,
    )


def _note(backend: Capabilities, note: Phrase) -> None:
    if all(str(note) != str(one) for one in backend.notes):
        backend.notes.append(note)
