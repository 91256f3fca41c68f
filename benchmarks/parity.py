"""Whether our denoiser draws what diffusers' does, at the widths of CommonArt β with random weights, in fp32.

    python benchmarks/parity.py [--layers 2] [--size 256] [--json]

Prints the largest relative error of single calls over sizes and caption lengths, and the PSNR of whole pictures after
20 guided steps. Exit status 1 when a bound (1e-5 relative, 50 dB) is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(
    Path(__file__).resolve().parent.parent
)  # instead of this folder, whose names are not meant for import

import numpy as np
import torch

from engine.backends.pytorch.decode import decode
from engine.backends.pytorch.denoise import Predictor, noise
from engine.backends.row_threads import RowThreads
from engine.contract.request import ImageRequest
from engine.models.pixart import DiT, DiTConfig
from engine.models.text_encoder import Feature
from engine.pipeline import denoise
from engine.sampling.schedule import DPMSolverPP2M, Schedule

ERROR, PSNR = 1e-5, 50.0
PADDED = 512  # caption tokens of CommonArt β
CONFIG = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "sample_size": 64,
    "patch_size": 2,
    "interpolation_scale": 1,
    "use_additional_conditions": False,
}


def build(layers: int) -> tuple[DiT, Any, Any]:
    """(ours, diffusers', a small VAE), the first two over the same memory."""
    from diffusers import AutoencoderKL, PixArtTransformer2DModel

    torch.manual_seed(0)
    theirs = PixArtTransformer2DModel(**CONFIG, num_layers=layers).eval().requires_grad_(False)
    for name, p in theirs.named_parameters():  # a fresh model says almost nothing
        if "proj_out" in name or "to_out" in name:
            torch.nn.init.normal_(p, std=0.03)
    with torch.device("meta"):
        ours = DiT(DiTConfig.from_dict(dict(theirs.config)))
    state = {k: v for k, v in theirs.state_dict().items() if not k.endswith("pos_embed.pos_embed")}
    ours.load_state_dict(state, assign=True)
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.13,
    )
    return ours.eval().requires_grad_(False), theirs, vae.eval().requires_grad_(False)


def padded(features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    states, mask = (
        torch.randn(len(features), PADDED, CONFIG["caption_channels"]),
        torch.zeros(len(features), PADDED, dtype=torch.long),
    )
    for i, f in enumerate(features):
        states[i, : len(f)], mask[i, : len(f)] = f, 1
    return states, mask


@torch.inference_mode()
def one_call(ours: DiT, theirs: Any, height: int, width: int, lengths: list[int]) -> float:
    """Largest relative error of any row; every row sits at its own timestep."""
    x, times = torch.randn(len(lengths), 4, height // 8, width // 8), torch.linspace(999, 1, len(lengths))
    features = [torch.randn(n, CONFIG["caption_channels"]) for n in lengths]
    states, mask = padded(features)
    want = theirs(
        x,
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        timestep=times,
        added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        return_dict=False,
    )[0]
    got = ours(x, times, ours.captions(features))
    return float(((got - want).flatten(1).abs().amax(1) / want.flatten(1).abs().amax(1)).max())


@torch.inference_mode()
def whole(
    ours: DiT, theirs: Any, vae: Any, height: int, width: int, seed: int, tokens: int, guidance: float, steps: int
) -> float:
    """PSNR of one guided picture against diffusers' pipeline."""
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline

    request = ImageRequest(prompt="prompt", seed=seed, width=width, height=height, guidance=guidance, steps=steps)
    features = {"prompt": Feature(torch.randn(tokens, 4096), False), "": Feature(torch.randn(PADDED, 4096), False)}
    predict = Predictor(ours, [request], features, torch.device("cpu"))
    got = decode(
        vae,
        denoise(predict, DPMSolverPP2M(Schedule(), steps), noise([seed], 4, height // 8, width // 8)),
        "fp32",
        False,
        RowThreads(1),
    )[0]

    states, mask = padded([features["prompt"].states])
    no, no_mask = padded([features[""].states])
    pipe: Any = PixArtSigmaPipeline(
        tokenizer=None, text_encoder=None, vae=vae, transformer=theirs, scheduler=DPMSolverMultistepScheduler()
    )
    pipe.set_progress_bar_config(disable=True)
    want = np.asarray(
        pipe(
            prompt=None,
            negative_prompt=None,
            prompt_embeds=states,
            prompt_attention_mask=mask,
            negative_prompt_embeds=no,
            negative_prompt_attention_mask=no_mask,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=height,
            width=width,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(seed),
            output_type="pil",
        ).images[0]
    )
    error = float(np.mean((got.astype(np.float64) - want.astype(np.float64)) ** 2))
    return min(99.0, 10 * np.log10(255**2 / error)) if error else 99.0  # 99: not one byte differs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--layers", type=int, default=2, help="depth; CommonArt β has 28 (2)")
    parser.add_argument("--size", type=int, default=256, help="side in pixels, a multiple of 32 (256)")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.size % 32 or args.size < 32:
        parser.error("--size must be a multiple of 32")
    began, side = time.monotonic(), args.size
    ours, theirs, vae = build(args.layers)
    rows: list[dict[str, Any]] = []
    for height, width in ((side, side), (side // 2, side), (side, side // 2 + 16)):
        for lengths in ([1], [512], [7, 7, 40]):
            value = one_call(ours, theirs, height, width, lengths)
            rows.append(
                {
                    "what": f"one call, caption tokens {lengths}",
                    "size": f"{width}x{height}",
                    "error": value,
                    "good": value <= ERROR,
                }
            )
    for height, width, seed, tokens, guidance in (
        (side, side, 0, 20, 4.5),
        (side // 2, side, 1, 90, 7.0),
        (side, side, 2, 5, 1.0),
    ):
        value = whole(ours, theirs, vae, height, width, seed, tokens, guidance, args.steps)
        rows.append(
            {
                "what": f"{args.steps} steps, guidance {guidance}, {tokens} tokens",
                "size": f"{width}x{height}",
                "psnr": value,
                "good": value >= PSNR,
            }
        )
    good = all(r["good"] for r in rows)
    if args.json:
        print(
            json.dumps(
                {
                    "layers": args.layers,
                    "seconds": round(time.monotonic() - began, 1),
                    "torch": torch.__version__,
                    "good": good,
                    "rows": rows,
                }
            )
        )
    else:
        for r in rows:
            found = f"{r['error']:.2e}" if "error" in r else f"{r['psnr']:.1f} dB"
            print(f"{r['what']:<44} {r['size']:>9} {found:>9}  {'ok' if r['good'] else 'MISSED'}")
        print(
            f"{args.layers} layers, {time.monotonic() - began:.0f} s; bounds {ERROR:.0e} relative, {PSNR:.0f} dB: "
            f"{'kept' if good else 'MISSED'}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
