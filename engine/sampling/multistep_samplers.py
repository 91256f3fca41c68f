"""Multistep solvers in log-SNR, on any array type (only +, - and * are needed).

DPM-Solver++ of order 2 and 3 and its stochastic form: Lu et al., arXiv 2211.01095. UniPC, B2(h), order 2: Zhao et al.,
arXiv 2302.04867. DEIS, log-rho, order 2: Zhang and Chen, arXiv 2204.13902. Spacing of levels: Karras et al., arXiv
2206.00364, equation 5. All compute what diffusers' schedulers of these names do; predictions may be "epsilon",
"v_prediction" or "sample".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.sampling.schedule import Schedule
from engine.sampling.sigma_samplers import Draw, check_prediction

RHO = 7.0


def karras_spacing(schedule: Schedule, steps: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(timesteps, sigmas), each ``[steps]`` and descending; the timestep of a sigma is the nearest by its logarithm."""
    bar = schedule.alphas_cumprod()
    own = np.sqrt((1 - bar) / bar)
    ends = float(own[-1]) ** (1 / RHO), float(own[0]) ** (1 / RHO)
    sigmas = (ends[0] + np.linspace(0, 1, steps) * (ends[1] - ends[0])) ** RHO
    at = np.interp(np.log(sigmas), np.log(own), np.arange(len(own)))
    return np.trunc(at) if schedule.beta_schedule == "squaredcos_cap_v2" else at.round(), sigmas


class _Solver:
    """Levels as alpha, sigma and lambda = log(alpha / sigma); the last is the end."""

    initial_scale = 1.0

    def __init__(self, schedule: Schedule, steps: int, *, spaced: bool = False, last: float = 0.0) -> None:
        self._prediction = check_prediction(schedule, "epsilon", "v_prediction", "sample")
        bar = schedule.alphas_cumprod()
        if spaced:
            at, ratio = karras_spacing(schedule, steps)
        else:
            at = schedule.timesteps(steps)
            ratio = np.sqrt((1 - bar[at]) / bar[at])
        ratio = np.append(ratio, last)
        self.timesteps = [float(t) for t in at]
        self._steps = steps
        self._alpha = 1 / np.sqrt(1 + ratio**2)
        self._sigma = ratio * self._alpha
        with np.errstate(divide="ignore"):
            self._lambda = np.log(self._alpha) - np.log(self._sigma)  # +inf where no noise is left
        self._past: list[Any] = []  # newest first

    def scale(self, latents: Any, index: int) -> Any:
        return latents

    def _denoised(self, prediction: Any, latents: Any, i: int) -> Any:
        """The latents without noise that the prediction implies."""
        a, s = float(self._alpha[i]), float(self._sigma[i])
        if self._prediction == "epsilon":
            return latents * (1 / a) - prediction * (s / a)
        return prediction if self._prediction == "sample" else latents * a - prediction * s

    def _gap(self, i: int) -> float:
        """The difference of lambda between levels ``i`` and ``i + 1``.

        With about as many steps as levels it may be 0.
        """
        return float(self._lambda[i + 1] - self._lambda[i])


class DPMSolverPP(_Solver):
    """As diffusers' ``DPMSolverMultistepScheduler``: ``order`` 2 or 3; ``spaced`` as Karras.

    With ``draw`` the stochastic solver.
    """

    def __init__(
        self, schedule: Schedule, steps: int, *, order: int = 2, spaced: bool = False, draw: Draw | None = None
    ) -> None:
        super().__init__(schedule, steps, spaced=spaced)
        self._order, self._draw = order, draw

    def _order_at(self, i: int) -> int:
        """The last step needs no more than order 1; short runs reduce the order before it."""
        if i == self._steps - 1:
            return 1
        order = min(self._order, len(self._past))
        if self._steps < 15 and i == self._steps - 2:
            order = min(order, 2)
        for n in range(1, order):  # the solver divides by these
            if self._gap(i - n) <= 0 or self._gap(i) <= 0:
                return n
        return order

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        i = index
        self._past = [self._denoised(prediction, latents, i), *self._past[: self._order - 1]]
        h, order = self._gap(i), self._order_at(i)
        a, s, s0 = float(self._alpha[i + 1]), float(self._sigma[i + 1]), float(self._sigma[i])
        x0 = self._past[0]
        twice = 2 * h if self._draw else h
        gain = -math.expm1(-twice)
        out = latents * (s / s0 * (math.exp(-h) if self._draw else 1.0)) + x0 * (a * gain)
        if order == 2:
            out = out + (x0 - self._past[1]) * (0.5 * a * gain * h / self._gap(i - 1))
        elif order == 3:
            r0, r1 = self._gap(i - 1) / h, self._gap(i - 2) / h
            near, far = (x0 - self._past[1]) * (1 / r0), (self._past[1] - self._past[2]) * (1 / r1)
            bend = (near - far) * (1 / (r0 + r1))
            first, second = 1 - gain / twice, (twice - gain) / twice**2 - 0.5
            out = out + (near + bend * r0) * (a * first) - bend * (a * second)
        if self._draw:
            out = out + self._draw(latents.shape) * (s * math.sqrt(-math.expm1(-2 * h)))
        return out


