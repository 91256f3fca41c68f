"""Stage 1: the autoencoder, diffusers' ``AutoencoderKL`` at toy size, 128 px to 16 x 16 x 4.

It grows out of a coder for half the side: one more block outside, the inner weights taken over. Its latents are held to
those of the smaller coder on the halved picture, so that a denoiser trained on these still knows them. First the
encoder learns to give those latents, then the decoder learns from them, with noise, to draw the large picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from trainer.mini.pictures import GROUNDS, SIZE, on_ground
from trainer.mini.scenes import scene
from trainer.mini.state import Run, restore, save

BATCH, PEAK = 16, 1.5e-3
STEPS = {"encoder": 300, "decoder": 2_100}
# of latents of about unit scale: up to so much for the decoder, which learns to draw clean shapes from what the
# denoiser gets nearly right
NOISE = 0.3
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": SIZE,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "block_out_channels": (16, 16, 48, 96),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "mid_block_add_attention": True,
    "shift_factor": None,
}


def build(scaling_factor: float = 1.0) -> Any:
    """A fresh ``AutoencoderKL``; the factor makes latents of unit variance."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(**CONFIG, scaling_factor=scaling_factor)


def to_tensor(rgb: np.ndarray) -> torch.Tensor:
    """uint8 ``[n, h, w, 3]`` -> float32 ``[n, 3, h, w]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def grow(small: Any) -> Any:
    """A coder for twice the side: ``small`` (an ``AutoencoderKL`` of three blocks) inside, and outside a block that at
    first halves and doubles plainly.

    One that has the full size already is taken as it is, to be trained further.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # the same coder every time: caches know it by its hash
        large = build(small.config.scaling_factor)
    given = small.state_dict()
    if grown(small):
        large.load_state_dict(given)
        return large
    last = len(small.config.block_out_channels) - 1
    taken = {}
    for name, value in given.items():
        if name.startswith("encoder.down_blocks."):
            head, tail = name.removeprefix("encoder.down_blocks.").split(".", 1)
            name = f"encoder.down_blocks.{int(head) + 1}.{tail}"
        taken[name] = value
    large.load_state_dict(taken, strict=False)
    with torch.no_grad():
        for block in (large.encoder.down_blocks[0], large.decoder.up_blocks[last + 1]):
            for resnet in block.resnets:  # nothing is added to what comes in
                resnet.conv2.weight.zero_()
                resnet.conv2.bias.zero_()
        down, up = large.encoder.down_blocks[0].downsamplers[0].conv, large.decoder.up_blocks[last].upsamplers[0].conv
        for conv, taps in ((down, ((0, 0), (0, 1), (1, 0), (1, 1))), (up, ((1, 1),))):
            conv.weight.zero_()
            conv.bias.zero_()
            for y, x in taps:
                conv.weight[:, :, y, x] += torch.eye(len(conv.weight)) / len(taps)
    return large


def grown(coder: Any) -> bool:
    """Has it the full size?"""
    return bool(tuple(coder.config.block_out_channels) == CONFIG["block_out_channels"])


def _wanted(small: Any, x: torch.Tensor) -> torch.Tensor:
    """The latents that the new encoder is held to, ``[n, 4, side / 8, side / 8]``."""
    mean: torch.Tensor = small.encode(x if grown(small) else F.avg_pool2d(x, 2)).latent_dist.mean
    return mean


