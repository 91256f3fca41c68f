"""The denoising loop, the same for every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.backends import Predict
from engine.sampling import Sampler

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
