"""What every worker program does: options, the protocol on standard input and output, the lease, the last error."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from engine.contract import events
from engine.contract.errors import BadValue, CommonArtError, EngineStopped, LedgerError, Phrase
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.process_lock import ProcessLock
from engine.contract.provenance_policy import add_options, policy_of
from engine.output.save import recover
from engine.system.json_program import own_stdout
from engine.worker.base import QueueWorker, WorkerOptions

GRACE = 180.0  # seconds: more than one step of the full model takes on a slow CPU


def _listen(worker: QueueWorker, ledger: Ledger) -> None:
    """Execute commands; the end of standard input means that the parent process is gone."""
    for line in sys.stdin.buffer:
        try:
            command = events.decode_command(line.decode("utf-8", "replace"))
            if command in ("pause", "resume"):
                ledger.pause(None, command == "pause")
            elif command == "cancel":
                ledger.set_state(None, ("waiting", "running"), "cancelled")
            else:
                worker.command(command)
        except CommonArtError as e:
            print(f"{e}", file=sys.stderr)
    worker.command("quit")
    deadline = threading.Timer(
        GRACE, lambda: os._exit(143)
    )  # a load or a step that never ends must not outlive its owner
    deadline.daemon = True
    deadline.start()


def _bytes(text: str | None) -> int | None:
    """GB as bytes; None for ``auto``. Raises BadValue."""
    if text in (None, "", "auto"):
        return None
    try:
        gigabytes = float(str(text))
        if not 0.5 <= gigabytes <= 4096:  # also refuses nan
            raise ValueError
    except ValueError as e:
        raise BadValue(
            name="memory", value=text, why=Phrase("it must be auto or a number of GB, such as {example}", example="8")
        ) from e
    return int(gigabytes * 1e9)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """The options that every queue worker has."""
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--backend", default=os.environ.get("COMMONART_BACKEND", "auto"), choices=["auto", "pytorch", "onnx", "fake"]
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument(
        "--memory", metavar="GB", help="how much of the device's memory the model may use; auto: what there is"
    )
    parser.add_argument(
        "--preview", type=int, default=0, metavar="STEPS", help="a small preview image every so many steps"
    )
    parser.add_argument("--until-empty", action="store_true", help="end when nothing is waiting")
    parser.add_argument("--resume", action="store_true", help="first recover the rows of dead workers")
    parser.add_argument("--detached", action="store_true", help="go on when standard input closes")
    parser.add_argument("--debug", action="store_true", help="tracebacks on standard error")
    add_options(parser)


def quiet_libraries() -> None:
    """Set before any library is loaded: no network access, and kernels that do not depend on memory alignment."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"  # generating needs no network, whatever the environment says
    # MKL picks kernels by memory alignment, so two processes may round differently; strict mode does not.
    # It is read when torch is loaded.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def serve(
    args: argparse.Namespace,
    create: Callable[[Ledger, str, WorkerOptions, Callable[[events.Event], None]], QueueWorker],
    replay: tuple[int, ...] | None = None,
) -> int:
    """Register under a lease, run the worker that ``create`` returns, unregister; returns the exit status."""
    out = own_stdout()
    quiet_libraries()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process gets it too, and sends quit
    lock = threading.Lock()

    def notify(event: events.Event) -> None:
        try:
            with lock:
                out.write(events.encode(event) + "\n")
        except (BrokenPipeError, ValueError, OSError):
            pass  # nobody reads any more; the ledger has everything

    name = f"{os.getpid()}-{secrets.token_hex(3)}"
    ledger = None
    lease = None
    try:
        ledger = Ledger(args.ledger)
        lease = ProcessLock(ledger.lock_file(name))
        lease.take()
        ledger.sign_on(name, os.getpid())
        notify(events.Hello(worker=name))
        if args.resume:
            recover(
                ledger, lambda row, e: notify(events.Failed(image=row.id, prompt=row.request.prompt, error=e.to_wire()))
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
        worker = create(ledger, name, options, notify)
        if not args.detached:
            threading.Thread(target=_listen, args=(worker, ledger), name="commands", daemon=True).start()
        worker.run()
        ledger.sign_off(name)
        return 0
    except CommonArtError as e:
        notify(events.Broken(error=e.to_wire()))
        return 1
    except Exception as e:  # a bug: one sentence, with the traceback on request
        if args.debug:
            raise
        notify(events.Broken(error=EngineStopped(why=f"{type(e).__name__}: {e}").to_wire()))
        return 1
    finally:
        if lease is not None:
            lease.drop(remove=True)
        if ledger is not None:
            try:
                ledger.close()
            except LedgerError:
                pass  # the process ends anyway
