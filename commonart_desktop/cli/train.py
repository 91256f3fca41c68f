"""``commonart train``: train on a dataset folder, by a configuration file."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli import complain
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.training import Training
from engine.contract import training_events as events
from engine.contract.errors import Phrase, UsageError, from_wire
from engine.contract.events import Event


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "train",
        help=tr("learn a style or a model from your own licensed images"),
        description=tr(
            "Learn a LoRA or a model from dataset folders. The licence check runs first; Ctrl+C saves and stops."
        ),
    )
    parser.add_argument(
        "config", type=Path, metavar="CONFIG.toml", help=tr("what to learn, from what, and how: docs/training.md")
    )
    parser.add_argument("--resume", action="store_true", help=tr("continue from the last valid checkpoint"))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=tr("override the file, such as optimiser.lr=1e-4"),
    )
    parser.add_argument(
        "--accelerate",
        default="",
        metavar="NAME|FILE",
        help=tr(
            "on many GPUs or machines: one-gpu, many-gpus, many-machines, fsdp2, cpu, or accelerate's own file "
            "(docs/cluster.md)"
        ),
    )
    parser.add_argument(
        "--launch",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=tr("over that file, such as num_processes=4 or machine_rank=1"),
    )
    parser.add_argument(
        "--json", action="store_true", help=tr("every event as a JSON object a line on standard output")
    )
    parser.add_argument("--quiet", action="store_true", help=tr("no progress bar"))
    parser.set_defaults(run=run)


class Display:
    """A bar and sentences on standard error; the result's path, or JSON, on standard output."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet = as_json, quiet
        self._bar: tqdm[Any] | None = None
        self._what = ""
        self.status = 1

    def show(self, event: Event) -> None:
        """One event."""
        if self._as_json:
            print(events.encode(event), flush=True)
        if isinstance(event, events.Preparing):
            words = {
                "gate": tr("checking licences"),
                "latents": tr("encoding images"),
                "captions": tr("encoding captions"),
            }
            self._open(
                event.what,
                words.get(event.what, event.what),
                event.total,
                tr("img") if event.what != "captions" else "",
            )
            self._move(event.done)
        elif isinstance(event, events.Started):
            self._open("", "", 0, "")
            self.note(
                tr(
                    "{count} image(s) to learn from, {heldout} held out; {size} million numbers learn on {device} "
                    "in {dtype}.",
                    count=event.pictures,
                    heldout=event.heldout,
                    size=f"{event.trainable / 1e6:.2f}",
                    device=event.device,
                    dtype=event.dtype,
                )
            )
            self._open("steps", tr("learning"), event.steps, tr("step"))
            self._move(event.step)
        elif isinstance(event, events.Step):
            self._move(event.step)
            if self._bar is not None:
                self._bar.set_postfix_str(
                    tr("loss {loss}, {speed} images/s", loss=f"{event.loss:.4f}", speed=f"{event.speed:.1f}")
                )
        elif isinstance(event, events.HeldoutLoss):
            text = tr("step {step}: held-out loss {loss}", step=event.step, loss=f"{event.loss:.5f}")
            self.note(text + (tr(" (the best so far)") if event.best and event.step else ""))
        elif isinstance(event, events.Note):
            self.note(
                tr(
                    event.template,
                    **{
                        k: Phrase(v["template"], **v["fields"]) if isinstance(v, dict) else v
                        for k, v in event.fields.items()
                    },
                )
            )
        else:
            self._end(event)

    def _end(self, event: Event) -> None:
        if isinstance(event, events.Paused):
            self.note(tr("Paused."))
        elif isinstance(event, events.Broken):
            complain(error := from_wire(event.error))
            self.status = error.exit_status
        elif isinstance(event, events.Stopped):
            self.note(tr("Stopped at step {step} with everything saved; --resume goes on.", step=event.step))
            self.status = 130
        elif isinstance(event, events.Finished):
            self._open("", "", 0, "")
            self.note(tr("Done. Curves and previews: {path}", path=event.report))
            self.status = 0
            if not self._as_json:
                print(event.path, flush=True)

    def _open(self, what: str, words: str, total: int, unit: str) -> None:
        if what != self._what:
            self.close()
            self._what = what
            if what:
                self._bar = tqdm(
                    total=total,
                    desc=words,
                    unit=unit,
                    file=sys.stderr,
                    disable=self._quiet,
                    dynamic_ncols=True,
                    smoothing=0.1,
                )

    def _move(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def note(self, text: str) -> None:
        """A sentence on standard error, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        print(f"commonart: {text}", file=sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def run(args: argparse.Namespace) -> int:
    """Train; 0 done, 1 failed, 2 invalid usage, 130 stopped with everything saved."""
    if args.launch and not args.accelerate:
        raise UsageError(why=Phrase("--launch says more about what --accelerate names: give both"))
    training = Training(
        args.config, args.set, resume=args.resume, debug=args.debug, accelerate=args.accelerate, launch=args.launch
    )
    display = Display(as_json=args.json, quiet=args.quiet or args.json)
    heard: SimpleQueue[Event | None] = SimpleQueue()  # events wait here, so that Ctrl+C loses none

    def listen() -> None:
        try:
            for event in training.events():
                heard.put(event)
        finally:
            heard.put(None)

    threading.Thread(target=listen, daemon=True).start()
    asked = 0
    while True:
        try:
            event = heard.get()
            if event is None:
                break
            display.show(event)
        except KeyboardInterrupt:
            asked += 1
            if asked < 3:
                display.note(
                    tr("Saving, then stopping…")
                    if asked == 1
                    else tr("Still saving. Once more ends it at the last checkpoint.")
                )
                training.tell("quit")
            else:
                training.process.kill()
    training.close()
    display.close()
    return display.status if asked < 3 else 130