def draw(rgba: np.ndarray, rng: np.random.Generator, count: int) -> torch.Tensor:
    """``count`` random pictures as the denoiser will meet them.

    One thing or several, mirrored or not, on any ground.
    """
    grounds = [g[0] for g in GROUNDS.values()]
    found = []
    for _ in range(count):
        what = rng.choice([1, 1, 1, 2, 3, 4])
        icons = [rgba[i] for i in rng.integers(len(rgba), size=what)]
        picture = icons[0] if what == 1 else scene(icons, int(what))
        picture = picture[:, ::-1] if rng.random() < 0.5 else picture
        found.append(on_ground(picture, grounds[0 if rng.random() < 0.4 else rng.integers(len(grounds))]))
    return to_tensor(np.stack(found))


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def _distance(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """L1 + L2 on pixels and L1 on their differences, which keeps edges crisp.

    Both again at half the size, which keeps areas right.
    """
    loss = (
        F.l1_loss(y, x)
        + 2 * F.mse_loss(y, x)
        + 0.5 * sum(F.l1_loss(b, a) for a, b in zip(_edges(x), _edges(y), strict=True))
    )
    a, b = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return loss + 0.5 * (
        F.l1_loss(b, a) + 0.5 * sum(F.l1_loss(q, p) for p, q in zip(_edges(a), _edges(b), strict=True))
    )


def train(
    rgba: np.ndarray, small: Any, work: Path, part: str, *, steps: int | None = None, say: Callable[..., None] = print
) -> Any:
    """One half of the coder, "encoder" or "decoder", learned from pictures ``rgba`` uint8 ``[n, SIZE, SIZE, 4]``.

    ``small`` is the coder of half the side. The decoder's stage starts from the encoder's. Resumes. Returns the coder.
    """
    steps = STEPS[part] if steps is None else steps
    torch.manual_seed(1)
    coder = grow(small)
    if part == "decoder" and steps:
        _take(work, coder, "encoder")
    holder = _half(coder, part)
    opt = torch.optim.AdamW(holder.parameters(), lr=PEAK, betas=(0.9, 0.99), weight_decay=0.0)
    run = Run(work / "vae" / part)
    start = restore(run, holder, opt)
    began = time.process_time()
    for step in range(start, steps):
        rng = np.random.default_rng((1, step, len(part)))
        for group in opt.param_groups:
            group["lr"] = (
                PEAK * min(1, (step + 1) / 50) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
            )
        x = draw(rgba, rng, BATCH)
        with torch.no_grad():
            wanted = _wanted(small, x) if part == "encoder" else coder.encode(x).latent_dist.mean
        if part == "encoder":
            loss = F.mse_loss(coder.encode(x).latent_dist.mean, wanted)
            told = f"variance left {loss.item() / wanted.var().item():.4f}"
        else:
            random = torch.Generator().manual_seed(10_000_000 + step)
            noise = (
                torch.randn(wanted.shape, generator=random) * NOISE * torch.rand(len(wanted), 1, 1, 1, generator=random)
            )
            y = coder.decode(wanted + noise).sample
            loss = _distance(y, x)
            told = f"psnr {-10 * math.log10(F.mse_loss(y, x).item() / 4):.1f}"
        opt.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(holder.parameters(), 1.0)
        opt.step()
        if (step + 1) % 25 == 0:
            say(
                f"vae {part} {step + 1}/{steps} loss {loss.item():.4f} {told} "
                f"{(step + 1 - start) * BATCH / (time.process_time() - began):.1f}/s",
                flush=True,
            )
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save(run, step + 1, holder, opt)
    return coder


def _half(coder: Any, part: str) -> torch.nn.ModuleDict:
    """What one stage trains."""
    return torch.nn.ModuleDict(
        {"coder": getattr(coder, part), "quant": coder.quant_conv if part == "encoder" else coder.post_quant_conv}
    )


def _take(work: Path, coder: Any, part: str) -> None:
    run, holder = Run(work / "vae" / part), _half(coder, part)
    if restore(run, holder, torch.optim.AdamW(holder.parameters())) == 0:
        raise SystemExit(f"the {part} has not been trained: {run.file} is missing")


def trained(work: Path, small: Any, *, decoder: bool = True) -> Any:
    """The coder out of both stages; without ``decoder`` its second half is the one it began with, and its latents are
    the same.

    Raises:
        SystemExit: a stage has not been run.
    """
    coder = grow(small)
    for part in ("encoder", "decoder") if decoder else ("encoder",):
        _take(work, coder, part)
    return coder.eval()


def load_small(folder: Path) -> Any:
    """The coder to go on from, of half the side or of the full one, from a model folder, in fp32, frozen.

    Raises:
        SystemExit: it is neither.
    """
    from diffusers import AutoencoderKL

    small = AutoencoderKL.from_pretrained(
        folder / "vae", local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
    )
    if not grown(small) and tuple(small.config.block_out_channels) != CONFIG["block_out_channels"][1:]:
        raise SystemExit(f"{folder / 'vae'} is not a coder that this recipe starts from")
    return small.eval().requires_grad_(False)


def reconstruct(coder: Any, rgb: np.ndarray) -> np.ndarray:
    """uint8 RGB pictures through the coder and back."""
    with torch.no_grad():
        y = coder.decode(coder.encode(to_tensor(rgb)).latent_dist.mean).sample
    rgb8: np.ndarray = ((y.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return rgb8
