"""Noise, and the denoiser under classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.contract.request import ImageRequest
from engine.dit import DiT
from engine.text import Feature


def noise(seeds: Sequence[int], channels: int, height: int, width: int) -> Tensor:
    """float32 ``[n, channels, height, width]``: one CPU generator a picture, drawn as diffusers draws it."""
    rows = [torch.randn((1, channels, height, width), generator=torch.Generator("cpu").manual_seed(s)) for s in seeds]
    return torch.cat(rows)


class Predictor:
    """Guided prediction for one micro-batch: negative rows first, then positive, in one call.

    Captions' keys and values are computed here once, the negative prompt's once for all rows that share it.
    """

    def __init__(self, model: DiT, requests: Sequence[ImageRequest], features: dict[str, Feature], device: torch.device) -> None:
        self._model = model
        self._guided = any(r.guidance > 1 for r in requests)
        texts = {r.prompt for r in requests} | {r.negative for r in requests if self._guided}
        on_device = {t: features[t].states.to(device) for t in texts}
        rows = [on_device[r.prompt] for r in requests]
        if self._guided:
            rows = [on_device[r.negative] for r in requests] + rows
        self._count = len(rows)
        with torch.inference_mode():
            self._captions = model.captions(rows)
        self._scale = torch.tensor([r.guidance for r in requests], device=device).view(-1, 1, 1, 1)
        self._size: dict[str, Tensor] = {}
        if model.config.use_additional_conditions:
            width, height = requests[0].width or 0, requests[0].height or 0
            self._size = {"resolution": torch.tensor([[height, width]] * self._count, dtype=torch.float32, device=device),
                          "aspect": torch.tensor([[height / width]] * self._count, dtype=torch.float32, device=device)}

    @torch.inference_mode()
    def __call__(self, latents: Tensor, timestep: float) -> Tensor:
        """float32 latents ``[n, c, h, w]`` -> float32 prediction of the same shape."""
        x = latents.to(self._model.proj_out.weight.dtype)
        if self._guided:
            x = torch.cat([x, x])
        times = torch.full((self._count,), timestep, device=x.device)
        out = self._model(x, times, self._captions, **self._size)[:, : latents.shape[1]].float()
        if not self._guided:
            return out
        negative, positive = out.chunk(2)
        return negative + self._scale * (positive - negative)
