"""``commonart bench``: how fast this machine generates images, also compared with diffusers or an ONNX export of the
same model.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli.pictures import folder_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from engine.contract.errors import Phrase, UsageError
from engine.contract.request import PRESETS


def add(subparsers: Any) -> None:
    """Declare the command."""
    text = tr("measure images per second on this machine, by turns with another engine")
    parser = subparsers.add_parser("bench", help=text, description=text)
    parser.add_argument(
        "--against", choices=["diffusers", "onnx", "none"], default="diffusers", help=tr("the other engine (diffusers)")
    )
    parser.add_argument("--onnx", type=Path, metavar="FOLDER", help=tr("the exported folder, for --against onnx"))
    parser.add_argument("--model", metavar="NAME|FOLDER", default="commonart-mini", help=tr("a model's name or folder"))
    parser.add_argument(
        "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
    )
    parser.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    parser.add_argument("--prompts", type=int, default=64, metavar="N", help=tr("images a round (64)"))
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help=tr("rounds (3)"))
    parser.add_argument("--steps", type=int, default=20, metavar="N", help=tr("denoising steps (20)"))
    parser.add_argument("--size", type=int, metavar="PX", help=tr("the side in pixels; the model's own if not given"))
    parser.add_argument(
        "--dtype", choices=["fp32", "bf16", "fp16"], default="fp32", help=tr("how numbers are held, on both sides")
    )
    parser.add_argument("--device", default="auto", help=tr("auto, cpu, cuda, cuda:1, mps"))
    parser.add_argument("--batch", type=int, metavar="N", help=tr("images denoised together"))
    parser.add_argument("--preset", choices=PRESETS, default="exact", help=tr("exact, or faster at a measured loss"))
    parser.add_argument("--compile", action="store_true", help=tr("let diffusers use torch.compile"))
    parser.add_argument(
        "--probe", action="store_true", help=tr("find out whether compiling the denoiser pays here, and remember it")
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _probe(args: argparse.Namespace, arguments: list[str]) -> int:
    if args.onnx:
        raise UsageError(why=Phrase("--onnx goes with --against onnx, not with --probe"))
    arguments += ["--device", args.device, "--dtype", args.dtype]
    print(tr("Compiling and measuring; this takes a minute or more."), file=sys.stderr)
    found = program("engine.bench.autotune", arguments)
    found.pop("ok")
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    for name, seconds in found.get("seconds_per_step", {}).items():
        print(f"{name:<10}{seconds * 1000:8.1f} ms")
    print(
        tr("{model} runs compiled from now on.", model=found["model"])
        if found["choice"] == "compiled"
        else tr("{model} runs as it is: compiling brings nothing here.", model=found["model"])
    )
    for note in found.get("notes", []):
        print(note)
    return 0


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns the exit status."""
    arguments = ["--model", folder_of(args.model) or args.model]
    for name in ("text_encoder", "vae"):
        if getattr(args, name):
            arguments += ["--" + name.replace("_", "-"), folder_of(getattr(args, name)) or ""]
    if args.probe:
        return _probe(args, arguments)
    for name in ("against", "onnx", "prompts", "rounds", "steps", "size", "dtype", "device", "batch", "preset"):
        if getattr(args, name) is not None:
            arguments += [f"--{name}", str(getattr(args, name))]
    arguments += ["--compile"] if args.compile else []
    with tqdm(desc=tr("measuring"), file=sys.stderr, unit="") as shown:

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        found = program("engine.bench", arguments, on_progress=on_progress)
    found.pop("ok")
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    for name, side in found["sides"].items():
        print(
            tr(
                "{name}: {rate:.2f} images a second ({low:.2f} to {high:.2f}), {memory:.0f} MB at most",
                name=name,
                rate=side["pictures_per_second"],
                low=side["slowest"],
                high=side["fastest"],
                memory=side["peak_memory_bytes"] / 1e6,
            )
        )
        for stage, seconds in side.get("stage_seconds", {}).items():
            print(f"    {stage:<10}{seconds:8.2f} s")
    for name, rival in found["against"].items():
        print(
            tr(
                "{ratio:.2f} times {name}; the images differ by {least:.1f} dB at most (median {median:.1f})",
                ratio=rival["ratio"],
                name=name,
                least=rival["psnr_db"]["least"],
                median=rival["psnr_db"]["median"],
            )
        )
    if found["share_of_matmul_peak"] is not None:
        print(tr("{share:.0%} of this machine's matrix peak", share=found["share_of_matmul_peak"]))
    if found["reliable"] is False:
        print(
            tr(
                "The rounds differ by {spread:.0%}: this figure is unreliable. Measure again when the machine has "
                "nothing else to do.",
                spread=found["spread"],
            )
        )
    elif found["reliable"] is None:
        print(tr("One round tells nothing of the spread; use --rounds 3 or more."))
    if found["load_before"] > 0.5 * found["cores"]:
        print(tr("The machine was busy (load {load:.1f}); look at the spread.", load=found["load_before"]))
    for note in found["notes"]:
        print(note)
    return 0
