"""Stage 1: the autoencoder, diffusers' ``AutoencoderKL`` at toy size, 64 px to 16 x 16 x 4."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from trainer.mini.pictures import GROUNDS, on_ground
from trainer.mini.state import Run, restore, save

STEPS, BATCH, PEAK = 1_200, 16, 1.5e-3
CONFIG = dict(
    in_channels=3, out_channels=3, latent_channels=4, sample_size=64, layers_per_block=1, norm_num_groups=4,
    block_out_channels=(16, 48, 96), down_block_types=("DownEncoderBlock2D",) * 3,
    up_block_types=("UpDecoderBlock2D",) * 3, mid_block_add_attention=True, shift_factor=None,
)


def build(scaling_factor: float = 1.0):
    """A fresh ``AutoencoderKL``; the factor makes latents of unit variance."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(**CONFIG, scaling_factor=scaling_factor)


def to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """uint8 ``[n, h, w, 3]`` -> float32 ``[n, 3, h, w]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def train(known: np.ndarray, more: np.ndarray, work: Path, *, steps: int = STEPS, say=print):
    """Learn to rebuild pictures (uint8 RGBA ``[n, 64, 64, 4]``) on the eight grounds.

    Two of three come from ``known``, what the denoiser will draw; the rest from ``more``, so that the
    autoencoder also serves those who fine-tune on other things.

    The loss is L1 + L2 on pixels, L1 on their differences (keeps edges crisp) and a weak pull to unit scale.
    """
    torch.manual_seed(1)
    vae = build()
    opt = torch.optim.AdamW(vae.parameters(), lr=PEAK, betas=(0.9, 0.99), weight_decay=0.0)
    run = Run(work / "vae")
    start = restore(run, vae, opt)
    grounds = [g[0] for g in GROUNDS.values()]
    began = time.monotonic()
    for step in range(start, steps):
        rng = np.random.default_rng((1, step))
        for group in opt.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 50) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
        pick = np.where((rng.random(BATCH) < 2 / 3)[:, None, None, None],
                        known[rng.integers(len(known), size=BATCH)], more[rng.integers(len(more), size=BATCH)])
        flip = rng.random(BATCH) < 0.5
        pick = np.where(flip[:, None, None, None], pick[:, :, ::-1], pick)
        rgb = np.stack([on_ground(p, grounds[0 if rng.random() < 0.4 else rng.integers(len(grounds))]) for p in pick])
        x = to_tensor(rgb)
        # The mean with a little noise of known size learns several times faster than the sampled posterior, whose
        # variance starts at one; the last term keeps latents near unit scale, as the KL term would.
        z = vae.encode(x).latent_dist.mean
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(10_000_000 + step))
        y = vae.decode(z + 0.05 * noise).sample
        dx, dy = _edges(x), _edges(y)
        loss = (F.l1_loss(y, x) + 2 * F.mse_loss(y, x) + 0.5 * sum(F.l1_loss(b, a) for a, b in zip(dx, dy, strict=True))
                + 1e-2 * ((z.std() - 1).square() + z.mean().square()))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        if (step + 1) % 50 == 0:
            psnr = -10 * math.log10(F.mse_loss(y, x).item() / 4)
            say(f"vae {step + 1}/{steps} loss {loss.item():.4f} psnr {psnr:.1f} "
                f"{(step + 1 - start) * BATCH / (time.monotonic() - began):.0f}/s", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save(run, step + 1, vae, opt)
    return vae


@torch.no_grad()
def write_factor(vae, rgba: np.ndarray, work: Path) -> float:
    """The factor that gives the latent means of all pictures on all grounds unit variance, kept in ``work/vae/factor.json``."""
    kept = work / "vae" / "factor.json"
    if kept.exists():
        return float(json.loads(kept.read_text(encoding="utf-8"))["factor"])
    vae.eval()
    columns = []
    for colour, *_ in GROUNDS.values():
        rgb = on_ground(rgba, colour)
        columns.append(torch.cat([vae.encode(to_tensor(rgb[i:i + 64])).latent_dist.mean for i in range(0, len(rgb), 64)]))
    factor = float(1.0 / torch.stack(columns, 1).std())
    kept.write_text(json.dumps({"factor": factor}) + "\n", encoding="utf-8")
    return factor
