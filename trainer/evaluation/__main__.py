"""``python -m trainer.evaluation MODEL [options]``: generate images, measure them and write a report.

Prints one JSON document to standard output. Without --prompts, every concept that the model knows is generated from its
most common name and compared with the true renders. A model with a suite (``suite.safetensors``) is also tested on
styles, backgrounds, arrangements, numbers and colours with prompts that were not in its training, and about two hundred
concepts represent all; --limit is the maximum of each kind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

from engine.contract.errors import BadValue, Phrase
from engine.contract.provenance_policy import add_options, policy_of
from engine.contract.request import DTYPES, MAX_SEED, SAMPLERS
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program
from trainer.evaluation.prompts import LANGS


def _parser() -> JsonArgumentParser:
    parser = JsonArgumentParser(prog="python -m trainer.evaluation", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument(
        "--suite", type=Path, help="a model folder whose suite and true renders are taken instead of the model's own"
    )
    parser.add_argument("--lora", action="append", default=[])
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--lang", default=",".join(LANGS))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--sampler", choices=SAMPLERS, default="dpm++2m")
    parser.add_argument("--negative", default="")
    parser.add_argument("--size")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=DTYPES, default="auto")
    parser.add_argument(
        "--backend", choices=("auto", "pytorch", "onnx", "fake"), default=os.environ.get("COMMONART_BACKEND", "auto")
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--against")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for compatibility: the output is always JSON")
    add_options(parser)
    return parser


class Progress:
    """Progress of all steps known so far, reported at most once per percent."""

    def __init__(self) -> None:
        self.done, self.total, self._reported = 0, 0, -1.0

    def more(self, count: int) -> None:
        self.total += count

    def tick(self, count: int) -> None:
        self.done += count
        share = self.done / max(1, self.total)
        if share - self._reported >= 0.01 or self.done >= self.total:
            self._reported = share
            report_progress(self.done, max(self.total, self.done))


def langs_of(text: str) -> tuple[str, ...]:
    """``ja,en`` as a tuple in the order of ``LANGS``. Raises BadValue."""
    langs = [x.strip().lower() for x in text.split(",") if x.strip()]
    if not langs or any(x not in LANGS for x in langs):
        raise BadValue(name="lang", value=text, why=Phrase("choose one of {known}", known="ja, en, ja,en"))
    return tuple(x for x in LANGS if x in langs)


def lora_of(text: str) -> tuple[str, float]:
    """Parse ``FILE[:SCALE]``."""
    name, colon, scale = text.rpartition(":")
    if not colon or not re.fullmatch(r"[-+]?\d*\.?\d+", scale):
        return text, 1.0
    return name, float(scale)


def work(argv: list[str]) -> dict[str, Any]:
    """Run the evaluation; ``docs/evaluation.md`` describes the answer."""
    args = _parser().parse_args(argv)
    for name, value, low, high in (
        ("count", args.count, 1, 10_000),
        ("limit", args.limit, 1, 10_000_000),
        ("batch-size", args.batch_size, 1, 256),
        ("seed", args.seed, 0, MAX_SEED),
        ("steps", args.steps, 1, 1000),
    ):
        if value is not None and not low <= value <= high:
            raise BadValue(
                name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=low, high=high)
            )
    size = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", args.size) if args.size else None
    if args.size and not size:
        raise BadValue(name="size", value=args.size, why=Phrase("it is written like {example}", example="512x768"))
    langs = langs_of(args.lang)
    from trainer.evaluation.compare import compare
    from trainer.evaluation.drawing import Settings
    from trainer.evaluation.encoders.base import BUILT_IN
    from trainer.evaluation.encoders.factory import open_encoder
    from trainer.evaluation.evaluate import EvaluationOptions, Model, default_out, draw, measure, reference_features
    from trainer.evaluation.recipe import RESULT, check_same, read_result
    from trainer.evaluation.report import write_report, write_sheet
    from trainer.evaluation.store import image_files

    given = args.encoder or ([BUILT_IN] if args.reference else [])
    encoders = [open_encoder(e, args.device) for e in dict.fromkeys(given)]
    duplicate = next((e.name for n, e in enumerate(encoders) if e.name in [x.name for x in encoders[:n]]), None)
    if duplicate:
        raise BadValue(name="encoder", value=duplicate, why=Phrase("two encoders have this name; rename one folder"))
    settings = Settings(
        seed=args.seed,
        copies=args.count,
        steps=args.steps,
        guidance=args.guidance,
        sampler=args.sampler,
        negative=args.negative,
        width=int(size[1]) if size else None,
        height=int(size[2] or size[1]) if size else None,
    )
    options = EvaluationOptions(
        prompts=args.prompts,
        langs=langs,
        limit=args.limit,
        settings=settings,
        encoders=encoders,
        reference=args.reference,
        batch_size=args.batch_size,
        policy=policy_of(args),
        suite=args.suite,
    )
    model = Model(
        name=args.model,
        loras=tuple(lora_of(x) for x in args.lora),
        text_encoder=args.text_encoder,
        vae=args.vae,
        device=args.device,
        dtype=args.dtype,
        kind=args.backend,
    )
    against_file = Path(args.against) if args.against and args.against.endswith(".json") else None
    other = read_result(against_file) if against_file else None
    out = (args.out or default_out(model, options)).absolute()
    progress = Progress()
    if args.reference and args.reference.is_dir():
        progress.more(len(image_files(args.reference)) * len(encoders))
    reference = reference_features(options, progress.tick)

    def progress_of(count: int) -> None:
        progress.more(count * (1 + len(encoders)))

    def fits(recipe: dict[str, Any]) -> None:
        if other is not None:  # an earlier result: refuse before the images are generated
            check_same(json.loads(json.dumps(recipe | {"reference": reference.section if reference else None})), other)

    drawn = draw(model, options, out, progress_of, progress.tick, fits)
    result, scores = measure(drawn, options, reference, progress.tick)
    other_file = against_file
    if args.against and other is None:
        check = Model(
            name=args.against,
            text_encoder=args.text_encoder,
            vae=args.vae,
            device=args.device,
            dtype=args.dtype,
            kind=args.backend,
        )
        other_file = out / "against" / RESULT
        beside = draw(check, options, other_file.parent, progress_of, progress.tick)
        other, _ = measure(beside, options, reference, progress.tick)
        _write_json(other_file, other)
    if other is not None and other_file is not None:
        check_same(result, other)
        progress.more(len(drawn.items) * len(encoders) if reference else 0)
        result["against"] = compare(result, scores, other, other_file, encoders, reference, langs, progress.tick)
    if result["concepts"]:
        for lang in langs:
            result[f"missed_{lang}"] = [
                i["prompt"] for i in result["items"] if i["lang"] == lang and i["place"] is not None and i["place"] >= 5
            ]
    _write_json(out / RESULT, result)
    report = write_report(out / "report.html", result, out)
    if args.sheet:
        write_sheet(args.sheet, result, out)
    return {k: v for k, v in result.items() if k != "items"} | {
        "result": str(out / RESULT),
        "report": str(report),
        "out": str(out),
        "pictures": len(drawn.items),
    }


def _write_json(path: Path, data: dict[str, Any]) -> None:
    from engine.contract.files import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as f:
        f.write(json.dumps(data, ensure_ascii=False, indent=1).encode("utf-8"))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts as Ctrl+C; generated images are kept
    sys.exit(run_json_program(work))
