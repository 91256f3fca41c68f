"""Timesteps for few steps, fitted so that pictures come nearest to those of a hundred steps.

    python -m benchmarks.fit_schedule MODEL --steps 8 [--steps 6 ...] [--sampler dpm++2m] [--prompts FILE] [--pictures
    12] [--out FILE]

The same pictures are drawn with 100 steps and with few; the timesteps between are moved, the first stays. Starting
points are powers of the usual spacing and the fit of the nearest count there is; then each timestep is moved by 48, 24,
12 and 6 (--moves) as long as the mean squared error of the latents falls. As many pictures again, not used for fitting,
tell what is won: their signal-to-error ratio in dB, fitted and with the usual spacing. Deterministic for one machine.
FILE (in the data folder's ``schedules`` if not given) is written after every pass, and the same command goes on where
it was stopped; counts that are there already are kept unless --again is given.
The format: ``engine/sampling/fitted_timesteps.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine import pipeline
from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.checkpoint.library import open_model
from engine.contract.paths import home
from engine.contract.request import ImageRequest
from engine.pipeline import denoise
from engine.sampling.fitted_timesteps import ACCEPTING_SAMPLERS, NOISE
from engine.sampling.schedule import Schedule

REFERENCE = 100
MOVES = (48, 24, 12, 6)
POWERS = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5)
Timesteps = tuple[int, ...]


class Trial:
    """Some pictures, how they come out over given timesteps, and how far that is from the reference."""

    def __init__(self, backend: Backend, requests: Sequence[ImageRequest], sampler: str) -> None:
        self._backend, self._sampler = backend, sampler
        features = pipeline.encode(backend, requests)
        self._lanes = backend.lanes(len(requests))
        self._shares = [(list(some), backend.predictor(some, features)) for some in self._lanes.shares(requests)]
        self._reference = self._draw(REFERENCE, ())
        self._power = float((self._reference**2).mean())

    def _draw(self, steps: int, timesteps: Timesteps) -> np.ndarray[Any, Any]:
        def share(_: int, some: Sequence[Any]) -> Any:
            ((requests, predict),) = some
            seeds = [r.seed for r in requests]
            noise = self._backend.noise(seeds, requests[0].width, requests[0].height)
            return denoise(predict, self._backend.sampler(self._sampler, steps, seeds, timesteps), noise)

        return np.asarray(self._backend.join(self._lanes.map(share, self._shares)).cpu(), np.float64)

    def decibels(self, steps: int, timesteps: Timesteps = ()) -> float:
        """Signal-to-error ratio of the latents against the reference; empty timesteps: the usual spacing."""
        error = float(((self._draw(steps, timesteps) - self._reference) ** 2).mean())
        return 10 * float(np.log10(self._power / error)) if error else 200.0


def falling(timesteps: Sequence[int]) -> bool:
    """Whether each is below the one before, and the last above the end."""
    return all(a > b for a, b in pairwise(timesteps)) and timesteps[-1] > 0


def starts(steps: int, top: int, neighbour: Timesteps) -> list[Timesteps]:
    """Where to begin, each with ``top`` first."""
    found = [tuple(round(top * (1 - n / steps) ** power) for n in range(steps)) for power in POWERS]
    if neighbour:
        found.append(
            tuple(
                round(float(t))
                for t in np.interp(
                    np.arange(steps) / steps, np.arange(len(neighbour) + 1) / len(neighbour), [*neighbour, 0]
                )
            )
        )
    return [t for t in dict.fromkeys(found) if falling(t)]


def fit(
    value: Callable[[Timesteps], float],
    timesteps: Timesteps,
    moves: Sequence[int],
    kept: Callable[[Timesteps, int, float], None],
) -> tuple[Timesteps, float]:
    """Coordinate descent: each timestep but the first by each of ``moves`` in turn while ``value`` rises.

    ``kept`` is told after every pass.
    """
    best = value(timesteps)
    for move in moves:
        moved = True
        while moved:
            moved = False
            for place in range(1, len(timesteps)):
                for by in (move, -move):
                    tried = (*timesteps[:place], timesteps[place] + by, *timesteps[place + 1 :])
                    if falling(tried) and (found := value(tried)) > best + 1e-3:
                        timesteps, best, moved = tried, found, True
                        break
            kept(timesteps, move, best)
    return timesteps, best


def _save(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="commonart-mini")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--steps", type=int, action="append", required=True, help="how many; may be given several times"
    )
    parser.add_argument("--sampler", choices=ACCEPTING_SAMPLERS, default="dpm++2m")
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--size", type=int, help="pixels; the model's own if not given")
    parser.add_argument(
        "--prompts",
        type=Path,
        help="a text file, one prompt a line; without one, names of things in Japanese and English",
    )
    parser.add_argument("--pictures", type=int, default=12, help="to fit on; as many others tell what is won")
    parser.add_argument(
        "--moves",
        type=int,
        action="append",
        help="by how much a timestep is tried to be moved; may be given several times",
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    folder = open_model(args.model, args.text_encoder, args.vae)
    backend = open_backend(folder, device=args.device)
    schedule = Schedule.from_dict(folder.scheduler_config)
    if args.prompts:
        prompts = [line.strip() for line in args.prompts.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    else:
        prompts = [
            "りんご",
            "a red car",
            "猫",
            "a tree, flat style",
            "青い背景の寿司",
            "house",
            "花、水彩",
            "a dog on a yellow background",
            "山",
            "fish",
            "自転車",
            "coffee",
            "月",
            "a bird",
            "傘",
            "strawberry",
            "電車",
            "a clock",
            "ケーキ",
            "guitar",
            "船",
            "a mushroom",
            "帽子",
            "star",
        ]
    requests = [
        pipeline.settle(
            ImageRequest(
                prompt=prompts[n % len(prompts)],
                seed=50_000 + n,
                guidance=args.guidance,
                width=args.size,
                height=args.size,
            ),
            folder,
        )
        for n in range(2 * args.pictures)
    ]
    name = f"{folder.name}-{args.sampler}".replace("+", "p")
    out = args.out or home() / "schedules" / f"{name}.json"
    head = {
        "format": 1,
        "noise": {k: getattr(schedule, k) for k in NOISE},
        "sampler": args.sampler,
        "fitted_on": {
            "model": folder.name,
            "denoiser": backend.hashes["denoiser"],
            "side": requests[0].width,
            "guidance": args.guidance,
            "pictures": args.pictures,
            "reference_steps": REFERENCE,
        },
    }
    data: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    if any(data.get(k) != v for k, v in head.items()):
        data = head | {"steps": {}}
    trial, others = (
        Trial(backend, some, args.sampler) for some in (requests[: args.pictures], requests[args.pictures :])
    )
    top = int(schedule.timesteps(args.steps[0])[0])
    for steps in sorted(set(args.steps), reverse=True):
        if str(steps) in data["steps"] and not args.again:
            continue
        began, tried = time.monotonic(), 0

        def value(timesteps: Timesteps) -> float:
            nonlocal tried
            tried += 1
            return trial.decibels(len(timesteps), timesteps)

        def kept(timesteps: Timesteps, move: int, best: float) -> None:
            data["unfinished"] = {"steps": steps, "move": move, "timesteps": list(timesteps)}  # noqa: B023
            _save(out, data)
            took = time.monotonic() - began  # noqa: B023
            print(f"{steps} steps: by {move}, {tried} tries, {best:.2f} dB, {took:.0f} s", file=sys.stderr)  # noqa: B023

        going = data.get("unfinished", {})
        moves: Sequence[int] = sorted(args.moves or MOVES, reverse=True)
        if going.get("steps") == steps:
            begin, moves = tuple(going["timesteps"]), [m for m in moves if m <= going["move"]]
        else:
            others_done = sorted((abs(int(n) - steps), int(n)) for n in data["steps"])
            neighbour = tuple(data["steps"][str(others_done[0][1])]["timesteps"]) if others_done else ()
            begin = max(starts(steps, top, neighbour), key=value)
        found, _ = fit(value, begin, moves, kept)
        data["steps"][str(steps)] = {
            "timesteps": list(found),
            "db": round(others.decibels(steps, found), 2),
            "usual_db": round(others.decibels(steps), 2),
        }
        data.pop("unfinished", None)
        data["steps"] = dict(sorted(data["steps"].items(), key=lambda pair: int(pair[0])))
        _save(out, data)
        print(f"{steps} steps: {data['steps'][str(steps)]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
