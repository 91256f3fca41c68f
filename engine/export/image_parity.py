"""The second parity check: images from the same latents, by PyTorch and by the graphs, through the same pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine import pipeline
from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.checkpoint.layout import identify
from engine.contract.request import ImageRequest
from engine.export.image_similarity import nearer_to_another, psnr

#: dB that every image must reach; for int8 the figure is only reported
BOUNDS: dict[str, float | None] = {"fp32": 45.0, "fp16": 30.0, "int8": None}
PROMPTS = (
    "すし",
    "a red apple, flat style",
    "青い背景の猫",
    "a bird on a white background",
    "赤い車、平面調",
    "a yellow flower",
    "山と太陽",
    "a house, cartoon style",
    "緑の魚",
    "a blue cup",
    "船",
    "an umbrella, glossy style",
)
FEW_IMAGES = 4  # where there is a bound; int8 generates all, since a share of four says little
#: Pixels: models of this side or less run 20 steps, larger ones 8, which on a CPU already takes minutes for each image.
SMALL = 128
SEED = 1000


def generate(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: the images of ``job["kind"]`` (pytorch or onnx) as uint8 ``[n, h, w, 3]`` into ``job["pixels"]``."""
    prompts, features = PROMPTS[: job["count"]], None
    if job["kind"] == "pytorch":
        from engine.export.part_export import encode_captions, open_loras, open_source

        folder = open_source(job)
        features = encode_captions(folder, ["", *prompts], job["fp16_reference"])
        backend = open_backend(folder, kind="pytorch", dtype="fp32", loras=open_loras(job, folder))
    else:
        backend = open_backend(identify(Path(job["folder"])), kind="onnx", device=job["device"])
    pixels = [_generate_image(backend, prompt, SEED + n, features) for n, prompt in enumerate(prompts)]
    np.save(job["pixels"], np.stack(pixels))
    return {"device": backend.device.partition(":")[0], "libraries": backend.libraries()}


def _generate_image(backend: Backend, prompt: str, seed: int, features: dict[str, Any] | None) -> np.ndarray[Any, Any]:
    steps = 20 if backend.folder.own_side <= SMALL else 8
    request = pipeline.settle(ImageRequest(prompt=prompt, seed=seed, steps=steps), backend.folder)
    latents = pipeline.denoise_batch(backend, [request], features or pipeline.encode(backend, [request]))
    return np.asarray(pipeline.decode(backend, latents)[0])


def compare(want: Path, got: Path, dtype: str, folder: Path) -> dict[str, Any]:
    """Compare both sets of pixels; writes the pairs as PNG into ``folder`` for people to look at."""
    before, after = np.load(want), np.load(got)
    folder.mkdir()
    bound = BOUNDS[dtype]
    rows: list[dict[str, Any]] = []
    for n, (a, b, other) in enumerate(zip(before, after, nearer_to_another(before, after), strict=True), 1):
        names = {"pytorch": f"{n:02}-pytorch.png", "onnx": f"{n:02}-onnx.png"}
        for pixels, name in ((a, names["pytorch"]), (b, names["onnx"])):
            Image.fromarray(pixels).save(folder / name)
        value = psnr(a, b)
        rows.append(
            {
                "prompt": PROMPTS[n - 1],
                "seed": SEED + n - 1,
                "psnr": value,
                "changed": other,
                "good": bound is None or value >= bound,
            }
            | {k: f"{folder.name}/{v}" for k, v in names.items()}
        )
    return {
        "dtype": dtype,
        "bound_psnr": bound,
        "rows": rows,
        "least_psnr": min(r["psnr"] for r in rows),
        "changed_share": sum(r["changed"] for r in rows) / len(rows),
        "good": all(r["good"] for r in rows),
    }
