"""``python -m trainer.mini [--work DIR] [--out DIR]``: make ``commonart-mini`` again, stage by stage, resuming."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np


def pictures(work: Path) -> tuple[np.ndarray, list[dict[str, str]], np.ndarray]:
    """The drawn pictures, from ``work/pictures.npz`` once they are there."""
    from trainer.mini.pictures import draw_all

    kept = work / "pictures.npz"
    if not kept.exists():
        known, rows, more = draw_all(work / "npm")
        np.savez_compressed(kept, known=known, more=more, rows=np.frombuffer(json.dumps(rows).encode(), np.uint8))
    with np.load(kept) as data:
        return data["known"], json.loads(data["rows"].tobytes()), data["more"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.mini", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"), help="where packages and states are kept")
    parser.add_argument("--out", type=Path, default=Path("resources/models/commonart-mini"))
    parser.add_argument("--stage", choices=["vae", "text", "denoiser", "assemble"], help="only this one")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    known, rows, more = pictures(args.work)
    flat = known.reshape(-1, *known.shape[2:])
    if args.stage in (None, "vae"):
        from trainer.mini import vae

        vae.write_factor(vae.train(flat, more, args.work), flat, args.work)
    if args.stage in (None, "text"):
        from trainer.mini import text

        text.train(args.work)
    if args.stage in (None, "denoiser"):
        from trainer.mini import assemble, denoiser

        assemble.base(args.work)
        denoiser.train(known, args.work)
    if args.stage in (None, "assemble"):
        from trainer.mini import assemble

        assemble.assemble(args.work, args.out, rows)


if __name__ == "__main__":
    main()
