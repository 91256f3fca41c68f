"""``python -m trainer.copycheck --against DATASET [PICTURES...] [options]``: find copies of training images.

Prints one JSON document to standard output.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from engine.contract.errors import BadValue, NothingToCheck, Phrase
from engine.contract.provenance_policy import add_options, policy_of
from engine.system.json_program import JsonArgumentParser, run_json_program


def _parser() -> JsonArgumentParser:
    parser = JsonArgumentParser(prog="python -m trainer.copycheck", description=__doc__)
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--against", type=Path, required=True)
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--captions", action="store_true")
    parser.add_argument("--events", type=Path)
    parser.add_argument("--html", type=Path)
    parser.add_argument("--extract")
    parser.add_argument("--lora", action="append", default=[])
    parser.add_argument("--most", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--backend", choices=("auto", "pytorch", "onnx", "fake"), default=os.environ.get("COMMONART_BACKEND", "auto")
    )
    parser.add_argument("--out", type=Path)
    add_options(parser)
    return parser


def work(argv: list[str]) -> dict[str, Any]:
    """Run the check; ``docs/evaluation.md`` describes the answer."""
    args = _parser().parse_args(argv)
    for name, value, high in (("most", args.most, 1000), ("seeds", args.seeds, 10_000), ("steps", args.steps, 1000)):
        if not 1 <= value <= high:
            raise BadValue(name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=1, high=high))
    from trainer.copycheck.check import Dataset, check, requested_files
    from trainer.copycheck.overfit import overfit
    from trainer.copycheck.report import write_report
    from trainer.evaluation.__main__ import Progress
    from trainer.evaluation.encoders.base import BUILT_IN
    from trainer.evaluation.encoders.factory import open_encoder

    if not args.pictures and not args.extract:
        raise NothingToCheck(why=Phrase("none was given"))
    encoders = [open_encoder(e, args.device) for e in dict.fromkeys(args.encoder or [BUILT_IN])]
    overfitting = overfit(args.events) if args.events else None
    dataset = Dataset.open(args.against.absolute())
    files = requested_files([p.absolute() for p in args.pictures])
    if not files and not args.extract:
        raise NothingToCheck(why=Phrase("{path} holds no images", path=args.pictures[0]))
    progress = Progress()
    extraction = _extract(args, dataset, progress) if args.extract else None
    files = [*files, *(extraction[2] if extraction else [])]
    progress.more((1 + len(encoders)) * (len(files) + len(dataset.files)))
    checked = check(dataset, list(dict.fromkeys(files)), encoders, captions=args.captions, tick=progress.tick)
    answer = checked.answer
    if extraction:
        from trainer.copycheck.extraction import clusters

        captions, items, generated, section = extraction
        answer["extraction"] = section | {
            "captions": clusters(captions, items, generated, checked.copied, checked.rows, checked.near, checked.bound)
        }
    if overfitting is not None:
        answer["overfit"] = overfitting
    if args.html:
        write_report(args.html.absolute(), answer, dataset.folder)
        answer["report"] = str(args.html.absolute())
    return answer


def _extract(args: Any, dataset: Any, progress: Any) -> tuple[Any, Any, list[Path], dict[str, Any]]:
    """Generate the most repeated captions from many seeds: (captions, items, files, section of the answer)."""
    from dataclasses import asdict

    from engine.provenance.finalize import ImageFinalizer
    from engine.system.json_program import phrase
    from trainer.copycheck.extraction import items_of, repeated
    from trainer.evaluation.__main__ import lora_of
    from trainer.evaluation.drawing import Settings, draw_items, with_model_size
    from trainer.evaluation.evaluate import Model
    from trainer.evaluation.prompts import hash_of_prompts
    from trainer.evaluation.recipe import claim

    captions = repeated(dataset.records, args.most)
    if not captions:
        raise NothingToCheck(why=Phrase("{path} has no captions to draw from", path=dataset.folder))
    items = items_of(captions, args.seeds)
    progress.more(len(items))
    backend = Model(
        name=args.extract,
        loras=tuple(lora_of(x) for x in args.lora),
        text_encoder=args.text_encoder,
        vae=args.vae,
        device=args.device,
        kind=args.backend,
    ).open()
    settings = with_model_size(Settings(seed=args.seed, copies=args.seeds, steps=args.steps), backend)
    out = (args.out or Path("outputs") / "copycheck" / f"{backend.folder.name}-{dataset.folder.name}").absolute()
    model = {"name": backend.folder.name, "hashes": backend.hashes, "loras": backend.loras}
    claim(
        out,
        {"prompts": hash_of_prompts([(i.lang, i.prompt) for i in items]), "dtype": backend.dtype} | asdict(settings),
        model,
    )
    notes: list[Any] = [phrase(n) for n in backend.notes]
    finalizer = ImageFinalizer(policy_of(args), lambda e: notes.append(phrase(Phrase(e.message, **e.fields))))
    try:
        files = draw_items(backend, items, settings, out / "pictures", finalizer, progress.tick)
    finally:
        finalizer.close()
    return captions, items, files, {"model": model, "settings": asdict(settings), "out": str(out), "notes": notes}


def main() -> int:
    """The exit status: 0 no copy by hashes, 1 exact or near copies or an error, 2 wrong usage."""
    copied = 0

    def run(argv: list[str]) -> dict[str, Any]:
        nonlocal copied
        answer = work(argv)
        copied = int(answer["copied"])
        return answer

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts as Ctrl+C
    return run_json_program(run) or (1 if copied else 0)


if __name__ == "__main__":
    sys.exit(main())