class UniPC(_Solver):
    """As diffusers' ``UniPCMultistepScheduler``: a predictor, and a corrector of the previous step by the new
    prediction.
    """

    def __init__(self, schedule: Schedule, steps: int) -> None:
        super().__init__(schedule, steps)
        self._before: tuple[Any, int] | None = None  # latents before the last step, and that step's order

    def _base(self, latents: Any, i: int) -> Any:
        """Latents at level ``i + 1`` if the newest denoised latents were the true ones."""
        gain = -math.expm1(-self._gap(i))
        return latents * float(self._sigma[i + 1] / self._sigma[i]) + self._past[0] * float(self._alpha[i + 1] * gain)

    def _corrected(self, latents: Any, order: int, denoised: Any, i: int) -> Any:
        h = self._gap(i)
        if h <= 0:
            return latents
        gain = -math.expm1(-h)
        weights, slopes = [0.5], [denoised - self._past[0]]
        if order == 2:
            ratio = -self._gap(i - 1) / h
            first = gain / h - 1
            second = -first / h - 0.5
            weights = np.linalg.solve(
                np.array([[1.0, 1.0], [ratio, 1.0]]), np.array([first, 2 * second]) / -gain
            ).tolist()
            slopes = [(self._past[1] - self._past[0]) * (1 / ratio), *slopes]
        out = self._base(latents, i)
        for weight, slope in zip(weights, slopes, strict=True):
            out = out + slope * float(self._alpha[i + 1] * gain * weight)
        return out

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        i = index
        denoised = self._denoised(prediction, latents, i)
        if self._before is not None:
            latents = self._corrected(*self._before, denoised, i - 1)
        self._past = [denoised, *self._past[:1]]
        order = min(2, self._steps - i, len(self._past))
        if order == 2 and (self._gap(i) <= 0 or self._gap(i - 1) <= 0):
            order = 1
        self._before = latents, order
        out = self._base(latents, i)
        if order == 2:
            ratio = -self._gap(i - 1) / self._gap(i)
            gain = -math.expm1(-self._gap(i))
            out = out + (self._past[1] - denoised) * float(self._alpha[i + 1] * gain * 0.5 / ratio)
        return out


class DEIS(_Solver):
    """As diffusers' ``DEISMultistepScheduler``: it ends at the lowest training level rather than at no noise."""

    def __init__(self, schedule: Schedule, steps: int) -> None:
        low = float(schedule.alphas_cumprod()[0])
        super().__init__(schedule, steps, last=math.sqrt((1 - low) / low))

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        i = index
        a0, s0, a, s = (float(x) for x in (self._alpha[i], self._sigma[i], self._alpha[i + 1], self._sigma[i + 1]))
        noise = (
            prediction
            if self._prediction == "epsilon"
            else latents * (1 / s0) - self._denoised(prediction, latents, i) * (a0 / s0)
        )
        self._past = [noise, *self._past[:1]]
        last = i == self._steps - 1 and self._steps < 15
        if len(self._past) == 1 or last or self._gap(i - 1) <= 0:
            return latents * (a / a0) - noise * (s * math.expm1(self._gap(i)))
        there, here, before = s / a, s0 / a0, float(self._sigma[i - 1] / self._alpha[i - 1])

        def area(t: float, one: float, zero: float) -> float:
            """Antiderivative at ``t`` of the function, linear in the logarithm, that is 1 at level ``one`` and 0 at
            ``zero``.
            """
            return t * (math.log(t) - math.log(zero) - 1) / (math.log(one) - math.log(zero))

        new = area(there, here, before) - area(here, here, before)
        old = area(there, before, here) - area(here, before, here)
        return latents * (a / a0) + self._past[0] * (a * new) + self._past[1] * (a * old)
