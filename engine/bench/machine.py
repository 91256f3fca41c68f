"""The machine's matmul peak, and the floating-point operations of one image.

python -m engine.bench.machine MODEL --tokens 12 --steps 20 --guidance 4.5 --width 512 --height 512
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from engine.checkpoint.library import open_model
from engine.system.json_program import own_stdout

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def peak(device: str, dtype: str, side: int = 0) -> float:
    """Floating-point operations per second of the fastest of several square matmuls; a multiply-add counts as two."""
    import torch

    kind: Any = getattr(torch, DTYPES[dtype])
    side = side or (8192 if device.startswith("cuda") else 1536)
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    times = []
    for _ in range(7):
        began = time.perf_counter()
        a @ b
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return float(2 * side**3 / min(times[1:]))


def operations(
    model: list[str | None], width: int, height: int, tokens: int, steps: int, guided: bool
) -> dict[str, float]:
    """Floating-point operations of one image by part, counted on the real modules without weights.

    Captions have their own length, their keys and values are computed once, and each text is encoded once. What a
    backend saves beyond that (``engine.models.caption_attention``, halves with a common start) is counted as done.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from engine.models.pixart import DiT, DiTConfig

    folder = open_model(*model)  # type: ignore[arg-type]
    scale = folder.vae_scale
    with torch.device("meta"):
        dit = DiT(DiTConfig.from_dict(folder.denoiser_config)).eval()
        captions = torch.randn(tokens, dit.config.caption_channels)
        latents = torch.randn(1, dit.config.in_channels, height // scale, width // scale)
        with torch.no_grad():
            with FlopCounterMode(display=False) as once:
                groups = dit.captions([captions])
            dit._places[
                (
                    height // scale // dit.config.patch_size,
                    width // scale // dit.config.patch_size,
                    latents.dtype,
                    latents.device,
                )
            ] = torch.zeros(1, 1, dit.config.width)
            with FlopCounterMode(display=False) as step:
                dit(latents, torch.zeros(1), groups)
    from diffusers import AutoencoderKL

    config = {k: v for k, v in folder.vae_config.items() if not k.startswith("_")}
    with torch.device("meta"):
        vae = AutoencoderKL(
            **{k: v for k, v in config.items() if k in AutoencoderKL.__init__.__code__.co_varnames}
        ).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as decode:
            vae.decode(latents)
    text = folder.text_config
    layers, hidden, inner = (
        int(text.get(a) or text.get(b) or 0)
        for a, b in (("num_hidden_layers", "num_layers"), ("hidden_size", "d_model"), ("intermediate_size", "d_ff"))
    )
    encode = 2.0 * tokens * layers * (4 * hidden * hidden + 3 * hidden * inner)
    halves = 2 if guided else 1
    return {
        "encode": encode,
        "captions": float(once.get_total_flops()),
        "denoise": float(step.get_total_flops() * steps * halves),
        "decode": float(decode.get_total_flops()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.bench.machine", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--tokens", type=int, default=12)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    args = parser.parse_args()
    answers = own_stdout()
    result = {
        "matmul_peak": statistics.median(peak(args.device, args.dtype) for _ in range(3)),
        "operations": operations(
            [args.model, args.text_encoder, args.vae],
            args.width,
            args.height,
            args.tokens,
            args.steps,
            args.guidance > 1,
        ),
    }
    with answers:
        answers.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
