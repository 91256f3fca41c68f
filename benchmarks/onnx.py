"""Pictures a second of exported models on ONNX Runtime, against our PyTorch backend and diffusers' own pipeline or
transformer.

    python benchmarks/onnx.py [--only mini|wide] [--rounds 3] [--pictures 8] [--steps 2] [--layers 2] [--json]

Two models. ``mini``: the bundled one, whole pictures of 20 guided steps with decoding, captions encoded before.
``wide``: CommonArt β's widths (1152, 16 heads, captions of 4096) with random weights and ``--layers`` of its 28 blocks,
one guided picture of 512x512, ``--steps`` steps, denoising only; a caption of 64 tokens, which diffusers pads to 512 as
its pipelines do. All contestants take turns within each round, in an order that changes, with the same number of
threads; figures are medians over the rounds with the lowest and highest, and ratios are medians of the rounds' own
ratios. With an NVIDIA card that ONNX Runtime can use, ``wide`` also compares float16 on CUDA with PyTorch in bfloat16.
Exit status 1 when ``wide``
misses its goal: fp32
1.3 and int8 2 times our PyTorch in fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # instead of this folder, whose names are not meant for import

import numpy as np
import torch

from engine.backends.factory import open_backend
from engine.backends.onnx import sessions
from engine.backends.onnx.backend import OnnxBackend
from engine.backends.onnx.denoise import Predictor as OnnxPredictor
from engine.backends.onnx.encode import Feature as OnnxFeature
from engine.backends.onnx.noise import noise as numpy_noise
from engine.backends.pytorch.denoise import Predictor, noise
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import open_model
from engine.contract.request import ImageRequest
from engine.export.configs import exporter_config
from engine.export.graphs import Denoiser, write_graph
from engine.export.layout import copy_model_files, write_index
from engine.export.manifest import write_manifest
from engine.export.part_export import export_graph
from engine.export.quantize import quantize_to_int8
from engine.models.pixart import DiT, DiTConfig
from engine.models.text_encoder import Feature
from engine.pipeline import decode, denoise, denoise_batch, encode, settle
from engine.sampling.schedule import DPMSolverPP2M, Schedule

GOALS = {"onnx fp32": 1.3, "onnx int8": 2.0}
WORDS = [
    "すし",
    "a red apple",
    "ねこ、水彩",
    "青い背景の犬",
    "blue bird",
    "バス",
    "りんご",
    "a house on green background",
]
WIDE = {
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
SIDE, TOKENS, PADDED = 512, 64, 512
Contest = dict[str, Callable[[], Any]]


def contend(contest: Contest, pictures: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Everybody once to warm up, then ``rounds`` times in turn."""
    names = list(contest)
    for name in names:
        contest[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for n in range(rounds):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            began = time.perf_counter()
            contest[name]()
            seconds[name].append(time.perf_counter() - began)
    rows = {}
    for name, took in seconds.items():
        rates = sorted(pictures / s for s in took)
        rows[name] = {"images_per_second": statistics.median(rates), "lowest": rates[0], "highest": rates[-1]}
        for other in ("pytorch fp32", "diffusers fp32", "pytorch bf16 cuda"):
            if other in seconds and other != name:
                ratios = [b / a for a, b in zip(took, seconds[other], strict=True)]
                rows[name][f"times {other}"] = statistics.median(ratios)
    return rows


def export(folder: ModelFolder, out: Path) -> Path:
    """Graphs without the gate, which has its own program."""
    where = {
        "root": str(folder.root),
        "text_encoder": str(folder.text_encoder),
        "vae": str(folder.vae),
        "name": folder.name,
    }
    for part in ("transformer", "text_encoder", "vae_decoder", "vae_encoder"):
        (out / part).mkdir(parents=True, exist_ok=True)
        if part != "vae_encoder":
            export_graph(
                {
                    "source": where,
                    "loras": [],
                    "part": part,
                    "dtype": "fp32",
                    "file": str(out / part / "model.onnx"),
                    "reference": str(out.parent / f"{part}.npz"),
                    "fp16_reference": False,
                }
            )
    copy_model_files(folder, out)
    write_index(folder, out)
    write_manifest(out, {"dtype": "fp32", "quantize": "none", "max_tokens": folder.max_tokens})
    return out


def mini(scratch: Path, pictures: int, rounds: int) -> dict[str, Any]:
    """The bundled model, whole pictures."""
    import diffusers

    folder = open_model("commonart-mini")
    plain, small = export(folder, scratch / "mini"), scratch / "mini8"
    shutil.copytree(plain, small)
    for part in ("transformer", "text_encoder"):
        quantize_to_int8(small / part / "model.onnx")
    (small / "commonart_export.json").unlink()  # it lists the files as they were
    backends: dict[str, Any] = {
        "pytorch fp32": open_backend(folder, device="cpu", dtype="fp32"),
        "onnx fp32": OnnxBackend(identify(plain), device="cpu"),
        "onnx int8": OnnxBackend(identify(small), device="cpu"),
    }
    requests = [settle(ImageRequest(prompt=WORDS[n % len(WORDS)], seed=n), folder) for n in range(pictures)]

    def ours(backend: Any) -> Callable[[], Any]:
        features = encode(backend, requests)
        return lambda: decode(backend, denoise_batch(backend, requests, features))

    pipe: Any = diffusers.PixArtSigmaPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=diffusers.AutoencoderKL.from_pretrained(folder.vae, torch_dtype=torch.float32),
        transformer=diffusers.PixArtTransformer2DModel.from_pretrained(folder.denoiser, torch_dtype=torch.float32),
        scheduler=diffusers.DPMSolverMultistepScheduler.from_pretrained(str(folder.scheduler)),
    )
    pipe.set_progress_bar_config(disable=True)
    states = encode(backends["pytorch fp32"], requests)
    rows, masks = padded([states[r.prompt].states for r in requests], folder.max_tokens)
    none, none_mask = padded([states[r.negative].states for r in requests], folder.max_tokens)

    def theirs() -> Any:
        return pipe(
            prompt=None,
            negative_prompt=None,
            prompt_embeds=rows,
            prompt_attention_mask=masks,
            negative_prompt_embeds=none,
            negative_prompt_attention_mask=none_mask,
            num_inference_steps=20,
            guidance_scale=4.5,
            height=64,
            width=64,
            use_resolution_binning=False,
            generator=[torch.Generator().manual_seed(r.seed) for r in requests],
            output_type="np",
        ).images

    made = {name: ours(backend) for name, backend in backends.items()}
    pixels = {name: work() for name, work in made.items()}
    alike = {name: psnr(pixels[name], pixels["pytorch fp32"]) for name in ("onnx fp32", "onnx int8")}
    return {
        "model": "commonart-mini",
        "pictures": pictures,
        "steps": 20,
        "size": "64x64",
        "psnr": alike,
        "rows": contend(made | {"diffusers fp32": theirs}, pictures, rounds),
    }


