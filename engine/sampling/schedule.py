"""Noise schedules and the default sampler, on any array type (only + and * are needed).

DPM-Solver++ 2M: Lu et al., arXiv 2211.01095, algorithm 2, midpoint form, as the default of diffusers'
``DPMSolverMultistepScheduler`` computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Sampler(Protocol):
    """Turns predictions into the next latents. One object serves one micro-batch, from start to end."""

    timesteps: list[float]
    initial_scale: float  # the factor of the initial noise

    def scale(self, latents: Any, index: int) -> Any:
        """The model's input at step ``index``."""

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        """Latents after step ``index``."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The training noise schedule, with the keys of a scheduler's config."""

    num_train_timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    prediction_type: str = "epsilon"
    timestep_spacing: str = "linspace"
    steps_offset: int = 0
    given: tuple[int, ...] = ()  # descending timesteps that replace the spacing; never from a config

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Schedule:
        """Read a diffusers scheduler config; unknown entries are ignored."""
        return cls(
            **{k: v for k, v in data.items() if k in cls.__dataclass_fields__ and k != "given" and v is not None}
        )

    def alphas_cumprod(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """``[num_train_timesteps]``, rounded where diffusers rounds (its betas are float32).

        Raises:
            ValueError: an unsupported schedule.
        """
        n = self.num_train_timesteps
        if self.beta_schedule == "linear":
            betas = np.linspace(self.beta_start, self.beta_end, n, dtype=np.float32)
        elif self.beta_schedule == "scaled_linear":
            betas = np.linspace(self.beta_start**0.5, self.beta_end**0.5, n, dtype=np.float32) ** 2
        elif self.beta_schedule == "squaredcos_cap_v2":

            def cosine(t: float) -> float:
                return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

            betas = np.array([min(1 - cosine((i + 1) / n) / cosine(i / n), 0.999) for i in range(n)], np.float32)
        else:
            raise ValueError(f"beta_schedule {self.beta_schedule!r}")
        alphas: np.ndarray[Any, np.dtype[np.float64]] = (1.0 - betas).astype(np.float64)
        bar = np.asarray(np.cumprod(alphas), np.float64)
        if not ((bar > 0) & (bar <= 1)).all():  # also refuses nan
            raise ValueError(f"beta_start {self.beta_start!r}, beta_end {self.beta_end!r}")
        return bar

    def timesteps(self, steps: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        """``[steps]``, descending. The three spacings of Lin et al., arXiv 2305.08891, table 2; or those given.

        Raises:
            ValueError: an unsupported spacing; given timesteps of another count or outside the schedule.
        """
        n = self.num_train_timesteps
        positions: np.ndarray[Any, Any]
        if self.given:
            if len(self.given) != steps or not all(0 <= t < n for t in self.given):
                raise ValueError(f"timesteps {self.given!r}")
            return np.array(self.given, np.int64)
        if self.timestep_spacing == "linspace":
            positions = np.linspace(0, n - 1, steps + 1).round()[::-1][:-1]
        elif self.timestep_spacing == "leading":
            positions = (np.arange(0, steps + 1) * (n // (steps + 1))).round()[::-1][:-1] + self.steps_offset
        elif self.timestep_spacing == "trailing":
            positions = np.arange(n, 0, -(n / steps)).round() - 1
        else:
            raise ValueError(f"timestep_spacing {self.timestep_spacing!r}")
        return positions.astype(np.int64)


class DPMSolverPP2M:
    """Second-order multistep DPM-Solver++; the first and, below 15 steps, the last step are of first order."""

    initial_scale = 1.0

    def __init__(self, schedule: Schedule, steps: int) -> None:
        timesteps = schedule.timesteps(steps)
        bar = schedule.alphas_cumprod()
        sigmas = np.append(np.sqrt((1 - bar[timesteps]) / bar[timesteps]), 0.0)
        self.timesteps = [float(t) for t in timesteps]
        self._prediction = schedule.prediction_type
        if self._prediction not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(f"prediction_type {self._prediction!r}")
        self._alpha = 1 / np.sqrt(1 + sigmas**2)
        self._sigma = sigmas * self._alpha
        with np.errstate(divide="ignore"):
            self._lambda = np.log(self._alpha) - np.log(self._sigma)  # +inf at the end, where no noise is left
        self._last: Any = None
        self._steps = steps

    def scale(self, latents: Any, index: int) -> Any:
        return latents

    def _denoised(self, prediction: Any, latents: Any, i: int) -> Any:
        a, s = float(self._alpha[i]), float(self._sigma[i])
        if self._prediction == "epsilon":
            return latents * (1 / a) - prediction * (s / a)
        return prediction if self._prediction == "sample" else latents * a - prediction * s

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        i = index
        x0 = self._denoised(prediction, latents, i)
        h = self._lambda[i + 1] - self._lambda[i]
        keep = float(self._sigma[i + 1] / self._sigma[i])
        gain = float(self._alpha[i + 1] * -np.expm1(-h))
        out = latents * keep + x0 * gain
        # the last step goes to zero noise, where the second-order term has no meaning
        last_is_first_order = i == self._steps - 1
        if self._last is not None and not last_is_first_order:
            before = self._lambda[i] - self._lambda[i - 1]
            if before > 0:  # with about as many steps as levels two may coincide
                out = out + (x0 - self._last) * float(0.5 * gain * h / before)
        self._last = x0
        return out


class LMS:
    """Linear multistep of order 4 over the noise levels, as diffusers' ``LMSDiscreteScheduler`` but without SciPy."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        bar = schedule.alphas_cumprod()
        timesteps = (
            schedule.timesteps(steps).astype(np.float64)
            if schedule.given
            else np.linspace(0, len(bar) - 1, steps)[::-1]
        )
        self.timesteps = [float(np.float32(t)) for t in timesteps]
        self._sigmas = np.append(np.interp(timesteps, np.arange(len(bar)), np.sqrt((1 - bar) / bar)), 0.0)
        self.initial_scale = float(self._sigmas.max())
        self._prediction = schedule.prediction_type
        self._slopes: list[Any] = []  # newest first

    def scale(self, latents: Any, index: int) -> Any:
        return latents * float(1 / np.sqrt(self._sigmas[index] ** 2 + 1))

    def _weight(self, order: int, i: int, j: int) -> float:
        """The integral over step ``i`` of the Lagrange polynomial that is 1 at the ``j``-th newest level."""
        poly = np.polynomial.Polynomial([1.0])
        for k in range(order):
            if k != j:
                poly = (
                    poly
                    * np.polynomial.Polynomial([-self._sigmas[i - k], 1.0])
                    / (self._sigmas[i - j] - self._sigmas[i - k])
                )
        integral = poly.integ()
        return float(integral(self._sigmas[i + 1]) - integral(self._sigmas[i]))

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        s = float(self._sigmas[index])
        if self._prediction == "epsilon":
            slope = prediction
        else:
            denoised = (
                prediction
                if self._prediction == "sample"
                else latents * (1 / (s * s + 1)) - prediction * (s / math.sqrt(s * s + 1))
            )
            slope = (latents - denoised) * (1 / s)
        self._slopes = [slope, *self._slopes[:3]]
        out = latents
        for j, past in enumerate(self._slopes):
            out = out + past * self._weight(len(self._slopes), index, j)
        return out
