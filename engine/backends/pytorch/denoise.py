"""Noise, and the denoiser under classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.contract.request import ImageRequest
from engine.models.pixart import CaptionGroup, DiT, ProjectedCaption
from engine.models.text_encoder import Feature


def noise(seeds: Sequence[int], channels: int, height: int, width: int) -> Tensor:
    """float32 ``[n, channels, height, width]``: one CPU generator per image, drawn as diffusers draws it."""
    rows = [torch.randn((1, channels, height, width), generator=torch.Generator("cpu").manual_seed(s)) for s in seeds]
    return torch.cat(rows)


class CaptionFeatures:
    """A micro-batch's captions on the device: each is moved and projected once, however many predictors read it."""

    def __init__(self, model: DiT, features: dict[str, Feature], device: torch.device) -> None:
        self._model, self._features, self._device = model, features, device
        self._states: dict[str, Tensor] = {}
        self._projected: dict[int, ProjectedCaption] = {}  # by the identity of the tensors in ``_states``

    @torch.inference_mode()
    def groups(self, texts: Sequence[str]) -> list[CaptionGroup]:
        """Keys and values, one row per text."""
        for text in texts:
            if text not in self._states:
                self._states[text] = self._features[text].states.to(self._device)
        return self._model.captions([self._states[t] for t in texts], self._projected)


class Predictor:
    """Guided prediction for one micro-batch: negative rows first, then positive, in one call.

    The captions' keys and values are computed here once, the negative prompt's once for all rows that share it.
    """

    def __init__(
        self,
        model: DiT,
        requests: Sequence[ImageRequest],
        features: dict[str, Feature],
        device: torch.device,
        *,
        guided: bool = True,
        captions: CaptionFeatures | None = None,
    ) -> None:
        """Prepare the captions.

        Args:
            model: the denoiser, on ``device``.
            requests: the rows, all of one size.
            features: of every prompt and, under guidance, every negative prompt.
            device: where the latents are.
            guided: false omits the negative half regardless of the requests' guidance.
            captions: shared with other predictors of the same micro-batch.
        """
        self._model = model
        self._guided = guided and any(r.guidance > 1 for r in requests)
        rows = [r.prompt for r in requests]
        if self._guided:
            rows = [r.negative for r in requests] + rows
        self._count = len(rows)
        self._captions = (captions or CaptionFeatures(model, features, device)).groups(rows)
        self._scale = torch.tensor([r.guidance for r in requests], device=device).view(-1, 1, 1, 1)
        self._size: dict[str, Tensor] = {}
        if self._model.config.use_additional_conditions:
            width, height = requests[0].width or 0, requests[0].height or 0
            self._size = {
                "resolution": torch.tensor([[height, width]] * self._count, dtype=torch.float32, device=device),
                "aspect": torch.tensor([[height / width]] * self._count, dtype=torch.float32, device=device),
            }

    @torch.inference_mode()
    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """float32 latents ``[n, c, h, w]`` -> float32 prediction of the same shape."""
        x = latents.to(self._model.proj_out.weight.dtype)
        times = torch.full((self._count if self._size else 1,), timestep, device=x.device)
        out: Tensor = self._model(x, times, self._captions, **self._size)[:, : latents.shape[1]].float()
        if not self._guided:
            return out
        negative, positive = out.chunk(2)
        return negative + self._scale * (positive - negative)
