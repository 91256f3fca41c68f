"""Simple image features that distinguish emoji-like drawings: colours on a coarse grid, and edge directions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

GRID, DIRECTIONS = 12, 8
COARSE = 3 * GRID**2  # number of the colour features, which come first


def features(pixels: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, h, w, 3]`` -> float32 ``[n, d]``, each half of unit length.

    The first half is the image at 12 x 12, the second a histogram of gradients (Dalal & Triggs 2005) on an 8 x 8 grid.
    """
    rows = []
    for one in pixels:
        image = Image.fromarray(one).resize((64, 64), Image.Resampling.BOX)
        coarse = np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), np.float32).ravel() / 255 - 0.5
        grey = np.asarray(image.convert("L"), np.float32)
        dy, dx = np.gradient(grey)
        size, angle = np.hypot(dx, dy), (np.arctan2(dy, dx) % np.pi) / np.pi * DIRECTIONS
        bins = np.minimum(angle.astype(int), DIRECTIONS - 1)
        histogram = np.zeros((8, 8, DIRECTIONS), np.float32)
        np.add.at(histogram, (np.arange(64)[:, None] // 8, np.arange(64)[None] // 8, bins), size)
        hog = np.sqrt(histogram).ravel()
        rows.append(np.concatenate([coarse / (np.linalg.norm(coarse) + 1e-6), hog / (np.linalg.norm(hog) + 1e-6)]))
    return np.stack(rows).astype(np.float32)
