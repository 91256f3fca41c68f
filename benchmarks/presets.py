"""What each quality preset costs in pixels and gives in speed, on the bundled model.

    python -m benchmarks.presets [--steps 20] [--things N] [--json]

Every known thing is drawn from its most usual name in Japanese and in English with the same seeds under each preset, by turns in
micro-batches, so that a busy machine is busy for all. Told are the ratio of the time taken (denoising and decoding), the PSNR to
`exact`, the distance of picture features (0 is equal), and whether the right thing is still among the nearest of all known things.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

from engine import pipeline
from engine.backends import open_backend
from engine.checkpoint.library import open_model
from engine.contract.request import PRESETS, ImageRequest
from trainer.evaluation.features import features
from trainer.evaluation.truth import truth_of

BATCH = 16


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return min(99.0, 10 * float(np.log10(255**2 / error))) if error else 99.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--things", type=int, default=10_000, help="only the first so many")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = open_model("commonart-mini")
    backend, truth = open_backend(folder, device="cpu"), truth_of(folder.root)
    assert truth is not None
    asked = [(lang, n, names[0]) for lang in ("ja", "en") for n, names in enumerate(truth.names[lang][:args.things])]
    made: dict[str, list[Any]] = {p: [] for p in PRESETS}
    seconds = dict.fromkeys(PRESETS, 0.0)
    for start in range(0, len(asked), BATCH):
        some = asked[start:start + BATCH]
        for turn in range(len(PRESETS)):
            preset = PRESETS[(turn + start // BATCH) % len(PRESETS)]
            requests = [pipeline.settle(ImageRequest(prompt=text, seed=1000 + n, steps=args.steps, preset=preset), folder) for _, n, text in some]
            words = pipeline.encode(backend, requests)
            began = time.perf_counter()
            made[preset] += list(pipeline.paint(backend, pipeline.draw(backend, requests, words)))
            seconds[preset] += time.perf_counter() - began
    exact = features(np.stack(made["exact"]))
    rows: dict[str, dict[str, float]] = {}
    for preset in PRESETS:
        places = truth.rank(np.stack(made[preset]), [n for _, n, _ in asked])
        row = {"times_exact": seconds["exact"] / seconds[preset], "pictures_per_second": len(asked) / seconds[preset],
               "psnr_db": statistics.median(psnr(a, b) for a, b in zip(made[preset], made["exact"], strict=True)),
               "feature_distance": float(np.linalg.norm(features(np.stack(made[preset])) - exact, axis=1).mean())}
        for lang in ("ja", "en"):
            mine = places[[n for n, (one, _, _) in enumerate(asked) if one == lang]]
            row |= {f"top1_{lang}": float((mine == 0).mean()), f"top5_{lang}": float((mine < 5).mean())}
        rows[preset] = row
    if args.json:
        print(json.dumps({"model": folder.name, "steps": args.steps, "pictures": len(asked), "presets": rows}, indent=1))
        return 0
    print(f"{'preset':<10}{'x exact':>9}{'PSNR dB':>9}{'feature':>9}{'ja top-1':>10}{'top-5':>8}{'en top-1':>10}{'top-5':>8}")
    for preset, row in rows.items():
        print(f"{preset:<10}{row['times_exact']:>9.2f}{row['psnr_db']:>9.1f}{row['feature_distance']:>9.3f}{row['top1_ja']:>10.1%}{row['top5_ja']:>8.1%}"
              f"{row['top1_en']:>10.1%}{row['top5_en']:>8.1%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
