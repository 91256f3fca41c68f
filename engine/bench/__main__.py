"""``python -m engine.bench [--against diffusers|onnx] ...``: our engine, by turns with another, on one checkpoint. One JSON document."""

from __future__ import annotations

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
from engine.checkpoint.library import open_model
from engine.contract.errors import BadValue, FeatureMissing, Phrase
from engine.contract.paths import home
from engine.contract.python_process import python_command, python_environment
from engine.contract.request import PRESETS
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program

BATCH = 8  # of diffusers, where none is given: on a CPU more brings nothing, on a GPU say what fits


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def _machine(model: list[str], device: str, dtype: str, settings: dict[str, Any]) -> dict[str, Any]:
    """See ``engine.bench.machine``; in a process of its own, so that its memory and threads are nobody's."""
    got = subprocess.run(
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
    return dict(json.loads(got.stdout)) if got.returncode == 0 else {}


def bench(argv: list[str]) -> dict[str, Any]:
    """The measurement asked for in ``argv``."""
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
    folder = open_model(args.model, args.text_encoder, args.vae)
    if args.against == "onnx" and not args.onnx:
        raise FeatureMissing(
            what="--against onnx", why=Phrase("it needs the exported folder: --onnx FOLDER (see `commonart export`)")
        )
    side = args.size or folder.own_side
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
    device = _device(args.device)
    settings = {"steps": args.steps, "guidance": args.guidance, "width": side, "height": side}
    model = (
        [str(folder.root), "--text-encoder", str(folder.text_encoder), "--vae", str(folder.vae)]
        if folder.layout == "bare"
        else [str(folder.root)]
    )
    request = (
        settings
        | {"model": str(folder.root), "dtype": args.dtype, "preset": args.preset}
        | ({"text_encoder": str(folder.text_encoder), "vae": str(folder.vae)} if folder.layout == "bare" else {})
    )
    machine = _machine(model, device, args.dtype, settings)
    notes: list[str] = []
    (home() / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home() / "tmp") as name:
        work = Path(name)
        before = psutil.getloadavg()[0]
        ours = EngineRun(work / "ours", settings=request, device=args.device, batch=args.batch, say=notes.append)
        others: list[Any] = []
        if args.against == "diffusers":
            others.append(
                Baseline(
                    model,
                    settings=settings,
                    device=device,
                    dtype=args.dtype,
                    batch=args.batch or BATCH,
                    compiled=args.compile,
                )
            )
        elif args.against == "onnx":
            rival = EngineRun(
                work / "onnx",
                settings=request | {"model": str(Path(args.onnx).absolute())},
                device=args.device,
                batch=args.batch,
            )
            rival.name = "onnx"
            others.append(rival)
        found = compare(ours, others, count=args.prompts, rounds=args.rounds, work=work, tell=report_progress)
    rate = found["sides"]["commonart"]["pictures_per_second"]
    needed = sum(machine.get("operations", {}).values())
    found |= {
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
        rivals = found["against"][others[0].name]
        found |= {"ratio": rivals["ratio"], "psnr_db": rivals["psnr_db"]["least"]}
    # one value that says whether to believe the rest: the ratio's where there is a rival, for both sides slow down alike
    judged = found["against"][others[0].name] if others else found["sides"]["commonart"]
    found |= {
        "reliable": judged["reliable"],
        "spread": judged.get("ratio_spread", judged.get("spread")),
        "load_after": psutil.getloadavg()[0],
    }
    return found


if __name__ == "__main__":
    sys.exit(run_json_program(bench))
