"""Whether an exported folder draws in optimum's own ONNX Runtime classes what it draws here.

    python benchmarks/interop_optimum.py EXPORT --python OTHER/bin/python [--prompt すし] [--json]

OTHER is a virtual environment with ``optimum-onnx[onnxruntime]==0.1.0``, which cannot be installed beside this program.
Both sides get the same first noise and the same caption features; the other side also encodes the caption itself.
Exit status 1 below 45 dB (30 dB for an fp16 export) or when the features differ by more than the part's bound.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

STEPS, GUIDANCE, SEED = 20, 4.5, 7


def here(export: Path, prompt: str, work: Path) -> None:
    """Our picture by PyTorch-free ONNX Runtime; what it started from is kept for the other side."""
    sys.path[0] = str(
        Path(__file__).resolve().parent.parent
    )  # instead of this folder, whose names are not meant for import
    from engine import pipeline
    from engine.backends.factory import open_backend
    from engine.checkpoint.layout import identify
    from engine.contract.request import ImageRequest

    backend = open_backend(identify(export), kind="onnx", device="cpu")
    request = pipeline.settle(ImageRequest(prompt=prompt, seed=SEED, steps=STEPS, guidance=GUIDANCE), backend.folder)
    features = pipeline.encode(backend, [request])
    pixels = pipeline.decode(backend, pipeline.denoise_batch(backend, [request], features))[0]
    own, empty = (np.asarray(features[t].states) for t in (request.prompt, request.negative))
    most = max(len(own), len(empty))
    kept: dict[str, Any] = {
        "noise": np.asarray(backend.noise([SEED], request.width or 0, request.height or 0)),
        "pixels": pixels,
        "prompt": prompt,
    }
    for name, states in (("prompt", own), ("negative", empty)):
        kept[f"{name}_embeds"] = np.pad(states, ((0, most - len(states)), (0, 0)))[None]
        kept[f"{name}_mask"] = (np.arange(most) < len(states)).astype(np.int64)[None]
    np.savez(work / "here.npz", **kept)


def inside(export: Path, work: Path) -> None:
    """The other environment: optimum's classes, their session handling and diffusers' own pipeline loop."""
    sys.path.pop(0)  # this folder, where `queue` is not Python's
    import torch
    from diffusers import PixArtSigmaPipeline
    from optimum.onnxruntime import ORTDiffusionPipeline
    from optimum.onnxruntime.modeling_diffusion import ORTTransformer

    class ORTPixArtSigmaPipeline(ORTDiffusionPipeline, PixArtSigmaPipeline):
        """What optimum has for other families and not for this one."""

        task = "text-to-image"
        main_input_name = "prompt"
        auto_model_class = PixArtSigmaPipeline

    plain = ORTTransformer.forward

    def forward(self: Any, *args: Any, added_cond_kwargs: Any = None, **more: Any) -> Any:
        """PixArt's pipeline hands resolution and aspect ratio along, empty for Σ."""
        return plain(self, *args, **more)

    ORTTransformer.forward = forward  # type: ignore[method-assign]
    pipe: Any = ORTPixArtSigmaPipeline.from_pretrained(export, provider="CPUExecutionProvider", use_io_binding=False)
    pipe.set_progress_bar_config(disable=True)
    with np.load(work / "here.npz") as kept:
        given = {name: torch.from_numpy(kept[name]) for name in kept.files if name not in ("pixels", "prompt")}
        prompt = str(kept["prompt"])
    tokens = pipe.tokenizer(prompt, return_tensors="pt")
    own = pipe.text_encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], return_dict=False)[
        0
    ]
    side = given["noise"].shape[-2:]
    scale = pipe.vae_scale_factor
    image = pipe(
        prompt=None,
        negative_prompt=None,
        prompt_embeds=given["prompt_embeds"],
        prompt_attention_mask=given["prompt_mask"],
        negative_prompt_embeds=given["negative_embeds"],
        negative_prompt_attention_mask=given["negative_mask"],
        latents=given["noise"],
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        height=side[0] * scale,
        width=side[1] * scale,
        use_resolution_binning=False,
        output_type="pil",
    ).images[0]
    import diffusers
    import onnxruntime
    import transformers

    np.savez(work / "there.npz", pixels=np.asarray(image), states=own.float().numpy()[0])
    (work / "there.json").write_text(
        json.dumps(
            {
                "diffusers": diffusers.__version__,
                "transformers": transformers.__version__,
                "torch": torch.__version__,
                "onnxruntime": onnxruntime.__version__,
            }
        ),
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--python", type=Path, help="of the environment with optimum-onnx")
    parser.add_argument("--prompt", default="すし")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.export, args.inside)
        return 0
    if not args.python:
        parser.error("--python is needed")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        here(args.export.resolve(), args.prompt, work)
        subprocess.run(
            [str(args.python), str(Path(__file__).resolve()), str(args.export.resolve()), "--inside", str(work)],
            check=True,
            cwd=work,
        )
        with np.load(work / "here.npz") as mine, np.load(work / "there.npz") as theirs:
            a, b = mine["pixels"].astype(np.float64), theirs["pixels"].astype(np.float64)
            states = mine["prompt_embeds"][0][mine["prompt_mask"][0].astype(bool)]
            apart = (
                float(np.abs(states - theirs["states"]).max() / np.abs(states).max())
                if states.shape == theirs["states"].shape
                else 1e9
            )
        versions = json.loads((work / "there.json").read_text(encoding="utf-8"))
    error = float(((a - b) ** 2).mean())
    psnr = min(99.0, 10 * float(np.log10(255**2 / error))) if error else 99.0
    half = json.loads((args.export / "commonart_export.json").read_text(encoding="utf-8"))["dtype"] == "fp16"
    good = psnr >= (30 if half else 45) and apart <= (2e-2 if half else 1e-4)
    found = {"prompt": args.prompt, "psnr": psnr, "features_apart": apart, "good": good, "there": versions}
    print(
        json.dumps(found, ensure_ascii=False)
        if args.json
        else f"{psnr:.1f} dB, features {apart:.1e} apart, {'ok' if good else 'MISSED'}; {versions}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
