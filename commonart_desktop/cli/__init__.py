"""The command line: one module per command, each with ``add(subparsers)`` and ``run(args) -> exit status``."""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from commonart_desktop.core.i18n import say, sentence, tr
from commonart_desktop.core.settings import read_settings
from engine.contract.errors import CommonArtError, Phrase, UnknownCommand
from engine.contract.version import APP

COMMANDS = (
    "gui",
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
    """Print what happened and what to do (``advice`` instead, if given) on standard error."""
    text, hint = sentence(error)
    hint = hint if advice is None else advice
    print(f"commonart: {text}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """The command line and, through ``add_subparsers``, each command's own: an error names the nearest command."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            near = difflib.get_close_matches(value.lower(), action.choices, n=1)
            why = (
                Phrase("did you mean {command}?", command=f"{self.prog} {near[0]}")
                if near
                else Phrase("the commands are {known}", known=", ".join(action.choices))
            )
            raise UnknownCommand(name=value, prog=self.prog, why=why)
        super()._check_value(action, value)


def command_line(argv: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The complete command line, or only the command in ``argv``: the others need not be loaded then."""
    argparse._ = tr  # type: ignore[attr-defined]  # argparse's own texts are translated too
    parser = _Parser(
        prog="commonart", description=tr("Make images in batches, offline, from Japanese and English prompts.")
    )
    parser.add_argument("--version", action="version", version=APP)
    parser.add_argument("--debug", action="store_true", help=tr("show tracebacks and the engine's own messages"))
    subparsers = parser.add_subparsers(dest="command", metavar=tr("COMMAND"))
    for name in argv[:1] if argv and argv[0] in COMMANDS else COMMANDS:
        import_module(f"commonart_desktop.cli.{name}").add(subparsers)
    return parser


def _tell_unknown_settings() -> None:
    """Report unknown settings once per run: a misspelt entry has no effect, one of a newer version is no error."""
    remark = read_settings().remark()
    if remark is not None:
        print(f"commonart: {say(remark)}", file=sys.stderr)


def run(argv: Sequence[str]) -> int:
    """Parse and run. Returns the exit status: 0 done, 1 failed, 2 invalid usage, 130 interrupted."""
    try:
        parser = command_line(argv)
        args = parser.parse_args(argv)
    except CommonArtError as e:
        complain(e)
        return e.exit_status
    except SystemExit as e:
        return int(e.code or 0)
    if args.command is None:
        parser.print_help()
        return 2
    try:
        _tell_unknown_settings()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM is handled like an interrupt
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
