"""Predictions of a micro-batch under a sampling plan: which are guided, and which are made in halves of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.backends.pytorch.denoise import CaptionFeatures, Predictor
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.models.pixart import DiT
from engine.models.text_encoder import Feature


class PlannedPredictor:
    """Called once for each prediction of the sampler, in order.

    With ``halves`` a guided prediction of 2n images is two calls of 2n rows, an unguided one a single call of 2n rows:
    the rows that guidance frees are filled with the other half of the micro-batch, so the denoiser always gets the same
    number of rows.
    """

    def __init__(
        self,
        model: DiT,
        requests: Sequence[ImageRequest],
        features: dict[str, Feature],
        device: torch.device,
        plan: SamplingPlan,
    ) -> None:
        self._model, self._requests, self._features, self._device = model, requests, features, device
        self._captions = CaptionFeatures(model, features, device)
        self._guided = plan.guided if any(r.guidance > 1 for r in requests) else (0, 0)
        count = len(requests)
        half = (count + 1) // 2 if plan.halves and count > 1 else count
        self._parts = [(a, min(a + half, count)) for a in range(0, count, half)]
        self._cached: dict[bool, list[tuple[int, int, Predictor]]] = {}
        self._index = 0

    def _predictors(self, guided: bool) -> list[tuple[int, int, Predictor]]:
        """(start, stop, predictor) of each part.

        Those of the other kind are dropped: their keys and values take memory, and guidance begins and ends only once.
        """
        if guided not in self._cached:
            parts = self._parts if guided else [(0, len(self._requests))]
            self._cached = {guided: [(a, b, self._create(a, b, guided)) for a, b in parts]}
        return self._cached[guided]

    def _create(self, start: int, stop: int, guided: bool) -> Predictor:
        return Predictor(
            self._model,
            self._requests[start:stop],
            self._features,
            self._device,
            guided=guided,
            captions=self._captions,
        )

    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """float32 latents ``[n, c, h, w]`` -> float32 prediction of the same shape."""
        guided = self._guided[0] <= self._index < self._guided[1]
        self._index += 1
        out = [predict(latents[a:b], timestep) for a, b, predict in self._predictors(guided)]
        return out[0] if len(out) == 1 else torch.cat(out)
