"""``python -m tests.data.truth [--work DIR]``: draw the true renders that ``test_bundled`` compares with."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.mini.__main__ import icons
from trainer.mini.packages import STYLES
from trainer.mini.pictures import concepts, on_ground
from trainer.mini.scenes import half
from trainer.mini.things import things

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"))
    drawn, _ = icons(parser.parse_args().work)
    rows = on_ground(
        np.stack([[half(drawn.of(t, s)) for s in range(len(STYLES))] for t in things()[: len(concepts()) : 16]]),
        (255, 255, 255),
    )
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(-1, rows.shape[1] * 64, 3)  # from [things, styles, 64, 64, 3]
    Image.fromarray(np.ascontiguousarray(sheet)).quantize(192).save(
        Path(__file__).with_name("truth.png"), optimize=True
    )
