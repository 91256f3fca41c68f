"""How long the first picture takes from nothing, against the bare cost of importing torch and reading the weights.

    python -m benchmarks.cold [--rounds 5] [--json]

By turns, each a fresh process: `commonart generate` of a caption never seen before, end to end; `import torch` and
reading every weight of the model; and, for comparison, importing what diffusers' pipeline needs. The disk cache is warm
for all. Wall time, and processor time of the process with its children, which a busy machine moves less. Goal: 1.3
times the bare cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

GOAL = 1.3
ROOT = Path(__file__).parent.parent
WEIGHTS = ROOT / "resources" / "models" / "commonart-mini"
READ = f"""
import torch
from pathlib import Path
from safetensors.torch import load_file
for file in sorted(Path({str(WEIGHTS)!r}).rglob("*.safetensors")):
    load_file(file)
"""
LIBRARIES = """
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
from transformers import AutoModel, AutoTokenizer
"""


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(wall, processor) seconds of a process with its children. Raises CalledProcessError."""

    def used() -> float:
        times = psutil.Process().cpu_times()
        return float(times.children_user + times.children_system)

    before, began = used(), time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=ROOT,
    )
    return time.perf_counter() - began, used() - before


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    from benchmarks.record import save
    from engine.bench.spread import spread

    with tempfile.TemporaryDirectory(prefix="cold-") as name:
        environment = os.environ | {"COMMONART_HOME": str(Path(name) / "home"), "PYTHONUTF8": "1"}
        ways: dict[str, Any] = {
            "first picture": lambda n: [
                sys.executable,
                "-m",
                "commonart_desktop",
                "generate",
                f"すし {n}",
                "--out",
                name,
                "--quiet",
            ],
            "torch and weights": lambda _: [sys.executable, "-c", READ],
            "diffusers' imports": lambda _: [sys.executable, "-c", LIBRARIES],
        }
        wall: dict[str, list[float]] = {way: [] for way in ways}
        cpu: dict[str, list[float]] = {way: [] for way in ways}
        for n in range(
            -1, args.rounds
        ):  # the first warms the disk cache, and the hashes of the files are known from then on
            for way in list(ways) if n % 2 else list(ways)[::-1]:
                seconds, used = timed(ways[way](n), environment)
                if n >= 0:
                    wall[way].append(seconds)
                    cpu[way].append(used)
    ratio = spread([a / b for a, b in zip(wall["first picture"], wall["torch and weights"], strict=True)])
    busy = spread([a / b for a, b in zip(cpu["first picture"], cpu["torch and weights"], strict=True)])
    result = {
        "wall_seconds": {k: spread(v) for k, v in wall.items()},
        "processor_seconds": {k: spread(v) for k, v in cpu.items()},
        "ratio": ratio,
        "ratio_of_processor_time": busy,
        "goal": GOAL,
    }
    for way in ways:
        print(
            f"{way:<20}{spread(wall[way])['median']:>8.2f} s ({min(wall[way]):.2f} to "
            f"{max(wall[way]):.2f}){spread(cpu[way])['median']:>8.2f} s of processor",
            file=sys.stderr,
        )
    print(
        f"first picture / torch and weights: {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f}), of "
        f"processor time {busy['median']:.2f}; "
        f"goal {GOAL}; {'reliable' if ratio['reliable'] else 'not reliable: the rounds lie too far apart'}; "
        f"{save('cold', result)}",
        file=sys.stderr,
    )
    if args.json:
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
