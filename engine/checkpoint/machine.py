"""The machine: its memory. And the manners of the engine's programs: one JSON document on standard output."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from engine.contract.errors import CommonArtError, Phrase, UsageError, from_wire

# memory -----------------------------------------------------------------------------------------------------------


def ram_bytes() -> int | None:
    """The memory this process can have: the machine's, or its container's limit. None where nothing tells."""
    if os.name == "nt":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                        *((f"n{i}", ctypes.c_ulonglong) for i in range(7))]  # the first is the total

        status = Status()
        status.length = ctypes.sizeof(Status)
        done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
        return int(status.n0) if done else None
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):
            pass  # not on Linux, or no limit ("max")
    return total if total > 0 else None


def nvidia_gpus() -> list[dict[str, Any]] | None:
    """``{"name", "bytes"}`` of each NVIDIA GPU as its driver tells, without PyTorch; None without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        told = subprocess.run([program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"], check=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20,
                              encoding="utf-8", errors="replace",
                              creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.rpartition(",") for line in told.splitlines())
    return [{"name": name.strip(), "bytes": int(size) << 20} for name, _, size in rows if size.strip().isdecimal()] or None


# programs ---------------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Wrong arguments become a UsageError, and so reach the reader as JSON."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(why=message)


def phrase(text: str) -> dict[str, Any] | str:
    """A Phrase as JSON data, which the reader's side tells in its own language; other text stays text."""
    if not isinstance(text, Phrase):
        return text
    return {"template": text.template, "fields": {k: v if isinstance(v, (int, float)) else str(v) for k, v in text.fields.items()}}


def tell_progress(done: int, total: int) -> None:
    """A line such as ``{"progress": 1, "total": 2}`` on standard error."""
    print(json.dumps({"progress": min(done, total), "total": total}), file=sys.stderr, flush=True)


def run_program(work: Callable[[list[str]], dict[str, Any]]) -> int:
    """Do ``work(arguments)``, print its answer and return the exit status.

    The answer is told as ``{"ok": true, ...}``; with an ``error`` in it, or raised, as ``{"ok": false, "error": ...}``.
    Whatever libraries print goes to standard error; ``--debug``, anywhere, adds tracebacks there.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace", newline="\n")  # a lone surrogate: \udc80
    os.dup2(2, 1)
    argv = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(argv) < len(sys.argv) - 1
    try:
        answer = work(argv)
        answer = {"ok": "error" not in answer} | answer
    except KeyboardInterrupt:
        return 130
    except Exception as e:  # whatever it is, it is told as one sentence
        if debug:
            traceback.print_exc()
        error = e if isinstance(e, CommonArtError) else CommonArtError(why=f"{type(e).__name__}: {e}")
        answer = {"ok": False, "error": error.to_wire()}
    try:
        with out:
            out.write(json.dumps(answer, ensure_ascii=False) + "\n")
    except OSError:
        pass  # nobody listens any more
    return 0 if answer["ok"] else from_wire(answer["error"]).exit_status
