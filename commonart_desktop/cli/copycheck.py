"""``commonart copycheck --against DATASET``: whether images are copies of training images, and how similar they are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli.evaluate import aligned
from commonart_desktop.cli.pictures import folder_of, lora_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from commonart_desktop.core.settings import provenance_options

_SHOWN = 20


def add(subparsers: Any) -> None:
    """Declare the command."""
    text = tr("look for copies of training images")
    parser = subparsers.add_parser(
        "copycheck",
        help=text,
        description=tr(
            "Look for exact and near copies of a dataset's images, and tell how near images come to their nearest "
            "training images beside how near "
            "those come to each other. Exit status 1 if copies were found. No result proves that an image is no copy."
        ),
    )
    parser.add_argument("pictures", nargs="*", type=Path, metavar="IMAGE", help=tr("images, or folders of images"))
    parser.add_argument(
        "--against",
        type=Path,
        required=True,
        metavar="DATASET",
        help=tr("the dataset folder, or any folder of images"),
    )
    parser.add_argument(
        "--encoder",
        action="append",
        default=[],
        metavar="FOLDER",
        help=tr(
            "a local encoder such as SSCD (ONNX) or DINO, or efficientnet-lite; may be given again. Without it, weak "
            "built-in features"
        ),
    )
    parser.add_argument(
        "--captions", action="store_true", help=tr("also say whose prompt is the very caption of a training image")
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help=tr("write a report with pairs side by side"))
    parser.add_argument(
        "--events", type=Path, metavar="FILE", help=tr("log.jsonl of the training run: warns when it learns by heart")
    )
    parser.add_argument(
        "--extract",
        metavar="MODEL",
        help=tr("draw the most repeated captions from many seeds with this model, and check those images"),
    )
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help=tr("a LoRA for --extract; may be given several times"),
    )
    parser.add_argument("--most", type=int, default=10, metavar="N", help=tr("how many captions --extract takes (10)"))
    parser.add_argument(
        "--seeds", type=int, default=20, metavar="N", help=tr("how many seeds --extract tries for each (20)")
    )
    parser.add_argument("--steps", type=int, default=20, metavar="N", help=tr("denoising steps (20)"))
    parser.add_argument(
        "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
    )
    parser.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    parser.add_argument("--device", default="auto", help=tr("where to run: auto, cpu, cuda, mps"))
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=tr("where the images of --extract go (outputs/copycheck/...)")
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _arguments(args: argparse.Namespace) -> list[str]:
    told = [
        f"--device={args.device}",
        f"--most={args.most}",
        f"--seeds={args.seeds}",
        f"--steps={args.steps}",
        *provenance_options(),
    ]
    told += [
        f"--{n}={Path(v).expanduser().absolute()}"
        for n in ("against", "html", "events", "out")
        if (v := getattr(args, n))
    ]
    told += [
        f"--encoder={Path(e).expanduser().absolute() if Path(e).expanduser().exists() else e}" for e in args.encoder
    ]
    told += [
        f"--{n}={folder_of(v)}"
        for n, v in (("extract", args.extract), ("text-encoder", args.text_encoder), ("vae", args.vae))
        if v
    ]
    told += [f"--lora={name}:{scale:g}" for name, scale in map(lora_of, args.lora)]
    return [
        *told,
        *(["--captions"] if args.captions else []),
        "--",
        *(str(p.expanduser().absolute()) for p in args.pictures),
    ]


def run(args: argparse.Namespace) -> int:
    """Check and print; 1 if exact or near copies were found."""
    with tqdm(desc=tr("comparing"), unit=tr("img"), file=sys.stderr, disable=None, dynamic_ncols=True) as shown:

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        answer = program("trainer.copycheck", _arguments(args), on_progress=on_progress)
    if args.json:
        print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))
    else:
        _show(answer)
    return 1 if answer["copied"] else 0


def _kind(kind: str) -> str:
    return {"file": tr("the same file as"), "pixels": tr("the same pixels as"), "near": tr("looks the same as")}.get(
        kind, tr("looks the same, mirrored, as")
    )


def _figure(value: float | None, share: bool = False) -> str:
    return "–" if value is None else f"{value:.1%}" if share else f"{value:.3f}"


def _show(answer: dict[str, Any]) -> None:
    copied = [r for r in answer["rows"] if r["copies"]]
    for row in copied[:_SHOWN]:
        for copy in row["copies"][:3]:
            print(f"✗ {row['file']}: {_kind(copy['kind'])} {copy['file']}")
    if len(copied) > _SHOWN:
        print(tr("... and {count} more", count=len(copied) - _SHOWN))
    print(
        tr(
            "{pictures} image(s) against {known}: {copied} exact or near copies",
            pictures=answer["pictures"],
            known=answer["known"],
            copied=answer["copied"],
        )
    )
    lines = [[tr("encoder"), "", "n", tr("above 0.5"), "75 %", "90 %", "95 %"]]
    for m in answer["features"]:
        for name, told in ((tr("checked"), m), (tr("training set to itself"), m["baseline"])):
            lines.append(
                [
                    m["encoder"],
                    name,
                    str(told["n"]),
                    _figure(told["share_above_half"], True),
                    *(_figure(told[k]) for k in ("p75", "p90", "p95")),
                ]
            )
    for line in aligned(lines):
        print(line)
    if any(m["encoder"] == "built-in" for m in answer["features"]):
        print(
            tr(
                "The built-in features are weak: use an encoder made to find copies (--encoder), and compare with the "
                "training set's own figures."
            )
        )
    if "captioned" in answer:
        print(tr("{count} image(s) were drawn from the very caption of a training image.", count=answer["captioned"]))
    for caption in answer.get("extraction", {}).get("captions", []):
        if caption["flagged"]:
            print(
                tr(
                    "! {caption}: {copies} copies; {times} of {seeds} seeds come near {picture}",
                    caption=caption["caption"],
                    copies=caption["copies"],
                    times=caption["times"],
                    seeds=caption["seeds"],
                    picture=caption["one_picture"] or "–",
                )
            )
    told = answer.get("overfit")
    if told and told["alarm"]:
        print(
            tr(
                "! The run learns by heart: held-out loss rose by {rise} since step {step}, while training loss fell "
                "by {fall}.",
                rise=f"{told['rise']:.1%}",
                step=told["best_step"],
                fall=f"{told['fall']:.1%}",
            )
        )
    elif told:
        print(
            tr("Held-out loss gives no alarm.")
            if told["alarm"] is False
            else tr("There are too few held-out losses to say anything.")
        )
    if answer["skipped"]:
        print(
            tr(
                "{count} image(s) could not be read and were left out, the first: {file}",
                count=len(answer["skipped"]),
                file=answer["skipped"][0]["file"],
            )
        )
    if "report" in answer:
        print(answer["report"])
