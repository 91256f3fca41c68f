"""Alternating rounds: ours, theirs, ours, theirs; then ratios, their spread, and the PSNR between the images."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from engine.bench.ours import EngineRun, Round
from engine.bench.prompts import prompts
from engine.bench.spread import spread
from engine.bench.watch import MemoryWatch
from engine.contract.errors import EngineStopped
from engine.contract.python_process import python_command, python_environment
from engine.imagefile.image import read_pixels


def psnr(one: Path, other: Path) -> float:
    """Peak signal-to-noise ratio in dB of two images of one size, at most 99 (equal)."""
    a, b = read_pixels(one).astype(np.float64), read_pixels(other).astype(np.float64)
    error = float(np.mean((a - b) ** 2))
    return min(99.0, 10 * float(np.log10(255**2 / error))) if error else 99.0


class Baseline:
    """The process of ``engine.bench.theirs``."""

    name = "diffusers"

    def __init__(
        self,
        model: Sequence[str],
        *,
        settings: dict[str, Any],
        device: str,
        dtype: str,
        batch: int,
        compiled: bool = False,
    ) -> None:
        self._settings, self._batch = settings, batch
        # its own threads and kernels, as a user would have them, without our worker's settings
        environment = python_environment(MKL_CBWR=None, OMP_NUM_THREADS=None)
        self._process = subprocess.Popen(
            python_command(
                "-m",
                "engine.bench.theirs",
                *model,
                "--device",
                device,
                "--dtype",
                dtype,
                *(["--compile"] if compiled else []),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=environment,
        )
        self.watch = MemoryWatch(self._process.pid)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        stream: IO[str] | None = self._process.stdout
        line = stream.readline() if stream else ""
        if not line:
            raise EngineStopped(why=f"diffusers, {self._process.wait()}")
        return dict(json.loads(line))

    def round(self, texts: Sequence[str], seeds: Sequence[int], out: Path) -> Round:
        """Generate batch after batch. Raises EngineStopped."""
        assert self._process.stdin is not None
        out.mkdir(parents=True, exist_ok=True)
        self._process.stdin.write(
            json.dumps(
                {
                    "prompts": list(texts),
                    "seeds": list(seeds),
                    "out": str(out),
                    "batch": self._batch,
                    "settings": self._settings,
                }
            )
            + "\n"
        )
        self._process.stdin.flush()
        return Round(self._answer()["seconds"], sorted(out.glob("*.png")), {})

    def close(self) -> int:
        """End it; returns its peak memory in bytes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()
        return self.watch.close()


@dataclass
class Timing:
    """What was measured of one engine."""

    name: str
    rates: list[float] = field(default_factory=list)  # images per second, one for each round
    stages: dict[str, float] = field(default_factory=dict)

    def summary(self, peak: int) -> dict[str, Any]:
        """Median and spread as JSON data; ``peak`` is memory in bytes."""
        rates = spread(self.rates)
        result: dict[str, Any] = {
            "pictures_per_second": rates["median"],
            "slowest": rates["least"],
            "fastest": rates["most"],
            "rounds": [round(r, 4) for r in self.rates],
            "spread": rates["relative"],
            "reliable": rates["reliable"],
            "peak_memory_bytes": peak,
        }
        if self.stages:
            result["stage_seconds"] = {k: round(v, 3) for k, v in self.stages.items()}
        return result


def compare(
    ours: EngineRun,
    others: Sequence[Any],
    *,
    count: int,
    rounds: int,
    work: Path,
    on_progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Warm up every side, then measure them alternately, on prompts that no two rounds share.

    Returns a summary for each side; for each rival the median of the rounds' ratios, which a machine that slows down in
    between changes less than the ratio of medians, those ratios and their spread, and the PSNR of images of the same
    prompt and seed (least, median).
    """
    sides = [ours, *others]
    measured = {s.name: Timing(s.name) for s in sides}
    psnr_values: dict[str, list[float]] = {o.name: [] for o in others}
    total, done = (rounds + 1) * len(sides), 0
    for number in range(rounds + 1):
        size = min(count, 8) if number == 0 else count  # the first warms up
        texts, seeds = prompts(size, 100 + number * count), [number * count + n for n in range(size)]
        order = sides if number % 2 else sides[::-1]
        files: dict[str, list[Path]] = {}
        for side in order:
            done_round = side.round(texts, seeds, work / f"{side.name}-{number}")
            files[side.name] = done_round.files
            done += 1
            on_progress(done, total)
            if number:
                measured[side.name].rates.append(size / done_round.seconds)
                for stage, seconds in done_round.stages.items():
                    measured[side.name].stages[stage] = measured[side.name].stages.get(stage, 0.0) + seconds / rounds
        if number:
            for other in others:
                psnr_values[other.name] += [
                    psnr(a, b) for a, b in zip(files[ours.name], files[other.name], strict=True)
                ]
    peaks = {s.name: s.close() for s in sides}
    result: dict[str, Any] = {"sides": {n: m.summary(peaks[n]) for n, m in measured.items()}, "against": {}}
    own = measured[ours.name]
    for other in others:
        theirs = measured[other.name]
        ratios = [a / b for a, b in zip(own.rates, theirs.rates, strict=True)]
        rates = spread(ratios)
        result["against"][other.name] = {
            "ratio": rates["median"],
            "ratio_of_rounds": [round(r, 3) for r in ratios],
            "ratio_spread": rates["relative"],
            "reliable": rates["reliable"],
            "psnr_db": {"least": min(psnr_values[other.name]), "median": statistics.median(psnr_values[other.name])},
        }
    return result
