"""``commonart export``: a model as ONNX graphs, verified against PyTorch before the folder gets its name."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli.pictures import folder_of, lora_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program


def add(subparsers: Any) -> None:
    """Declare the command."""
    text = tr("write a model as ONNX graphs, proved against PyTorch")
    parser = subparsers.add_parser(
        "export",
        help=text,
        description=tr(
            "Write a model as ONNX graphs in the layout of Hugging Face optimum. Every graph and whole images are "
            "compared with PyTorch; "
            "an export that misses its bound is removed."
        ),
    )
    parser.add_argument("model", metavar="MODEL", help=tr("a model's name or folder"))
    parser.add_argument("out", metavar="OUT", help=tr("a folder that is not there yet, or an empty one"))
    parser.add_argument(
        "--dtype", choices=("fp32", "fp16"), default="fp32", help=tr("the numbers of the graphs (fp32)")
    )
    parser.add_argument(
        "--quantize",
        choices=("none", "int8"),
        default="none",
        help=tr("eight-bit weights for text encoder and denoiser: smaller and faster on CPUs, other images (none)"),
    )
    parser.add_argument(
        "--lora",
        metavar="LORA[:SCALE]",
        action="append",
        default=[],
        help=tr("merge a LoRA into the graphs; may be given again"),
    )
    parser.add_argument(
        "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
    )
    parser.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _arguments(args: argparse.Namespace) -> list[str]:
    arguments = [
        folder_of(args.model) or args.model,
        str(Path(args.out).absolute()),
        "--dtype",
        args.dtype,
        "--quantize",
        args.quantize,
    ]
    for name, scale in map(lora_of, args.lora):
        arguments += ["--lora", f"{name}:{scale}"]
    for option in ("text_encoder", "vae"):
        if getattr(args, option):
            arguments += ["--" + option.replace("_", "-"), folder_of(getattr(args, option)) or ""]
    return arguments


def run(args: argparse.Namespace) -> int:
    """Export and show the report."""
    with ExitStack() as held:
        bars: list[Any] = []  # one, created when work starts: an immediate refusal shows none

        def on_progress(done: int, total: int) -> None:
            if not bars:
                bars.append(
                    held.enter_context(
                        tqdm(
                            desc=tr("exporting"),
                            total=total,
                            file=sys.stderr,
                            disable=args.json and not sys.stderr.isatty(),
                        )
                    )
                )
            bars[0].update(done - bars[0].n)

        answer = program("engine.export", _arguments(args), on_progress=on_progress)
    for name in answer["strange_loras"]:
        print(
            "commonart: " + tr("The LoRA {name} was made for another base model; it fits by its shapes", name=name),
            file=sys.stderr,
        )
    if args.json:
        print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))
    else:
        _show(answer)
    return 0


def _show(answer: dict[str, Any]) -> None:
    parity = answer["parity"]
    for part in parity["parts"]:
        print(
            tr(
                "{part}: {dtype}, largest relative RMS error {error} (bound {bound})",
                part=part["part"],
                dtype=part["dtype"],
                error=f"{max(row['rms'] for row in part['rows']):.1e}",
                bound=f"{part['bound_rms']:.0e}",
            )
        )
    for row in parity["pictures"]["rows"]:
        print(f"  {row['psnr']:5.1f} dB  {row['prompt']}")
    if parity["quantize"] == "int8":
        print(
            tr(
                "{share} of the images show something else than with PyTorch",
                share=f"{parity['pictures']['changed_share']:.0%}",
            )
        )
    print(answer["out"])
