"""A micro-batch from captions to pixels: encode, noise, denoise, decode."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from engine.backends.base import Backend, Predict
from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import BadValue, OutOfMemory, Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.sampling.presets import Preset, sampling_plan_of
from engine.sampling.schedule import Sampler

T = TypeVar("T")


class Cancelled(Exception):
    """Raised by an ``on_step`` to stop a micro-batch that is no longer needed."""


def settle(request: ImageRequest, folder: ModelFolder, backend: Backend | None = None) -> ImageRequest:
    """The request with the model's own size if it has none and, for a ``backend``, with the resolved sampling plan.

    Raises:
        BadValue: the size does not fit the model's patches.
    """
    width, height = request.width or folder.own_side, request.height or folder.own_side
    for name, side in (("width", width), ("height", height)):
        if side % folder.multiple:
            near = max(folder.multiple, round(side / folder.multiple) * folder.multiple)
            raise BadValue(
                name=name,
                value=side,
                why=Phrase(
                    "with {model} it must be a multiple of {multiple}, such as {near}",
                    model=folder.name,
                    multiple=folder.multiple,
                    near=near,
                ),
            )
    request = dataclasses.replace(request, width=width, height=height)
    plan = sampling_plan_of(request, backend) if backend else None
    return dataclasses.replace(request, preset_did=plan.to_dict()) if plan else request


def can_batch(request: ImageRequest, backend: Backend, fitting: int) -> int:
    """How many such images a micro-batch should have where ``fitting`` could be guided at once.

    Twice as many where guided predictions are computed in halves: neither half then has more rows than fit.
    """
    plan = sampling_plan_of(request, backend) if request.guidance > 1 else None
    return 2 * fitting if plan and plan.halves else fitting


def texts_of(requests: Iterable[ImageRequest]) -> list[str]:
    """Every prompt and, where guidance needs them, every negative prompt; once each."""
    return list(dict.fromkeys(t for r in requests for t in ((r.prompt, r.negative) if r.guidance > 1 else (r.prompt,))))


def encode(
    backend: Backend, requests: Sequence[ImageRequest], upcoming: Callable[[int], Iterable[str]] | None = None
) -> dict[str, Any]:
    """Features of all their texts; see ``Backend.encode``."""
    return backend.encode(texts_of(requests), upcoming)


def denoise_batch(
    backend: Backend,
    requests: Sequence[ImageRequest],
    features: dict[str, Any],
    on_step: OnStep | None = None,
    preset: Preset | None = None,
) -> Any:
    """Denoised latents, one row a request. All requests share size, steps, sampler and preset. ``on_step`` sees the
    first lane's rows.

    ``preset`` replaces the definition that the requests name, to measure another one.
    """
    lanes = backend.lanes(len(requests))
    plan = sampling_plan_of(requests[0], backend, preset)

    def share(lane: int, some: Sequence[ImageRequest]) -> Any:
        first = some[0]
        seeds = [r.seed for r in some]
        noise = backend.noise(seeds, first.width or 0, first.height or 0)
        if plan is None:
            sampler, predict = backend.sampler(first.sampler, first.steps, seeds), backend.predictor(some, features)
        else:
            sampler = backend.sampler(first.sampler, plan.steps, seeds, plan.timesteps)
            predict = (
                backend.predictor(some, features, plan)
                if "plan" in backend.supports
                else _guided_interval(plan, backend, some, features)
            )
        return denoise(predict, sampler, noise, on_step if lane == 0 and on_step else lanes.check)

    return backend.join(lanes.map(share, requests))


def _guided_interval(
    plan: SamplingPlan, backend: Backend, requests: Sequence[ImageRequest], features: dict[str, Any]
) -> Predict:
    """Guidance in a part of the predictions only, for a backend whose predictors do not support plans."""
    guided = backend.predictor(requests, features)
    plain = backend.predictor([dataclasses.replace(r, guidance=1) for r in requests], features)
    index = itertools.count()

    def predict(latents: Any, timestep: float) -> Any:
        return (guided if plan.guided[0] <= next(index) < plan.guided[1] else plain)(latents, timestep)

    return predict


def retry_with_less_memory(
    attempt: Callable[[Sequence[ImageRequest]], list[T]],
    requests: Sequence[ImageRequest],
    backend: Backend,
    relieve: Callable[[], None],
    on_split: Callable[[int], None] | None = None,
) -> list[T]:
    """Run ``attempt`` on all requests; out of memory, on halves of them; with a single one, once more.

    ``relieve`` frees memory before each retry. ``on_split`` gets the new micro-batch size, so that the caller can plan
    with it.

    Raises:
        OutOfMemory: a single image does not fit.
    """
    try:
        return attempt(requests)
    except BaseException as e:
        if not backend.is_out_of_memory(e):
            raise
    # outside the handler: the traceback would keep the failed attempt's tensors alive
    relieve()
    if len(requests) > 1:
        half = (len(requests) + 1) // 2
        if on_split:
            on_split(half)
        return retry_with_less_memory(attempt, requests[:half], backend, relieve, on_split) + retry_with_less_memory(
            attempt, requests[half:], backend, relieve, on_split
        )
    try:
        return attempt(requests)
    except BaseException as e:
        if not backend.is_out_of_memory(e):
            raise
        one = requests[0]
        raise OutOfMemory(device=backend.device, width=one.width, height=one.height) from e


def decode(backend: Backend, latents: Any) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, height, width, 3]``; tiled if complete images do not fit in memory.

    Raises:
        OutOfMemory, NotFinite
    """
    for tiled in (False, True):
        try:
            return backend.decode(latents, tiled)
        except BaseException as e:
            if not backend.is_out_of_memory(e):
                raise
    side = backend.folder.vae_scale
    raise OutOfMemory(device=backend.device, width=latents.shape[3] * side, height=latents.shape[2] * side)


#: called after each step with (steps done, steps in all, latents); may wait (pause) or raise (cancel)
OnStep = Callable[[int, int, Any], None]


def denoise(predict: Predict, sampler: Sampler, noise: Any, on_step: OnStep | None = None) -> Any:
    """Latents from noise, both ``[n, channels, height, width]``."""
    latents = noise * sampler.initial_scale
    total = len(sampler.timesteps)
    for index, timestep in enumerate(sampler.timesteps):
        prediction = predict(sampler.scale(latents, index), timestep)
        latents = sampler.step(prediction, latents, index)
        if on_step:
            on_step(index + 1, total, latents)
    return latents
