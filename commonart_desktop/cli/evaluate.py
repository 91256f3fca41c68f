"""``commonart evaluate MODEL``: how well a model follows prompts and how close it is to real images, in Japanese and
English.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli.pictures import folder_of, lora_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from commonart_desktop.core.settings import provenance_options
from engine.contract.request import DTYPES, SAMPLERS


def add(subparsers: Any) -> None:
    """Declare the command."""
    text = tr("measure how well a model follows Japanese and English prompts")
    parser = subparsers.add_parser(
        "evaluate",
        help=text,
        description=tr(
            "Draw images from prompts with fixed seeds and measure them: CLIPScore with local encoders, KID, CMMD "
            "and FID against a folder of real "
            "images, and without prompts whether the bundled model draws what it is told. A run that was stopped "
            "goes on. docs/evaluation.md says what "
            "each figure means."
        ),
    )
    parser.add_argument("model", metavar="MODEL", help=tr("a model's name or folder"))
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help=tr("a .txt, .csv or .jsonl file, captions of COCO's form (.json), or a dataset folder"),
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FOLDER", help=tr("real images to compare with: 50 at least, 2,048 for FID")
    )
    parser.add_argument(
        "--encoder",
        action="append",
        default=[],
        metavar="FOLDER",
        help=tr("a local CLIP, SigLIP or DINO folder, or an ONNX file; may be given again"),
    )
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help=tr("a LoRA, by file, folder or name; may be given several times; the scale is 1 if not given"),
    )
    parser.add_argument("--lang", default="ja,en", metavar="LANG", help=tr("languages to evaluate: ja, en or ja,en"))
    parser.add_argument("--limit", type=int, metavar="N", help=tr("at most so many prompts of each language"))
    parser.add_argument("--count", type=int, default=1, metavar="N", help=tr("images of each prompt"))
    parser.add_argument("--seed", type=int, default=1000, metavar="S", help=tr("the first image's seed (1000)"))
    parser.add_argument("--steps", type=int, default=20, metavar="N", help=tr("denoising steps (20)"))
    parser.add_argument(
        "--guidance", type=float, default=4.5, metavar="G", help=tr("how strictly to follow the prompt (4.5)")
    )
    parser.add_argument(
        "--sampler",
        choices=SAMPLERS,
        default="dpm++2m",
        metavar="NAME",
        help=tr("one of {names}", names=", ".join(SAMPLERS)),
    )
    parser.add_argument("--negative", default="", metavar=tr("TEXT"), help=tr("what to keep out of the image"))
    parser.add_argument("--size", metavar="WxH", help=tr("pixels; the model's own size if not given"))
    parser.add_argument(
        "--dtype", choices=DTYPES, default="auto", help=tr("how numbers are held; auto chooses by the device")
    )
    parser.add_argument("--device", default="auto", help=tr("where to run: auto, cpu, cuda, mps"))
    parser.add_argument("--batch-size", type=int, metavar="N", help=tr("images at once"))
    parser.add_argument(
        "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
    )
    parser.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    parser.add_argument(
        "--against",
        metavar="MODEL|RESULT.json",
        help=tr("compare with another model, or with the result of an earlier evaluation"),
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=tr("where images, result.json and report.html go (outputs/evaluation/...)"),
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help=tr("also write all images beside each other into this PNG")
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _encoder(text: str) -> str:
    path = Path(text).expanduser()
    return str(path.absolute()) if path.exists() else text


def _against(text: str) -> str:
    return str(Path(text).expanduser().absolute()) if text.endswith(".json") else folder_of(text) or text


def _arguments(args: argparse.Namespace) -> list[str]:
    told = [
        f"--lang={args.lang}",
        f"--count={args.count}",
        f"--seed={args.seed}",
        f"--steps={args.steps}",
        f"--guidance={args.guidance}",
        f"--sampler={args.sampler}",
        f"--negative={args.negative}",
        f"--dtype={args.dtype}",
        f"--device={args.device}",
        *provenance_options(),
    ]
    told += [
        f"--{n}={Path(v).expanduser().absolute()}"
        for n in ("prompts", "reference", "out", "sheet")
        if (v := getattr(args, n))
    ]
    told += [
        f"--{n}={v}"
        for n, v in (("limit", args.limit), ("size", args.size), ("batch-size", args.batch_size))
        if v is not None
    ]
    told += [f"--{n}={folder_of(v)}" for n, v in (("text-encoder", args.text_encoder), ("vae", args.vae)) if v]
    told += [f"--encoder={_encoder(e)}" for e in args.encoder]
    told += [f"--lora={name}:{scale:g}" for name, scale in map(lora_of, args.lora)]
    told += [f"--against={_against(args.against)}"] if args.against else []
    return [*told, "--", folder_of(args.model) or args.model]


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    with tqdm(desc=tr("evaluating"), unit=tr("img"), file=sys.stderr, disable=None, dynamic_ncols=True) as shown:

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        answer = program("trainer.evaluation", _arguments(args), on_progress=on_progress)
    if args.json:
        print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))
        return 0
    for line in table(answer["table"]):
        print(line)
    if answer["skipped"]:
        print(
            tr(
                "{count} image(s) could not be read and were left out, the first: {file}",
                count=len(answer["skipped"]),
                file=answer["skipped"][0]["file"],
            )
        )
    for row in answer["table"]:
        if "refused" in row and row["lang"] == answer["table"][-1]["lang"]:
            print(tr("No {measure}: {why}.", measure=row["measure"].upper(), why=_told(row["refused"])))
    if answer.get("against"):
        print()
        for line in differences(answer["model"], answer["against"]):
            print(line)
    for note in answer["notes"]:
        print(f"! {_told(note)}", file=sys.stderr)
    print(answer["report"])
    return 0


def _told(text: dict[str, Any] | str) -> str:
    return text if isinstance(text, str) else tr(text["template"], **text["fields"])


def name_of(measure: str) -> str:
    """The name of a measure in the table."""
    return {"top1": tr("top-1"), "top5": tr("top-5"), "clipscore": "CLIPScore", "cosine": tr("cosine")}.get(
        measure, measure.upper()
    )


def language_name(lang: str) -> str:
    """A column of the table."""
    return {"ja": tr("Japanese"), "en": tr("English")}.get(lang, tr("both languages"))


def figure(measure: str, value: float) -> str:
    """Shares in per cent, others with their significant digits."""
    return f"{value:.1%}" if measure in ("top1", "top5") else f"{value:.5f}" if measure == "kid" else f"{value:.3f}"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or "refused" in row:
        return "–"
    value, low, high = (figure(row["measure"], row[k]) for k in ("value", "low", "high"))
    return f"{value} ({low}–{high}) n={row['n']}" + (f"/{row['reference']}" if "reference" in row else "")


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The two-language table as lines."""
    langs = [x for x in ("ja", "en", "both") if any(r["lang"] == x for r in rows)]
    keys = list(dict.fromkeys((r["measure"], r.get("encoder", "")) for r in rows))
    by = {(r["measure"], r.get("encoder", ""), r["lang"]): r for r in rows}
    lines = [["", *(language_name(x) for x in langs)]]
    lines += [[f"{name_of(m)}{f' [{e}]' if e else ''}", *(_cell(by.get((m, e, x))) for x in langs)] for m, e in keys]
    return aligned(lines)


