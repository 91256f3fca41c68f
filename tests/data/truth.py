"""``python -m tests.data.truth [--work DIR]``: draw the true renders that ``test_bundled`` compares with."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.mini.__main__ import pictures
from trainer.mini.pictures import on_ground

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"))
    known, _, _ = pictures(parser.parse_args().work)
    rows = on_ground(known[::16], (255, 255, 255))  # [things, styles, 64, 64, 3]
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(-1, rows.shape[1] * 64, 3)
    Image.fromarray(np.ascontiguousarray(sheet)).quantize(192).save(Path(__file__).with_name("truth.png"), optimize=True)
