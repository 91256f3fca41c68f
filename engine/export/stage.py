"""``python -m engine.export.stage NAME``: one step of an export in a process of its own, so that its memory is freed.

The job is one JSON line on standard input, the answer one JSON document. Standard input stays open: when it ends, the
parent process is gone, and this process exits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineStopped, from_wire
from engine.contract.files import as_our_error
from engine.contract.python_process import python_command, python_environment
from engine.system.json_program import run_json_program
from engine.system.ram import peak_bytes


def _stages() -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
    from engine.export import graph_parity, image_parity, part_export

    return {
        "graph": part_export.export_graph,
        "quantize": part_export.quantize,
        "check": graph_parity.check,
        "images": image_parity.generate,
    }


def _run(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """Raises CommonArtError: what the step raises; an OSError counts as an error of the output folder."""
    try:
        return _stages()[name](job) | {"peak": peak_bytes()}
    except OSError as e:
        raise as_our_error(e, Path(job["out"])) from e


def run_stage(name: str, job: dict[str, Any], *, in_subprocess: bool) -> dict[str, Any]:
    """Run one step here, or with ``in_subprocess`` in a new process; the answer has the process's ``peak`` memory in
    bytes.

    Raises:
        CommonArtError: what the step raised; EngineStopped if its process died.
    """
    if not in_subprocess:
        return _run(name, job)
    child = subprocess.Popen(
        python_command("-m", "engine.export.stage", name),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=python_environment(),
    )
    assert child.stdin and child.stdout and child.stderr
    stderr_lines: list[str] = []
    listener = threading.Thread(target=lambda: stderr_lines.extend(child.stderr or []), daemon=True)
    listener.start()
    try:
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        text = child.stdout.read()
        child.wait()
    except OSError:  # it died before it read its job
        child.wait()
        text = ""
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        listener.join(5)
        for stream in (child.stdout, child.stderr):
            stream.close()
        try:
            child.stdin.close()
        except OSError:
            pass  # the process has ended
    try:
        answer = json.loads(text)
    except ValueError as e:
        raise EngineStopped(why=(stderr_lines or [f"{name}, {child.returncode}"])[-1].strip()) from e
    if not answer["ok"]:
        raise from_wire(answer["error"])
    return dict(answer)


def _exit_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _work(argv: list[str]) -> dict[str, Any]:
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    return _run(argv[0], job)


if __name__ == "__main__":
    sys.exit(run_json_program(_work))
