"""``python -m trainer.mini [--work DIR] [--out DIR]``: make ``commonart-mini`` stage by stage, each resuming where it
stopped.

``--from`` names the model to go on from: its autoencoder for half the side, its denoiser.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from trainer.mini.export import Icons, export

STAGES = ("pictures", "encoder", "text", "denoiser", "decoder", "assemble")


def icons(work: Path) -> tuple[Icons, list[dict[str, Any]]]:
    """The drawn icons, from ``work/icons.npy`` once they are there, and a row of attribution each."""
    from trainer.mini.pictures import draw_all
    from trainer.mini.things import things

    kept, told = work / "icons.npy", work / "icons.json"
    if not told.exists():
        pixels, cells, rows = draw_all(work / "npm", things())
        np.save(kept, pixels)
        told.write_text(json.dumps({"cells": cells, "rows": rows}), encoding="utf-8")
    data = json.loads(told.read_text(encoding="utf-8"))
    return Icons(np.load(kept, mmap_mode="r"), [tuple(c) for c in data["cells"]]), data["rows"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.mini", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"), help="where packages and states are kept")
    parser.add_argument("--out", type=Path, default=Path("resources/models/commonart-mini"))
    parser.add_argument(
        "--from",
        type=Path,
        dest="former",
        default=Path("resources/models/commonart-mini"),
        help="the model to go on from",
    )
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one; may be given several times")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for the denoiser, over the configuration: schedule.steps=20000",
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    drawn, rows = icons(args.work)
    for stage in args.stage or STAGES:
        if stage == "pictures":
            from trainer.mini import denoiser

            denoiser.write_config(args.work, export(drawn, args.work / "pictures"))
        elif stage in ("encoder", "decoder"):
            from trainer.mini import vae

            vae.train(drawn.pixels, vae.load_small(args.former), args.work, stage)
        elif stage == "text":
            from trainer.mini import text

            text.train(args.work, drawn)
        elif stage == "denoiser":
            from trainer.mini import assemble, denoiser

            assemble.base(args.work, args.former)
            if denoiser.train(args.work, changes=args.set) is None:
                return  # stopped: the same command goes on
        else:
            from trainer.mini import assemble

            assemble.assemble(args.work, args.out, args.former, rows)


if __name__ == "__main__":
    main()
