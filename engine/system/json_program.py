"""Protocol of the engine's subprocesses: one JSON document on standard output, logs and progress on standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from engine.contract.errors import CommonArtError, Phrase, UsageError, from_wire


class JsonArgumentParser(argparse.ArgumentParser):
    """Invalid arguments become a UsageError and are reported as JSON."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(why=message)


def phrase(text: str) -> dict[str, Any] | str:
    """A Phrase as JSON data, which the caller translates; other text stays text."""
    if not isinstance(text, Phrase):
        return text
    return {
        "template": text.template,
        "fields": {k: v if isinstance(v, (int, float)) else str(v) for k, v in text.fields.items()},
    }


def report_progress(done: int, total: int) -> None:
    """A line such as ``{"progress": 1, "total": 2}`` on standard error."""
    print(json.dumps({"progress": min(done, total), "total": total}), file=sys.stderr, flush=True)


def own_stdout() -> TextIO:
    """Reserve file descriptor 1 for the protocol; whatever libraries print goes to standard error.

    Line-buffered UTF-8; a lone surrogate (an undecodable byte of a file name) is written as ``\\udc80``.
    """
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace", newline="\n", buffering=1)
    os.dup2(2, 1)
    return protocol


def run_json_program(work: Callable[[list[str]], dict[str, Any]]) -> int:
    """Run ``work(arguments)``, print its result and return the exit status.

    The result is printed as ``{"ok": true, ...}``; with an ``error`` in it, or raised, as ``{"ok": false, "error":
    ...}``. Whatever libraries print goes to standard error; ``--debug``, anywhere, adds tracebacks there.
    """
    out = own_stdout()
    argv = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(argv) < len(sys.argv) - 1
    try:
        answer = work(argv)
        answer = {"ok": "error" not in answer} | answer
    except KeyboardInterrupt:
        return 130
    except Exception as e:  # reported as one sentence, whatever it is
        if debug:
            traceback.print_exc()
        error = e if isinstance(e, CommonArtError) else CommonArtError(why=f"{type(e).__name__}: {e}")
        answer = {"ok": False, "error": error.to_wire()}
    try:
        with out:
            out.write(json.dumps(answer, ensure_ascii=False) + "\n")
    except OSError:
        pass  # the reader is gone
    return 0 if answer["ok"] else from_wire(answer["error"]).exit_status
