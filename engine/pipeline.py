"""A micro-batch from words to pixels: encode, noise, denoise, decode."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

from engine.backends import Backend
from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import BadValue, OutOfMemory, Phrase
from engine.contract.request import ImageRequest
from engine.denoise import OnStep, denoise
from engine.presets import guided_at, steps_of

T = TypeVar("T")


def settle(request: ImageRequest, folder: ModelFolder) -> ImageRequest:
    """The request with the model's own size where none was asked for.

    Raises:
        BadValue: the size does not fit the model's patches.
    """
    width, height = request.width or folder.own_side, request.height or folder.own_side
    for name, side in (("width", width), ("height", height)):
        if side % folder.multiple:
            near = max(folder.multiple, round(side / folder.multiple) * folder.multiple)
            raise BadValue(name=name, value=side, why=Phrase(
                "with {model} it must be a multiple of {multiple}, such as {near}", model=folder.name, multiple=folder.multiple, near=near))
    return dataclasses.replace(request, width=width, height=height)


def texts_of(requests: Iterable[ImageRequest]) -> list[str]:
    """Every prompt and, where guidance needs them, every negative prompt; once each."""
    return list(dict.fromkeys(t for r in requests for t in ((r.prompt, r.negative) if r.guidance > 1 else (r.prompt,))))


def encode(backend: Backend, requests: Sequence[ImageRequest], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
    """Features of all their texts; see ``Backend.encode``."""
    return backend.encode(texts_of(requests), upcoming)


def draw(backend: Backend, requests: Sequence[ImageRequest], features: dict[str, Any], on_step: OnStep | None = None) -> Any:
    """Denoised latents, one row a request. All requests share size, steps and sampler. ``on_step`` sees the first lane's rows."""
    lanes = backend.lanes(len(requests))

    def share(lane: int, some: Sequence[ImageRequest]) -> Any:
        first = some[0]
        seeds = [r.seed for r in some]
        noise = backend.noise(seeds, first.width or 0, first.height or 0)
        steps = steps_of(first.preset, first.steps)
        sampler = backend.sampler(first.sampler, steps, seeds)
        predict = backend.predictor(some, features)
        guided = [first.guidance <= 1 or guided_at(first.preset, n, len(sampler.timesteps)) for n in range(len(sampler.timesteps))]
        if not all(guided):  # one prediction a step, so the steps can be counted off
            plain = backend.predictor([dataclasses.replace(r, guidance=1) for r in some], features)
            turns = iter([predict if on else plain for on in guided])
            predict = lambda latents, timestep: next(turns)(latents, timestep)  # noqa: E731
        return denoise(predict, sampler, noise, on_step if lane == 0 and on_step else lanes.check)

    return backend.join(lanes.map(share, requests))


def with_less_memory(attempt: Callable[[Sequence[ImageRequest]], list[T]], requests: Sequence[ImageRequest], backend: Backend,
                        relieve: Callable[[], None], on_split: Callable[[int], None] | None = None) -> list[T]:
    """Run ``attempt`` on all requests; out of memory, on halves of them; at one alone, once more. ``relieve`` makes room before each retry.

    ``on_split`` is told the new micro-batch, so that the caller can plan with it.

    Raises:
        OutOfMemory: one picture alone does not fit.
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
        return (with_less_memory(attempt, requests[:half], backend, relieve, on_split)
                + with_less_memory(attempt, requests[half:], backend, relieve, on_split))
    try:
        return attempt(requests)
    except BaseException as e:
        if not backend.is_out_of_memory(e):
            raise
        one = requests[0]
        raise OutOfMemory(device=backend.device, width=one.width, height=one.height) from e


def paint(backend: Backend, latents: Any) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, height, width, 3]``; tiled if whole pictures do not fit in memory.

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
