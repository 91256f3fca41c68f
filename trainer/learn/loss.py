"""The denoising loss: noisy inputs, targets and weights.

x_t = a x_0 + s e, with a^2 = alphas_cumprod[t] and s^2 = 1 - a^2 (Ho et al., arXiv 2006.11239); v = a e - s x_0
(Salimans and Ho, arXiv 2202.00512, appendix D). Weights: Hang et al., arXiv 2303.09556, section 3.4: min(SNR, g) for
x_0, divided by SNR for noise and by SNR + 1 for v, which is the same loss in other units.

A model with learned variance outputs it in the second half of its channels. It was trained by the variational bound and
none of our samplers uses it: those channels do not enter the loss. In full training they change only by weight decay
and through the shared layers below them, and a LoRA does not affect them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
        """Sample one, 0 to ``count - 1``.

        The distribution is uniform, or the logistic of a normal sample (Esser et al., arXiv 2403.03206).
        """
        if self._options.timesteps == "uniform":
            return int(generator.integers(self.count))
        position = 1 / (1 + np.exp(-(self._options.mean + self._options.std * generator.standard_normal())))
        return min(self.count - 1, int(position * self.count))

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """(model input, target), both float32 ``[n, c, h, w]`` as ``clean``.

        ``timesteps``: int64 ``[n]`` on the CPU.
        """
        a, s = (x[timesteps].view(-1, 1, 1, 1).to(clean) for x in (self._signal, self._noise))
        target = {"epsilon": lambda: noise, "v_prediction": lambda: a * noise - s * clean, "sample": lambda: clean}[
            self.prediction
        ]()
        return a * clean + s * noise, target

    def each(self, output: Tensor, target: Tensor, timesteps: Tensor, *, weighted: bool = True) -> Tensor:
        """float32 ``[n]``: each row's mean squared error over the channels of ``target``, weighted by min-SNR."""
        channels = target.shape[1]
        error = (output[:, :channels].float() - target).square().mean((1, 2, 3))
        return error * self._weights[timesteps].to(error) if weighted else error


def min_snr(
    alphas_cumprod: Sequence[float] | np.ndarray[Any, Any], gamma: float, prediction: str
) -> np.ndarray[Any, Any]:
    """float64 weights by timestep; all ones for ``gamma`` 0."""
    bar = np.asarray(alphas_cumprod, np.float64)
    if not gamma:
        return np.ones_like(bar)
    snr = bar / np.maximum(1 - bar, 1e-20)
    limited = np.minimum(snr, gamma)
    weights = {"epsilon": limited / snr, "v_prediction": limited / (snr + 1), "sample": limited}
    return weights[prediction]
