"""``commonart queue run``: workers over the queue, in the foreground."""

from __future__ import annotations

import argparse
import sys

from commonart_desktop.cli.pictures import backend_option, batch_option, memory_option
from commonart_desktop.cli.progress import Display
from commonart_desktop.core import after
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.settings import load_settings, provenance_options
from commonart_desktop.core.supervisor import Supervisor
from engine.contract import events
from engine.contract.errors import AfterCrash, BadValue, Phrase, UsageError
from engine.contract.ledger.ledger import Ledger


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "--until-empty", action="store_true", help=tr("end when nothing is waiting; else wait for more")
    )
    parser.add_argument("--resume", action="store_true", help=tr("go on after a crash"))
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=tr("engines side by side, one a GPU"))
    parser.add_argument(
        "--ray",
        metavar="auto|ADDRESS",
        help=tr(
            "draw on the machines of a Ray cluster; auto: the one on this machine. “off”: not, "
            "whatever the settings say"
        ),
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="F",
        help=tr("GPUs an engine of the cluster gets (1); 0.5 puts two on each"),
    )
    parser.add_argument(
        "--cpus-per-worker",
        type=float,
        metavar="N",
        help=tr("cores an engine gets on machines without a GPU (all of them)"),
    )
    parser.add_argument(
        "--then", default="exit", metavar="exit|sleep|shutdown|COMMAND", help=tr("what to do when the queue is empty")
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


def _may_resume(args: argparse.Namespace, ledger: Ledger) -> bool:
    """Whether to recover rows of a crashed run. Asks an interactive user; a script has to pass ``--resume``.

    Raises:
        AfterCrash
    """
    stranded = len(ledger.stranded())
    if not stranded or args.resume:
        return bool(args.resume)
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(
            tr("The last run stopped in the middle of {count} image(s). Go on? [y/N]", count=stranded),
            end=" ",
            file=sys.stderr,
            flush=True,
        )
        if sys.stdin.readline().strip().lower() in ("y", "yes", "はい"):
            return True
    raise AfterCrash(count=stranded)


def _cluster(args: argparse.Namespace) -> list[str]:
    """The worker's options for a cluster; empty without one. Raises BadValue, UsageError."""
    address = args.ray if args.ray is not None else load_settings().cluster if args.workers == 1 else ""
    shares = {"--gpus-per-worker": args.gpus_per_worker, "--cpus-per-worker": args.cpus_per_worker}
    if address in ("", "off"):
        if any(v is not None for v in shares.values()):
            raise UsageError(
                why=Phrase(
                    "{option} needs a cluster: give --ray too",
                    option=next(k for k, v in shares.items() if v is not None),
                )
            )
        return []
    if args.workers != 1:
        raise UsageError(
            why=Phrase(
                "--workers and --ray exclude each other: every machine of a cluster gets as many engines as it has "
                "room for"
            )
        )
    for name, value in shares.items():
        if value is not None and not 0 < value <= 1024:  # also refuses nan
            raise BadValue(name=name, value=value, why=Phrase("it must be more than 0"))
    return ["--ray", address, *(f"{k}={v}" for k, v in shares.items() if v is not None)]


def run(args: argparse.Namespace, ledger: Ledger) -> int:
    """Run the queue; returns the exit status."""
    if not 1 <= args.workers <= 64:
        raise BadValue(
            name="workers", value=args.workers, why=Phrase("it must lie between {low} and {high}", low=1, high=64)
        )
    cluster = _cluster(args)
    after.command_for(args.then)  # report an invalid one now, not in the morning
    resume = _may_resume(args, ledger)
    if resume:
        ledger.pause(None, False)  # the user has seen what stopped the last run
    paused, error = ledger.paused()
    device = args.device or (
        load_settings().device if args.workers == 1 and not cluster else None
    )  # other machines have others
    options = [
        *(["--until-empty"] if args.until_empty or args.then != "exit" else []),
        *(["--device", device] if device else []),
        "--memory",
        args.memory or ("auto" if cluster else load_settings().memory),
        *cluster,
        *backend_option(args.backend),
        *batch_option(args.batch_size),
        *provenance_options(sign=False if args.no_sign else None),
    ]
    supervisor = Supervisor(ledger.path, options, workers=args.workers, debug=args.debug)
    counts = ledger.counts()
    display = Display(counts["waiting"] + counts["running"], as_json=args.json, quiet=args.quiet)
    if paused and error is None:
        display.note(tr("The whole queue is paused: `commonart queue resume --all` goes on."))
    try:
        for event in supervisor.events(resume=resume):
            display.show(event)
            if isinstance(event, events.Idle) and not args.until_empty:
                display.note(tr("Nothing is waiting. Ctrl+C ends."))
    except KeyboardInterrupt:
        display.note(tr("Stopping after what is in hand…"))
        supervisor.stop()
        display.note(tr("Interrupted; {count} finished image(s) kept.", count=display.made))
        return 130
    finally:
        supervisor.stop(10)
        display.close()
    status = display.exit_status()
    return after.do(args.then) or status if args.then != "exit" else status
