"""Single-step samplers over noise levels, on any array type (only +, - and * are needed).

Euler, Euler ancestral and Heun: Karras et al., arXiv 2206.00364, algorithms 1 and 2, over sigmas. DDIM: Song et al.,
arXiv 2010.02502, equation 12 with eta 0. PNDM: Liu et al., arXiv 2202.09778, its linear multistep part. All compute
what diffusers' schedulers of these names do; predictions may be "epsilon", "v_prediction" or, where diffusers reads it,
"sample".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.sampling.schedule import Schedule

#: (shape) -> standard normal values, with one generator per image
Draw = Callable[[Sequence[int]], Any]


def spaced_timesteps(schedule: Schedule, steps: int, *, rounded: bool) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``[steps]`` timesteps, descending; the last one is one of the steps here, unlike in ``Schedule.timesteps``.

    Raises:
        ValueError: an unsupported spacing, or given timesteps that do not fit.
    """
    n = schedule.num_train_timesteps
    if schedule.given:
        return schedule.timesteps(steps).astype(np.float64)
    if schedule.timestep_spacing == "linspace":
        spaced = np.linspace(0, n - 1, steps)[::-1]
        return spaced.round() if rounded else spaced.astype(np.float32).astype(np.float64)
    if schedule.timestep_spacing == "leading":
        return (np.arange(steps) * (n // steps))[::-1].astype(np.float64) + schedule.steps_offset
    if schedule.timestep_spacing == "trailing":
        return np.arange(n, 0, -(n / steps)).round() - 1
    raise ValueError(f"timestep_spacing {schedule.timestep_spacing!r}")


def check_prediction(schedule: Schedule, *supported: str) -> str:
    """The kind of prediction. Raises ValueError if it is none of ``supported``."""
    if schedule.prediction_type not in supported:
        raise ValueError(f"prediction_type {schedule.prediction_type!r}")
    return schedule.prediction_type


class _Sigmas:
    """Base of the three samplers over sigmas."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        self._prediction = check_prediction(schedule, "epsilon", "v_prediction", "sample")
        bar = schedule.alphas_cumprod()
        at = spaced_timesteps(schedule, steps, rounded=False)
        self.timesteps = [float(t) for t in at]
        self._sigmas = np.append(np.interp(at, np.arange(len(bar)), np.sqrt((1 - bar) / bar)), 0.0)
        top = float(self._sigmas.max())
        self.initial_scale = math.sqrt(top**2 + 1) if schedule.timestep_spacing == "leading" else top

    def scale(self, latents: Any, index: int) -> Any:
        return latents * float(1 / math.sqrt(self._sigmas[index] ** 2 + 1))

    def _slope(self, prediction: Any, latents: Any, sigma: float) -> Any:
        """The derivative of the latents by sigma."""
        if self._prediction == "epsilon":
            return prediction
        if self._prediction == "sample":
            return (latents - prediction) * (1 / sigma)
        return latents * (sigma / (sigma**2 + 1)) + prediction * (1 / math.sqrt(sigma**2 + 1))


class Euler(_Sigmas):
    """As diffusers' ``EulerDiscreteScheduler``."""

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        here, there = (float(s) for s in self._sigmas[index : index + 2])
        return latents + self._slope(prediction, latents, here) * (there - here)


class EulerAncestral(_Sigmas):
    """As diffusers' ``EulerAncestralDiscreteScheduler``: each step overshoots, and added noise restores the level."""

    def __init__(self, schedule: Schedule, steps: int, draw: Draw) -> None:
        super().__init__(schedule, steps)
        check_prediction(schedule, "epsilon", "v_prediction")
        self._draw = draw

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        here, there = (float(s) for s in self._sigmas[index : index + 2])
        up = math.sqrt(max(0.0, there**2 * (here**2 - there**2) / here**2))
        down = math.sqrt(max(0.0, there**2 - up**2))
        return latents + self._slope(prediction, latents, here) * (down - here) + self._draw(latents.shape) * up


class Heun(_Sigmas):
    """As diffusers' ``HeunDiscreteScheduler``: every step except the last takes two predictions."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        super().__init__(schedule, steps)
        self.timesteps = [self.timesteps[0], *(t for t in self.timesteps[1:] for _ in (0, 1))]
        self._sigmas = np.concatenate([self._sigmas[:1], self._sigmas[1:-1].repeat(2), self._sigmas[-1:]])
        self._begin: tuple[Any, Any, float] | None = None  # latents and slope at the start of a step, and its length

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        slope = self._slope(prediction, latents, float(self._sigmas[index]))
        if self._begin is None:
            length = float(self._sigmas[index + 1] - self._sigmas[index])
            self._begin = latents, slope, length
            return latents + slope * length
        (before, first, length), self._begin = self._begin, None
        return before + (first + slope) * (0.5 * length)


class DDIM:
    """As diffusers' ``DDIMScheduler`` without clipping and with ``set_alpha_to_one`` off."""

    initial_scale = 1.0

    def __init__(self, schedule: Schedule, steps: int) -> None:
        self._prediction = check_prediction(schedule, "epsilon", "v_prediction", "sample")
        self._bar = schedule.alphas_cumprod()
        self._stride = len(self._bar) // steps
        self.timesteps = [float(t) for t in spaced_timesteps(schedule, steps, rounded=True)]
        self._given = bool(schedule.given)

    def scale(self, latents: Any, index: int) -> Any:
        return latents

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        t = int(self.timesteps[index])
        below = int(self.timesteps[index + 1]) if index + 1 < len(self.timesteps) else 0
        here, there = float(self._bar[t]), float(self._bar[below if self._given else max(t - self._stride, 0)])
        a, s = math.sqrt(here), math.sqrt(1 - here)
        if self._prediction == "epsilon":
            denoised, noise = latents * (1 / a) - prediction * (s / a), prediction
        elif self._prediction == "sample":
            denoised, noise = prediction, latents * (1 / s) - prediction * (a / s)
        else:
            denoised, noise = latents * a - prediction * s, prediction * a + latents * s
        return denoised * math.sqrt(there) + noise * math.sqrt(1 - there)


class PNDM:
    """As diffusers' ``PNDMScheduler`` with ``skip_prk_steps``: the second level is visited twice."""

    initial_scale = 1.0
    _WEIGHTS = (
        (1.0,),
        (3 / 2, -1 / 2),
        (23 / 12, -16 / 12, 5 / 12),
        (55 / 24, -59 / 24, 37 / 24, -9 / 24),
    )  # newest first

    def __init__(self, schedule: Schedule, steps: int) -> None:
        self._prediction = check_prediction(schedule, "epsilon", "v_prediction")
        self._bar = schedule.alphas_cumprod()
        self._stride = len(self._bar) // steps
        at = [float(t) for t in spaced_timesteps(schedule, steps, rounded=True)]
        self.timesteps = [*at[:2], *at[1:]] if steps > 1 else at
        self._past: list[Any] = []  # newest first
        self._start: Any = None

    def scale(self, latents: Any, index: int) -> Any:
        return latents

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        t = int(self.timesteps[index])
        here, there = t, t - self._stride
        if index == 1:  # the first step again, now with the mean of both its ends
            here, there = t + self._stride, t
            mean = (prediction + self._past[0]) * 0.5
            latents, self._start = self._start, None
        else:
            self._past = [prediction, *self._past[:3]]
            weights = self._WEIGHTS[len(self._past) - 1]
            mean = self._past[0] * weights[0]
            for past, weight in zip(self._past[1:], weights[1:], strict=True):
                mean = mean + past * weight
            if index == 0:
                self._start = latents
        a, b = float(self._bar[here]), float(self._bar[max(there, 0)])
        if self._prediction == "v_prediction":
            mean = mean * math.sqrt(a) + latents * math.sqrt(1 - a)
        below = a * math.sqrt(1 - b) + math.sqrt(a * (1 - a) * b)
        return latents * math.sqrt(b / a) - mean * ((b - a) / below)
