"""``python -m engine.bench [--against diffusers|onnx] ...``: our engine, alternating with another, on one checkpoint.

One JSON document on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from engine.bench.compare import Baseline, compare
from engine.bench.ours import EngineRun
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.contract.errors import BadValue, FeatureMissing, Phrase
from engine.contract.paths import home
from engine.contract.python_process import python_command, python_environment
from engine.contract.request import PRESETS
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program

BATCH = 8  # of diffusers, where none is given: on a CPU more gains nothing, on a GPU give what fits


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _machine(model: list[str], device: str, dtype: str, settings: dict[str, Any]) -> dict[str, Any]:
    """See ``engine.bench.machine``; in a process of its own, so that its memory and threads disturb nothing."""
    done = subprocess.run(
        python_command(
            "-m",
            "engine.bench.machine",
            *model,
            "--device",
            device,
            "--dtype",
            dtype,
            "--steps",
            str(settings["steps"]),
            "--guidance",
            str(settings["guidance"]),
            "--width",
            str(settings["width"]),
            "--height",
            str(settings["height"]),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        check=False,
        env=python_environment(MKL_CBWR=None, OMP_NUM_THREADS=None),
    )
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def _parse(argv: list[str]) -> argparse.Namespace:
    """Raises BadValue, FeatureMissing."""
    parser = JsonArgumentParser(prog="python -m engine.bench", description=__doc__)
    parser.add_argument("--model", default="commonart-mini")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--against", choices=["diffusers", "onnx", "none"], default="diffusers")
    parser.add_argument("--onnx", help="the exported folder of the same model")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--size", type=int)
    parser.add_argument("--dtype", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--preset", choices=PRESETS, default="exact")
    args = parser.parse_args(argv)
    for name, low, high in (("prompts", 1, 100_000), ("rounds", 1, 100)):
        if not low <= getattr(args, name) <= high:
            raise BadValue(
                name=name,
                value=getattr(args, name),
                why=Phrase("it must lie between {low} and {high}", low=low, high=high),
            )
    if args.against == "onnx" and not args.onnx:
        raise FeatureMissing(
            what="--against onnx", why=Phrase("it needs the exported folder: --onnx FOLDER (see `commonart export`)")
        )
    return args


def _side(wanted: int | None, folder: ModelFolder) -> int:
    """The side of the images in pixels. Raises BadValue."""
    side = wanted or folder.own_side
    if side % folder.multiple:
        raise BadValue(
            name="size",
            value=side,
            why=Phrase(
                "with {model} it must be a multiple of {multiple}, such as {near}",
                model=folder.name,
                multiple=folder.multiple,
                near=folder.own_side,
            ),
        )
    return side


def _rivals(
    args: argparse.Namespace,
    work: Path,
    model: list[str],
    device: str,
    settings: dict[str, Any],
    request: dict[str, Any],
) -> list[Any]:
    if args.against == "diffusers":
        batch = args.batch or BATCH
        return [Baseline(model, settings=settings, device=device, dtype=args.dtype, batch=batch, compiled=args.compile)]
    if args.against == "onnx":
        changed = request | {"model": str(Path(args.onnx).absolute())}
        rival = EngineRun(work / "onnx", settings=changed, device=args.device, batch=args.batch)
        rival.name = "onnx"
        return [rival]
    return []


def bench(argv: list[str]) -> dict[str, Any]:
    """The measurement that ``argv`` asks for.

    Raises:
        BadValue, FeatureMissing, what ``open_model`` raises, and what the engines report.
    """
    args = _parse(argv)
    folder = open_model(args.model, args.text_encoder, args.vae)
    side, device = _side(args.size, folder), _device(args.device)
    settings = {"steps": args.steps, "guidance": args.guidance, "width": side, "height": side}
    parts = {"text_encoder": str(folder.text_encoder), "vae": str(folder.vae)} if folder.layout == "bare" else {}
    model = [str(folder.root), *(x for k, v in parts.items() for x in (f"--{k.replace('_', '-')}", v))]
    request = settings | {"model": str(folder.root), "dtype": args.dtype, "preset": args.preset} | parts
    machine = _machine(model, device, args.dtype, settings)
    notes: list[str] = []
    (home() / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home() / "tmp") as name:
        work = Path(name)
        before = psutil.getloadavg()[0]
        ours = EngineRun(work / "ours", settings=request, device=args.device, batch=args.batch, on_note=notes.append)
        others = _rivals(args, work, model, device, settings, request)
        result = compare(ours, others, count=args.prompts, rounds=args.rounds, work=work, on_progress=report_progress)
    rate = result["sides"]["commonart"]["pictures_per_second"]
    needed = sum(machine.get("operations", {}).values())
    result |= {
        "model": folder.name,
        "prompts": args.prompts,
        "settings": settings,
        "dtype": args.dtype,
        "preset": args.preset,
        "loaded": ours.loaded,
        "notes": notes,
        "load_before": before,
        "cores": os.cpu_count(),
        "machine": machine,
        "share_of_matmul_peak": rate * needed / machine["matmul_peak"] if machine else None,
    }
    if others:
        rival = result["against"][others[0].name]
        result |= {"ratio": rival["ratio"], "psnr_db": rival["psnr_db"]["least"]}
    # one value that says whether to trust the rest: the ratio's where there is a rival, since both sides slow down
    # alike
    main_figure = result["against"][others[0].name] if others else result["sides"]["commonart"]
    return result | {
        "reliable": main_figure["reliable"],
        "spread": main_figure.get("ratio_spread", main_figure.get("spread")),
        "load_after": psutil.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(run_json_program(bench))
