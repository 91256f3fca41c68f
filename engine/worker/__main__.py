"""``python -m engine.worker LEDGER``: drain the queue; events on standard output, commands on standard input."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from engine.contract import events
from engine.contract.errors import BadValue, CommonArtError, EngineStopped, LedgerError, Phrase
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.process_lock import ProcessLock
from engine.contract.provenance_policy import add_options, policy_of
from engine.output.save import recover
from engine.worker.base import QueueWorker, WorkerOptions

GRACE = 180.0  # seconds: more than one step of the full model takes on a slow CPU


def _own_stdout() -> TextIO:
    """Keep fd 1 for the protocol and point everyone else's standard output at standard error."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n", buffering=1)
    os.dup2(2, 1)
    return mine


def _listen(runner: QueueWorker, ledger: Ledger) -> None:
    """Obey commands; the end of standard input means that whoever started us is gone."""
    for line in sys.stdin.buffer:
        try:
            command = events.decode_command(line.decode("utf-8", "replace"))
            if command in ("pause", "resume"):
                ledger.pause(None, command == "pause")
            elif command == "cancel":
                ledger.set_state(None, ("waiting", "running"), "cancelled")
            else:
                runner.command(command)
        except CommonArtError as e:
            print(f"{e}", file=sys.stderr)
    runner.command("quit")
    last = threading.Timer(GRACE, lambda: os._exit(143))  # a load or a step that never ends must not outlive its owner
    last.daemon = True
    last.start()


def _bytes(text: str | None) -> int | None:
    """GB as bytes; None for ``auto``. Raises BadValue."""
    if text in (None, "", "auto"):
        return None
    try:
        found = float(str(text))
        if not 0.5 <= found <= 4096:  # also refuses nan
            raise ValueError
    except ValueError as e:
        raise BadValue(
            name="memory", value=text, why=Phrase("it must be auto or a number of GB, such as {example}", example="8")
        ) from e
    return int(found * 1e9)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """What every worker over the queue understands."""
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--backend", default=os.environ.get("COMMONART_BACKEND", "auto"), choices=["auto", "pytorch", "onnx", "fake"]
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument(
        "--memory", metavar="GB", help="how much of the device's memory the model may use; auto: what there is"
    )
    parser.add_argument("--preview", type=int, default=0, metavar="STEPS", help="a small picture every so many steps")
    parser.add_argument("--until-empty", action="store_true", help="end when nothing is waiting")
    parser.add_argument("--resume", action="store_true", help="first bring home what dead workers left")
    parser.add_argument("--detached", action="store_true", help="go on when standard input closes")
    parser.add_argument("--debug", action="store_true", help="tracebacks on standard error")
    add_options(parser)


def quiet_libraries() -> None:
    """What must be so before any library is loaded: no network, and the same kernels wherever memory happens to lie."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"  # pictures need no network, whoever starts this
    # MKL picks kernels by where memory happens to lie, so two processes may round differently; strict mode does not.
    # It must be said before torch is loaded.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def serve(
    args: argparse.Namespace,
    make: Callable[[Ledger, str, WorkerOptions, Callable[[events.Event], None]], QueueWorker],
    replay: tuple[int, ...] | None = None,
) -> int:
    """Sign on under a lease, drain the queue by what ``make`` gives, sign off; returns the exit status."""
    out = _own_stdout()
    quiet_libraries()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us gets it too, and says quit
    lock = threading.Lock()

    def say(event: events.Event) -> None:
        try:
            with lock:
                out.write(events.encode(event) + "\n")
        except (BrokenPipeError, ValueError, OSError):
            pass  # nobody listens any more; the ledger has it all

    name = f"{os.getpid()}-{secrets.token_hex(3)}"
    ledger = None
    lease = None
    try:
        ledger = Ledger(args.ledger)
        lease = ProcessLock(ledger.lock_file(name))
        lease.take()
        ledger.sign_on(name, os.getpid())
        say(events.Hello(worker=name))
        if args.resume:
            recover(
                ledger, lambda row, e: say(events.Failed(image=row.id, prompt=row.request.prompt, error=e.to_wire()))
            )
        options = WorkerOptions(
            device=args.device,
            kind=args.backend,
            batch_size=args.batch_size,
            memory=_bytes(args.memory),
            replay=replay,
            preview=args.preview,
            until_empty=args.until_empty,
            debug=args.debug,
            provenance=policy_of(args),
        )
        runner = make(ledger, name, options, say)
        if not args.detached:
            threading.Thread(target=_listen, args=(runner, ledger), name="commands", daemon=True).start()
        runner.run()
        ledger.sign_off(name)
        return 0
    except CommonArtError as e:
        say(events.Broken(error=e.to_wire()))
        return 1
    except Exception as e:  # an error of ours: told as one sentence, with the traceback on request
        if args.debug:
            raise
        say(events.Broken(error=EngineStopped(why=f"{type(e).__name__}: {e}").to_wire()))
        return 1
    finally:
        if lease is not None:
            lease.drop(remove=True)
        if ledger is not None:
            try:
                ledger.close()
            except LedgerError:
                pass  # it is closed by our end anyway


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.worker", description=__doc__)
    add_worker_options(parser)
    parser.add_argument(
        "--replay", metavar="ROWS,INDEX", help="make each picture as row INDEX of a micro-batch of ROWS"
    )
    args = parser.parse_args()
    from engine.worker.local import LocalWorker

    return serve(args, LocalWorker, tuple(int(n) for n in args.replay.split(",")) if args.replay else None)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # no second thoughts of native thread pools at exit