def _with_loras(name: str, loras: Sequence[Any]) -> str:
    return " + ".join([name, *(f"{x['name']}:{x['scale']:g}" for x in loras)])


def differences(model: dict[str, Any], against: dict[str, Any]) -> list[str]:
    """The differences of a comparison, as lines."""
    lines = [
        [
            tr(
                "{model} less {other}",
                model=_with_loras(model["name"], model["loras"]),
                other=_with_loras(against["model"], against["loras"]),
            ),
            tr("language"),
            tr("difference"),
            "p",
            "n",
        ]
    ]
    for d in against["differences"]:
        interval = f" ({figure(d['measure'], d['low'])}–{figure(d['measure'], d['high'])})" if "low" in d else ""
        lines.append(
            [
                name_of(d["measure"]) + (f" [{d['encoder']}]" if "encoder" in d else ""),
                language_name(d["lang"]),
                figure(d["measure"], d["value"]) + interval,
                f"{d['p']:.4f}",
                str(d["n"]),
            ]
        )
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns under each other; Japanese letters are two wide."""

    def width(text: str) -> int:
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

    widths = [max(width(line[n]) for line in lines) for n in range(len(lines[0]))]
    return ["  ".join(cell + " " * (widths[n] - width(cell)) for n, cell in enumerate(line)).rstrip() for line in lines]
