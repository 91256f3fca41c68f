"""Latents to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.backends.row_threads import RowThreads
from engine.contract.errors import NotFinite


@torch.inference_mode()
def decode(vae: Any, latents: torch.Tensor, dtype: str, tiled: bool, lanes: RowThreads) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, height, width, 3]`` from denoised latents ``[n, c, h, w]``.

    Raises:
        NotFinite: the values overflowed.
    """
    (vae.enable_tiling if tiled else vae.disable_tiling)()
    if not bool(torch.isfinite(latents).all()):
        raise NotFinite(dtype=dtype)
    shift = vae.config.get("shift_factor") or 0.0

    # one image at a time: a convolution over several may round differently, and an image must not depend on its
    # neighbours
    @torch.inference_mode()  # the mode is per thread
    def share(_: int, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [
            vae.decode((row / vae.config["scaling_factor"] + shift).to(vae.dtype), return_dict=False)[0].float()
            for row in rows
        ]

    x = torch.cat([one for part in lanes.map(share, torch.split(latents, 1)) for one in part])
    if not bool(torch.isfinite(x).all()):
        raise NotFinite(dtype=dtype)
    # one half up, not truncation: as diffusers' numpy_to_pil
    pixels = (x / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