def padded(features: list[torch.Tensor], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.zeros(len(features), length, features[0].shape[1])
    mask = torch.zeros(len(features), length, dtype=torch.long)
    for n, f in enumerate(features):
        states[n, : len(f)], mask[n, : len(f)] = f, 1
    return states, mask


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return min(99.0, 10 * np.log10(255**2 / error)) if error else 99.0


def wide(scratch: Path, layers: int, steps: int, rounds: int) -> dict[str, Any]:
    """CommonArt β's widths, denoising one picture."""
    from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel

    torch.manual_seed(0)
    theirs = PixArtTransformer2DModel(**WIDE, num_layers=layers).eval().requires_grad_(False)
    for name, p in theirs.named_parameters():  # a fresh model says almost nothing
        if "proj_out" in name or "to_out" in name:
            torch.nn.init.normal_(p, std=0.03)
    with torch.device("meta"):
        ours = DiT(DiTConfig.from_dict(dict(theirs.config)))
    ours.load_state_dict(
        {k: v for k, v in theirs.state_dict().items() if not k.endswith("pos_embed.pos_embed")}, assign=True
    )
    ours = ours.eval().requires_grad_(False)
    files = {"fp32": scratch / "fp32" / "model.onnx", "int8": scratch / "int8" / "model.onnx"}
    for file in files.values():
        file.parent.mkdir()
    write_graph(
        Denoiser(ours),
        exporter_config("transformer", ours.config, "fp32"),
        files["fp32"],
        batch_size=2,
        sequence_length=7,
        height=12,
        width=20,
    )
    for part in files["fp32"].parent.iterdir():
        shutil.copyfile(part, files["int8"].parent / part.name)
    quantize_to_int8(files["int8"])
    request = ImageRequest(prompt="x", seed=1, width=SIDE, height=SIDE, steps=steps)
    side = SIDE // 8
    texts = {"x": torch.randn(TOKENS, WIDE["caption_channels"]), "": torch.randn(TOKENS, WIDE["caption_channels"])}
    start = noise([1], 4, side, side)

    def torch_denoise(model: DiT, device: str = "cpu") -> torch.Tensor:
        features = {k: Feature(v, False) for k, v in texts.items()}
        out: torch.Tensor = denoise(
            Predictor(model, [request], features, torch.device(device)),
            DPMSolverPP2M(Schedule(), steps),
            start.to(device),
        )
        return out.cpu()

    def onnx_denoise(file: Path, device: sessions.Device) -> Callable[[], Any]:
        session, _ = sessions.open_session(file, device)
        features = {k: OnnxFeature(v.numpy(), False) for k, v in texts.items()}

        def work() -> Any:
            predict = OnnxPredictor(
                session, [request], features, channels=4, out_channels=8, scale=8, memory="cpu", index=0, math=None
            )
            return denoise(predict, DPMSolverPP2M(Schedule(), steps), numpy_noise([1], 4, side, side))

        return work

    states, mask = padded([texts[""], texts["x"]], PADDED)

    @torch.inference_mode()
    def diffusers_denoise() -> torch.Tensor:
        scheduler: Any = DPMSolverMultistepScheduler()
        scheduler.set_timesteps(steps)
        x = start
        for t in scheduler.timesteps:
            out = theirs(
                torch.cat([x, x]),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                timestep=t.expand(2),
                added_cond_kwargs={"resolution": None, "aspect_ratio": None},
                return_dict=False,
            )[0]
            no, yes = out.chunk(2)
            x = scheduler.step((no + request.guidance * (yes - no))[:, :4], t, x, return_dict=False)[0]
        return x

    contest: Contest = {
        "pytorch fp32": lambda: torch_denoise(ours),
        "diffusers fp32": diffusers_denoise,
        "onnx fp32": onnx_denoise(files["fp32"], sessions.CPU),
        "onnx int8": onnx_denoise(files["int8"], sessions.CPU),
    }
    want = torch_denoise(ours).numpy()
    errors = {
        name: float(np.sqrt(np.mean((np.asarray(work()) - want) ** 2)) / want.std())
        for name, work in contest.items()
        if name != "pytorch fp32"
    }
    told: dict[str, Any] = {
        "model": f"width 1152, {layers} of 28 layers",
        "pictures": 1,
        "steps": steps,
        "size": f"{SIDE}x{SIDE}",
        "rms_error": errors,
        "rows": contend(contest, 1, rounds),
    }
    told["missed"] = [
        f"{name}: {told['rows'][name]['times pytorch fp32']:.2f} of {goal}"
        for name, goal in GOALS.items()
        if told["rows"][name]["times pytorch fp32"] < goal
    ]
    if torch.cuda.is_available() and "cuda" in sessions.working_devices():
        told["cuda"] = _cuda(ours, scratch, torch_denoise, onnx_denoise, rounds)
    else:
        told["cuda"] = "skipped: ONNX Runtime and PyTorch find no CUDA card here"
    return told


def _cuda(
    ours: DiT, scratch: Path, torch_denoise: Callable[..., Any], onnx_denoise: Callable[..., Any], rounds: int
) -> dict[str, Any]:
    """float16 on ONNX Runtime's CUDA provider against our PyTorch in bfloat16."""
    import copy

    half, file = copy.deepcopy(ours).half(), scratch / "fp16" / "model.onnx"
    file.parent.mkdir()
    write_graph(
        Denoiser(half),
        exporter_config("transformer", ours.config, "fp16"),
        file,
        batch_size=2,
        sequence_length=7,
        height=12,
        width=20,
    )
    fast = copy.deepcopy(ours).to("cuda", torch.bfloat16)
    contest: Contest = {
        "pytorch bf16 cuda": lambda: torch_denoise(fast, "cuda"),
        "onnx fp16 cuda": onnx_denoise(file, sessions.Device("cuda")),
    }
    return contend(contest, 1, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=("mini", "wide"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8, help="of the bundled model, in one batch (8)")
    parser.add_argument("--layers", type=int, default=2, help="of the wide model; CommonArt β has 28 (2)")
    parser.add_argument("--steps", type=int, default=2, help="of the wide model (2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(sessions.cores())
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("COMMONART_HOME", str(Path(scratch) / "home"))
        for name in ("a", "b"):
            (Path(scratch) / name).mkdir()
        told = [
            *([mini(Path(scratch) / "a", args.pictures, args.rounds)] if args.only != "wide" else []),
            *([wide(Path(scratch) / "b", args.layers, args.steps, args.rounds)] if args.only != "mini" else []),
        ]
    machine = {
        "threads": sessions.cores(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "rounds": args.rounds,
        "seconds": round(time.monotonic() - began, 1),
        "torch": torch.__version__,
        "onnxruntime": sessions.ort.__version__,
    }
    missed = [m for one in told for m in one.get("missed", [])]
    if args.json:
        print(json.dumps(machine | {"good": not missed, "models": told}))
        return 1 if missed else 0
    for one in told:
        print(f"{one['model']}, {one['size']}, {one['steps']} steps, {one['pictures']} picture(s) at once")
        for name, row in one["rows"].items():
            times = ", ".join(f"{v:.2f} {k}" for k, v in row.items() if k.startswith("times "))
            print(
                f"  {name:<16} {row['images_per_second']:8.3f} img/s ({row['lowest']:.3f} to {row['highest']:.3f})  "
                f"{times}"
            )
        for key in ("psnr", "rms_error", "cuda"):
            if key in one:
                print(f"  {key}: {one[key]}")
    print(f"{machine}  {'missed: ' + '; '.join(missed) if missed else 'goals kept' if args.only != 'mini' else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
