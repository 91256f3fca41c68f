"""Raw results on disk: `benchmarks/results/NAME-PLACE.json` with machine, versions and command, so that a figure can be
traced.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("torch", "diffusers", "transformers", "onnxruntime-gpu", "onnxruntime", "numpy")


def surroundings() -> dict[str, Any]:
    """Machine, load, versions and the command that runs now."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass  # not Linux
    command = [
        Path(sys.executable).name,
        "-m",
        *([f"benchmarks.{Path(sys.argv[0]).stem}"] if sys.argv[0].endswith(".py") else sys.argv[:1]),
        *sys.argv[1:],
    ]
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(command),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load": [round(n, 2) for n in psutil.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": found,
    }


def save(name: str, result: dict[str, Any], where: Path | None = None) -> Path:
    """Write ``result`` with its surroundings; returns the file."""
    file = where or RESULTS / f"{name}-{platform.system().lower()}-{os.cpu_count()}cores.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps({"surroundings": surroundings()} | result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return file
