"""What each quality preset, and each of its levers alone, costs in pixels and gives in speed, on the bundled model.

    python -m benchmarks.presets [--json] [--limit THINGS] [--only ROW ...] [--out FILE]

Known things are drawn from their most usual names in Japanese and in English with the same seeds along every row, by
turns in micro-batches, so that a busy machine is busy for all. Told are, against `exact`, the ratio of the time for
denoising and decoding (median of the micro-batches and its quartiles; and of processor time, which other programs
disturb less), the PSNR, a distance of picture features (0 is equal; of EfficientNet-Lite where it is installed, else of
coarse colours and edges), and whether
the right thing is the nearest, or among the five nearest, of all known things: in per cent, and as the change of top-1
against `exact` in points with its 95 % interval (paired: McNemar).

Every micro-batch is kept in FILE.part as it ends; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine import pipeline
from engine.backends.factory import open_backend
from engine.checkpoint.library import open_model
from engine.contract.errors import MissingLibrary
from engine.contract.request import PRESETS, ImageRequest
from engine.sampling.presets import PRESET_DEFINITIONS, Preset, sampling_plan_of
from trainer.evaluation.encoders.base import BUILT_IN, EFFICIENTNET, Encoder
from trainer.evaluation.encoders.factory import open_encoder
from trainer.evaluation.truth import concept_table_of

BATCH = 16
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """A preset to measure; ``halves`` refills freed rows, with micro-batches twice as large, also where the device does
    not.
    """

    preset: Preset
    halves: bool = False


LEVERS = {
    "10 steps, usual timesteps": Row(Preset(steps=0.5)),  # `balanced` has as many, fitted
    "6 steps, usual timesteps": Row(Preset(steps=0.3)),  # between `fast` and `balanced`
    "guided to 0.6": Row(Preset(guided_to=0.6)),
    "guided to 0.6, rows refilled": Row(Preset(guided_to=0.6), halves=True),
}


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """In dB; 99 at most."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return min(99.0, 10 * float(np.log10(255**2 / error))) if error else 99.0


def encoder_of(name: str | None) -> Encoder:
    """The one asked for, or the best that is installed."""
    if name is None:
        try:
            return open_encoder(EFFICIENTNET)
        except MissingLibrary:
            return open_encoder(BUILT_IN)
    return open_encoder(name)


