"""Noise, targets and weights of the denoising loss.

x_t = a x_0 + s e, with a^2 = alphas_cumprod[t] and s^2 = 1 - a^2 (Ho et al., arXiv 2006.11239); v = a e - s x_0 (Salimans
and Ho, arXiv 2202.00512, appendix D). Weights: Hang et al., arXiv 2303.09556, section 3.4: min(SNR, g) for x_0, divided by
SNR for noise and by SNR + 1 for v, which are the same loss told in other units.

A model with learned variance puts it into the second half of its channels. It was trained beside the noise by the
variational bound and is not used by any of our samplers: those channels take no part in the loss, so in full training
they stay as they were but for weight decay and the shared layers below them, and a LoRA does not see them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.sampling.schedule import Schedule
from trainer.config import Loss


class Objective:
    """The loss of one run: ``prediction`` is what the model predicts."""

    def __init__(self, schedule: Schedule, options: Loss) -> None:
        bar = schedule.alphas_cumprod()
        self.prediction = schedule.prediction_type if options.prediction == "auto" else options.prediction
        self.count = len(bar)
        self._signal, self._noise = (torch.from_numpy(np.sqrt(x)).float() for x in (bar, 1 - bar))
        self._options = options
        self._weights = torch.from_numpy(min_snr(bar, options.min_snr, self.prediction)).float()

    def timestep(self, generator: np.random.Generator) -> int:
        """One, from 0 to ``count - 1``: uniform, or the logistic of a normal number (Esser et al., arXiv 2403.03206)."""
        if self._options.timesteps == "uniform":
            return int(generator.integers(self.count))
        place = 1 / (1 + np.exp(-(self._options.mean + self._options.std * generator.standard_normal())))
        return min(self.count - 1, int(place * self.count))

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """(model input, target), both like ``clean``, float32 ``[n, c, h, w]``; ``timesteps`` int64 ``[n]`` on the CPU."""
        a, s = (x[timesteps].view(-1, 1, 1, 1).to(clean) for x in (self._signal, self._noise))
        target = {"epsilon": lambda: noise, "v_prediction": lambda: a * noise - s * clean, "sample": lambda: clean}[
            self.prediction
        ]()
        return a * clean + s * noise, target

    def each(self, output: Tensor, target: Tensor, timesteps: Tensor, *, weighted: bool = True) -> Tensor:
        """float32 ``[n]``: the mean square error of each row over the channels of ``target``, weighted by min-SNR."""
        channels = target.shape[1]
        error = (output[:, :channels].float() - target).square().mean((1, 2, 3))
        return error * self._weights[timesteps].to(error) if weighted else error


def min_snr(alphas_cumprod: Sequence[float] | np.ndarray, gamma: float, prediction: str) -> np.ndarray:
    """float64 weights by timestep; all ones for ``gamma`` 0."""
    bar = np.asarray(alphas_cumprod, np.float64)
    if not gamma:
        return np.ones_like(bar)
    snr = bar / np.maximum(1 - bar, 1e-20)
    kept = np.minimum(snr, gamma)
    return {"epsilon": kept / snr, "v_prediction": kept / (snr + 1), "sample": kept}[prediction]
