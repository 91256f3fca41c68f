"""A micro-batch's predictions along a course: which have a negative half, which leave blocks out, which are made in halves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.backends.pytorch.denoise import CaptionFeatures, Predictor
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan, predictions_of
from engine.models.pixart import DiT
from engine.models.step_cache import Middle, StepCache, Table
from engine.models.text_encoder import Feature


class PlannedPredictor:
    """Called once for each prediction of the sampler, in their order.

    With ``halves`` a guided prediction of 2n pictures is two calls of 2n rows, an unguided one a single call of 2n rows: the rows that
    guidance frees are filled with the other half of the micro-batch, and the denoiser always sees as many.
    """

    def __init__(
        self,
        model: DiT,
        requests: Sequence[ImageRequest],
        features: dict[str, Feature],
        device: torch.device,
        course: SamplingPlan,
    ) -> None:
        self._requests = requests
        captions = CaptionFeatures(model, features, device)
        self._make = lambda a, b, guided: Predictor(
            model, requests[a:b], features, device, guided=guided, captions=captions
        )
        self._guided = course.guided if any(r.guidance > 1 for r in requests) else (0, 0)
        count = len(requests)
        half = (count + 1) // 2 if course.halves and count > 1 else count
        self._parts = [(a, min(a + half, count)) for a in range(0, count, half)]
        depth = len(model.transformer_blocks)
        first, stop = (min(n, depth) for n in course.blocks)
        self._cache = StepCache(count, first, stop, course.order) if course.cached and first < stop else None
        self._table = Table.of(course.cached, predictions_of(course.sampler, course.steps), course.order)
        self._made: dict[bool, list[tuple[int, int, Predictor]]] = {}
        self._index = 0

    def _predictors(self, guided: bool) -> list[tuple[int, int, Predictor]]:
        """(start, stop, predictor) of each part. The others are let go: their keys and values take memory, and guidance begins and ends once."""
        if guided not in self._made:
            parts = self._parts if guided else [(0, len(self._requests))]
            self._made = {guided: [(a, b, self._make(a, b, guided)) for a, b in parts]}
        return self._made[guided]

    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """float32 latents ``[n, c, h, w]`` -> float32 prediction of the same shape."""
        index, self._index = self._index, self._index + 1
        guided = self._guided[0] <= index < self._guided[1]
        out = [
            predict(latents[a:b], timestep, self._middle(index, a, b, guided, timestep))
            for a, b, predict in self._predictors(guided)
        ]
        return out[0] if len(out) == 1 else torch.cat(out)

    def _middle(self, index: int, start: int, stop: int, guided: bool, timestep: float) -> Middle | None:
        reuse, keep = index in self._table.reused, index in self._table.kept
        if self._cache is None or not (reuse or keep):
            return None
        return Middle(self._cache, start, stop, guided=guided, timestep=timestep, reuse=reuse, keep=keep)