class Bench:
    """One loaded model and the rows to go through."""

    def __init__(self, model: str, rows: dict[str, Row], steps: int, sampler: str, encoder: str | None) -> None:
        self.folder = open_model(model)
        self.backend = open_backend(self.folder, device="cpu")
        self.rows, self.steps, self.sampler = rows, steps, sampler
        self.encoder = encoder_of(encoder)
        truth = concept_table_of(self.folder.root)
        if truth is None:
            raise SystemExit(f"{self.folder.root} has no true renders to compare with")
        self.truth = truth

    def _draw(self, row: Row, requests: list[ImageRequest]) -> tuple[np.ndarray[Any, Any], float, float]:
        words = pipeline.encode(self.backend, requests)
        size = 2 * BATCH if row.halves else BATCH
        supports = self.backend.supports
        if row.halves:
            self.backend.supports = supports | {"halves"}
        try:
            began, used = time.perf_counter(), time.process_time()
            parts = [
                pipeline.decode(
                    self.backend, pipeline.denoise_batch(self.backend, requests[a : a + size], words, preset=row.preset)
                )
                for a in range(0, len(requests), size)
            ]
            return np.concatenate(parts), time.perf_counter() - began, time.process_time() - used
        finally:
            self.backend.supports = supports

    def turn(self, number: int, asked: list[tuple[str, int, str]]) -> dict[str, Any]:
        """Each row once for these (language, thing, name), the first another one each time."""
        requests = [
            pipeline.settle(
                ImageRequest(prompt=text, seed=1000 + n, steps=self.steps, sampler=self.sampler), self.folder
            )
            for _, n, text in asked
        ]
        names = list(self.rows)
        made = {
            name: self._draw(self.rows[name], requests)
            for name in names[number % len(names) :] + names[: number % len(names)]
        }
        exact = made["exact"][0]
        near = self._features(exact)
        out: dict[str, Any] = {}
        for name, (pixels, seconds, used) in made.items():
            found = self._features(pixels)
            out[name] = {
                "seconds": seconds,
                "cpu": used,
                "places": [int(p) for p in self.truth.rank(pixels, [n for _, n, _ in asked])],
                "psnr": [round(psnr(a, b), 2) for a, b in zip(pixels, exact, strict=False)],
                "distance": [round(float(np.linalg.norm(a - b)), 4) for a, b in zip(found, near, strict=False)],
            }
        return {"turn": number, "asked": [[lang, n] for lang, n, _ in asked], "rows": out}

    def _features(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Of unit length, or as the built-in ones are."""
        found = self.encoder.encode_images([Image.fromarray(p) for p in pixels])
        return found if self.encoder.name == BUILT_IN else found / np.linalg.norm(found, axis=1, keepdims=True)


def change(before: list[bool], after: list[bool]) -> tuple[float, float]:
    """(difference in points, half of its 95 % interval) of two answers to the same questions."""
    n, won, lost = (
        len(before),
        sum(b and not a for a, b in zip(before, after, strict=False)),
        sum(a and not b for a, b in zip(before, after, strict=False)),
    )
    return 100 * (won - lost) / n, 100 * 1.96 * float(np.sqrt(max(won + lost - (won - lost) ** 2 / n, 1))) / n


def table(turns: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures of every row."""
    rows: dict[str, dict[str, Any]] = {}
    langs = [lang for t in turns for lang, _ in t["asked"]]
    places = {name: [p for t in turns for p in t["rows"][name]["places"]] for name in turns[0]["rows"]}
    for name in turns[0]["rows"]:
        ratios, busy = ([t["rows"]["exact"][k] / t["rows"][name][k] for t in turns] for k in ("seconds", "cpu"))
        quarter = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        points, margin = change([p == 0 for p in places["exact"]], [p == 0 for p in places[name]])
        row = {
            "times_exact": round(statistics.median(ratios), 3),
            "times_exact_quartiles": [round(quarter[0], 3), round(quarter[2], 3)],
            "times_exact_processor": round(statistics.median(busy), 3),
            "pictures_per_second": round(len(langs) / sum(t["rows"][name]["seconds"] for t in turns), 3),
            "psnr_db": round(statistics.median(p for t in turns for p in t["rows"][name]["psnr"]), 2),
            "feature_distance": round(statistics.fmean(d for t in turns for d in t["rows"][name]["distance"]), 4),
            "top1_change_points": round(points, 2),
            "top1_change_margin": round(margin, 2),
        }
        for lang in ("ja", "en"):
            mine = [p for p, one in zip(places[name], langs, strict=False) if one == lang]
            row |= {
                f"top1_{lang}": round(sum(p == 0 for p in mine) / len(mine), 4),
                f"top5_{lang}": round(sum(p < 5 for p in mine) / len(mine), 4),
            }
        rows[name] = row
    return rows


def told(rows: dict[str, dict[str, Any]]) -> str:
    """For people."""
    lines = [
        f"{'':<32}{'x exact':>8}{'quartiles':>13}{'cpu':>6}{'PSNR dB':>8}{'feature':>8}{'ja top-1':>9}{'top-5':>7}{'en top-1':>9}{'top-5':>7}{'change':>12}"
    ]
    for name, r in rows.items():
        spread = "{:.2f}-{:.2f}".format(*r["times_exact_quartiles"])
        lines.append(
            f"{name:<32}{r['times_exact']:>8.2f}{spread:>13}{r['times_exact_processor']:>6.2f}{r['psnr_db']:>8.1f}{r['feature_distance']:>8.3f}{r['top1_ja']:>9.1%}"
            f"{r['top5_ja']:>7.1%}{r['top1_en']:>9.1%}{r['top5_en']:>7.1%}{r['top1_change_points']:>+6.1f} "
            f"±{r['top1_change_margin']:.1f}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None, extra: dict[str, Row] | None = None) -> int:
    """``extra``: more rows, for trying definitions out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="commonart-mini")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sampler", default="dpm++2m")
    parser.add_argument("--limit", type=int, default=128, help="how many things, each in both languages")
    parser.add_argument("--only", action="append", help="only this row beside exact; may be given several times")
    parser.add_argument(
        "--encoder", help="what the feature distance is taken with: efficientnet-lite, built-in, or a folder"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="where the figures are written as well (benchmarks/results/presets-MODEL.json with --json)",
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    rows = {name: Row(PRESET_DEFINITIONS[name]) for name in PRESETS} | LEVERS | (extra or {})
    if args.only:
        rows = {name: row for name, row in rows.items() if name == "exact" or name in args.only}
    bench = Bench(args.model, rows, args.steps, args.sampler, args.encoder)
    out = args.out or ROOT / "benchmarks" / "results" / f"presets-{bench.folder.name}.json"
    plans = {}
    for name, row in rows.items():
        request = ImageRequest(prompt="x", seed=1, steps=args.steps, sampler=args.sampler)
        plan = sampling_plan_of(request, bench.backend, row.preset)
        plans[name] = plan.to_dict() | {"halves": row.halves} if plan else {}
    things = np.random.default_rng(0).permutation(len(bench.truth.names["ja"]))[: args.limit]
    asked = [(lang, int(n), bench.truth.names[lang][int(n)][0]) for n in things for lang in ("ja", "en")]
    size = 2 * BATCH  # so that the rows that take as many have one whole micro-batch
    head = {
        "model": bench.folder.name,
        "denoiser": bench.backend.hashes["denoiser"],
        "steps": args.steps,
        "sampler": args.sampler,
        "things": len(things),
        "encoder": bench.encoder.name,
        "plans": plans,
    }
    part = out.with_name(out.name + ".part")
    turns: list[dict[str, Any]] = []
    if part.is_file():
        lines = part.read_text(encoding="utf-8").splitlines()
        if lines and json.loads(lines[0]) == json.loads(json.dumps(head)):
            turns = [json.loads(line) for line in lines[1:] if line.endswith("}}")]
    out.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("\n".join(json.dumps(x) for x in (head, *turns)) + "\n", encoding="utf-8")
    bench.turn(0, asked[:2])  # what is done once only is no one's time
    groups = [asked[a : a + size] for a in range(0, len(asked), size)]
    began = time.monotonic()
    fresh = len(groups) - len(turns)
    for number in range(len(turns), len(groups)):
        turns.append(bench.turn(number, groups[number]))
        with part.open("a", encoding="utf-8") as f:
            f.write(json.dumps(turns[-1]) + "\n")
        done = number + 1 - (len(groups) - fresh)
        print(
            f"{number + 1}/{len(groups)}, {(time.monotonic() - began) / done * (fresh - done):.0f} s left",
            file=sys.stderr,
        )
    found = table(turns)
    import torch

    result = head | {
        "command": "python -m benchmarks.presets " + " ".join(argv if argv is not None else sys.argv[1:]),
        "pictures": len(asked),
        "batch": BATCH,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
            "torch": torch.__version__,
        },
        "rows": found,
    }
    if args.json or args.out:
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        aside = out.with_name(out.name + ".new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(out)
    print(json.dumps(result, indent=1, ensure_ascii=False) if args.json else told(found))
    part.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
