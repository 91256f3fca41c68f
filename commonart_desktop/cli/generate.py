"""``commonart generate``: generate images now, with the queue's worker and a temporary ledger."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from commonart_desktop.cli.interrupt import Interrupt
from commonart_desktop.cli.pictures import (
    add_picture_options,
    backend_option,
    batch_option,
    memory_option,
    requests_from,
    settings_from,
)
from commonart_desktop.cli.progress import Display
from commonart_desktop.core.compose import random_seed, ready_folder
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import Worker, error_of, program
from commonart_desktop.core.settings import load_settings, provenance_options
from engine.contract import events
from engine.contract.errors import BadFile, Phrase, PromptHidden, UsageError, from_wire
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.process_lock import is_held
from engine.contract.paths import home, writing_home
from engine.contract.recipe import request_of
from engine.contract.request import ImageRequest, fixed_seed


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("generate", help=tr("make images now"), description=tr("Make images now."))
    add_picture_options(parser)
    parser.add_argument(
        "--like", type=Path, metavar="IMAGE", help=tr("make an image of ours again; other options change it")
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help=tr("images denoised together; chosen by the device if not given")
    )
    parser.add_argument(
        "--device",
        default=None,
        help=tr("auto, cpu, cuda, cuda:1, mps; for exported models also tensorrt, directml, openvino, coreml"),
    )
    parser.add_argument(
        "--backend", choices=("auto", "pytorch", "onnx"), help=tr("what runs the model; auto chooses by its folder")
    )
    memory_option(parser)
    parser.add_argument("--json", action="store_true", help=tr("one JSON object an image on standard output"))
    parser.add_argument("--quiet", action="store_true", help=tr("no progress bar"))
    parser.add_argument("--no-sign", action="store_true", help=tr("do not sign the images"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate the images; returns the exit status."""
    _sweep()
    mine = load_settings()
    options: list[str] = [
        "--until-empty",
        "--device",
        args.device or mine.device,
        "--memory",
        args.memory or mine.memory,
    ]
    options += [
        *backend_option(args.backend),
        *batch_option(args.batch_size),
        *provenance_options(sign=False if args.no_sign else None),
    ]
    want = ""
    if args.like is not None:
        requests, replay, want = _again(args)
        options += replay
    else:
        requests = requests_from(args)
    with writing_home():
        (home() / "tmp").mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="generate-", dir=home() / "tmp"))
    try:
        return _make(requests, scratch, options, args, want)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sweep() -> None:
    """Remove leftovers of killed runs; one whose worker is running stays."""
    for old in (home() / "tmp").glob("generate-*"):
        try:
            if time.time() - old.stat().st_mtime > 3600 and not any(is_held(lock) for lock in old.glob("*.lock")):
                shutil.rmtree(old, ignore_errors=True)
        except OSError:
            continue  # another run removes it


def _make(
    requests: Sequence[ImageRequest], scratch: Path, options: Sequence[str], args: argparse.Namespace, want: str
) -> int:
    ledger = Ledger(scratch / "ledger.db")
    ledger.add_job("generate", requests)
    first = ledger.page(limit=1)[0].id
    ledger.close()  # the worker has its own connection
    display = Display(len(requests), as_json=args.json, quiet=args.quiet, queued=False, first=first)
    worker = Worker(scratch / "ledger.db", options, debug=args.debug)
    stuck = False
    try:
        # images that are being written are still saved, and their events shown
        with Interrupt(lambda: worker.tell("quit")) as interrupt:
            for event in worker.events():
                display.show(event)
                if isinstance(event, events.Broken):
                    display.complain(error_of(event))
                    return from_wire(event.error).exit_status
                if isinstance(event, events.Paused) and event.error:
                    stuck = True  # a full disk or a lost folder: there is no queue to wait in
                    worker.tell("quit")
                if isinstance(event, events.Saved) and want and event.report["pixel_sha256"] != want:
                    display.note(
                        tr(
                            "The pixels differ from the original: another model, device, dtype or library version "
                            "made it"
                        )
                    )
        if interrupt.asked and display.made < len(requests):
            display.note(tr("Interrupted; {count} finished image(s) kept.", count=display.made))
            return 130
    finally:
        worker.stop(5)
        worker.close()
        display.close()
    return 1 if stuck else display.exit_status()


def _again(args: argparse.Namespace) -> tuple[list[ImageRequest], list[str], str]:
    """The request in an image, the options that reproduce its pixels, and their hash (empty if settings change)."""
    if args.prompts or args.file:
        raise UsageError(why=Phrase("--like takes the prompt from the image; leave out other prompts"))
    if not args.like.is_file():
        raise BadFile(path=args.like, why=Phrase("there is no such file"))
    recipe = program("engine.output", ["show", str(args.like)])["recipe"]
    if not recipe:
        from engine.contract.errors import NoRecipe

        raise NoRecipe(path=args.like)
    if recipe.get("prompt_hidden") is True:
        raise PromptHidden(path=args.like)
    original = request_of(recipe)
    changes = settings_from(args)
    if "model" not in changes and "/" in original.model and Path(original.model).exists():
        raise UsageError(
            why=Phrase(
                "The image's model {name} is also a folder here; say which you mean with --model", name=original.model
            )
        )
    if args.seed is not None:
        seed = fixed_seed(args.seed)
        changes["seed"] = random_seed() if seed is None else seed
    request = ImageRequest.from_dict(original.to_dict() | {"dtype": recipe["backend"]["dtype"]} | changes)
    request = replace(request, out=str(ready_folder(args.out or Path(load_settings().out))))
    # the same pixels need the same backend for the denoiser's blocks
    os.environ["COMMONART_COMPILE"] = (
        "on" if recipe["backend"].get("libraries", {}).get("blocks") == "compiled" else "off"
    )
    same = set(changes) <= {"model", "text_encoder", "vae", "name", "format"} and args.count == 1
    if not same:
        return [replace(request, seed=request.seed + i) for i in range(args.count)], [], ""
    rows, index = (int(n) for n in recipe["batch"])
    torch = (
        args.backend is None and "model" not in changes and recipe["backend"]["backend"] == "pytorch"
    )  # not a substituted export
    return (
        [request],
        [*backend_option("pytorch" if torch else None), "--replay", f"{rows},{index}"],
        str(recipe["pixel_sha256"]),
    )
