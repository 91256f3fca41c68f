"""The command line: one module a command, each with ``add(subparsers)`` and ``run(args) -> exit status``."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from commonart_desktop.core.i18n import sentence, tr
from engine.contract.errors import BadFile, CommonArtError
from engine.contract.version import APP

COMMANDS = (
    "generate",
    "queue",
    "models",
    "dataset",
    "train",
    "evaluate",
    "copycheck",
    "show",
    "bench",
    "verify",
    "export",
    "doctor",
)


def complain(error: CommonArtError, advice: str | None = None) -> None:
    """One sentence of what happened and one of what to do (``advice`` instead, if given), on standard error."""
    text, hint = sentence(error)
    hint = hint if advice is None else advice
    print(f"commonart: {text}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)


def _parser(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The whole command line; of a command named at once, only that one: the others need not be loaded before the first picture."""
    argparse._ = tr  # type: ignore[attr-defined]  # argparse's own words go through our catalogue too
    parser = argparse.ArgumentParser(
        prog="commonart", description=tr("Make pictures in batches, offline, from Japanese and English prompts.")
    )
    parser.add_argument("--version", action="version", version=APP)
    parser.add_argument("--debug", action="store_true", help=tr("show tracebacks and the engine's own messages"))
    subparsers = parser.add_subparsers(dest="command", required=True, metavar=tr("COMMAND"))
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        import_module(f"commonart_desktop.cli.{name}").add(subparsers)
    return parser


def run(argv: Sequence[str]) -> int:
    """Parse and obey. Returns the exit status: 0 done, 1 failed, 2 asked wrongly, 130 interrupted."""
    try:
        args = _parser(argv).parse_args(argv)
    except BadFile as e:  # settings that cannot be read
        complain(e)
        return e.exit_status
    except SystemExit as e:
        return int(e.code or 0)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be ended politely is to be interrupted
        return int(args.run(args))
    except CommonArtError as e:
        if args.debug:
            traceback.print_exc()
        complain(e)
        return e.exit_status
    except KeyboardInterrupt:
        print("commonart: " + tr("Interrupted."), file=sys.stderr)
        return 130
    except BrokenPipeError:  # `commonart ... | head`
        sys.stderr.close()
        return 141
