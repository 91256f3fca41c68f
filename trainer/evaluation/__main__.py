"""``python -m trainer.evaluation MODEL [--json] [--sheet FILE.png]``: how well a bundled model follows words.

Draws every known thing from its most usual name in Japanese and in English and looks for it among the nearest of the
true renders, which are drawn from the pinned packages (see ``trainer.mini``).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from engine.backends import open_backend
from engine.checkpoint.library import open_model
from trainer.evaluation.concepts import accuracy, draw, rank
from trainer.mini.__main__ import pictures
from trainer.mini.pictures import concepts, on_ground


def main() -> int:
    """Returns 0 if top-5 reaches 70 % in both languages, else 1."""
    parser = argparse.ArgumentParser(prog="python -m trainer.evaluation", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"), help="where the packages and true renders are kept")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.5)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--sheet", type=Path, help="write all pictures beside each other to this file")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    known, _, _ = pictures(args.work)
    truth = on_ground(known, (255, 255, 255))
    table = concepts()
    folder = open_model(args.model)
    backend = open_backend(folder)
    result: dict[str, object] = {
        "model": folder.name, "model_sha256": backend.hashes["denoiser"], "things": len(table), "steps": args.steps, "guidance": args.guidance,
        "seed": args.seed, "features": "12x12 colours + 8x8 gradient histogram", "chance_top5": 5 / len(table)}
    sheets = []
    for lang in ("ja", "en"):
        def progress(done: int, total: int, lang: str = lang) -> None:
            print(f"\r{lang} {done}/{total}", end="", file=sys.stderr)

        made = draw(backend, [getattr(c, lang)[0] for c in table], steps=args.steps, guidance=args.guidance, seed=args.seed, progress=progress)
        places = rank(made, truth)
        result[lang] = accuracy(places)
        result[f"missed_{lang}"] = [getattr(c, lang)[0] for c, p in zip(table, places, strict=True) if p >= 5]
        sheets.append(made)
    print(file=sys.stderr)
    if args.sheet:
        columns = 20
        cells = np.stack([truth[:, 0], sheets[0], sheets[1]], 1)  # true, Japanese, English
        cells = np.concatenate([cells, np.full((-len(cells) % columns, *cells.shape[1:]), 255, np.uint8)])
        grid = cells.reshape(-1, columns, 3, 64, 64, 3).transpose(0, 2, 3, 1, 4, 5).reshape(-1, columns * 64, 3)
        Image.fromarray(grid).save(args.sheet)
    if args.json:
        print(json.dumps(result, ensure_ascii=False, indent=1))
    else:
        for lang in ("ja", "en"):
            print(f"{lang}: top-1 {result[lang]['top1']:.1%}, top-5 {result[lang]['top5']:.1%} (chance {result['chance_top5']:.1%})")  # type: ignore[index]
    return 0 if min(result[x]["top5"] for x in ("ja", "en")) >= 0.7 else 1  # type: ignore[index]


if __name__ == "__main__":
    raise SystemExit(main())
