"""Nearest training images by features: exact, with numpy, block by block, and how near training images are to each other.

The share above 0.5 and the 75th, 90th and 95th percentiles are those of Somepalli et al. 2023, "Diffusion Art or Digital
Forgery?" (arXiv 2212.03860). They mean little without the training set's own: some sets have many similar images.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.evaluation.metrics import Array

HALF = 0.5
_BLOCK = 64
MOST_BASELINE = 5000  # training images compared with all the others


def unit32(rows: Array) -> Array:
    """float32 rows normalised to length 1."""
    rows = np.asarray(rows, np.float32)
    result: Array = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return result


def nearest(asked: Array, known: Array, count: int = 3, excluded: list[set[int]] | None = None) -> tuple[Array, Array]:
    """Cosines ``[n, count]``, the largest first, and their rows in ``known``; ``excluded`` rows are skipped (cosine -2)."""
    asked, known = unit32(asked), unit32(known)
    count = min(count, len(known))
    values, indices = np.full((len(asked), count), -2.0, np.float32), np.zeros((len(asked), count), np.int64)
    for start in range(0, len(asked), _BLOCK):
        like = asked[start : start + _BLOCK] @ known.T
        for n in range(len(like)):
            if excluded and excluded[start + n]:
                like[n, list(excluded[start + n])] = -2.0
        top = np.argpartition(-like, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(like, top, 1), axis=1, kind="stable")
        top = np.take_along_axis(top, order, 1)
        values[start : start + _BLOCK], indices[start : start + _BLOCK] = np.take_along_axis(like, top, 1), top
    return values, indices


def leave_one_out(known: Array, most: int = MOST_BASELINE, seed: int = 0) -> Array:
    """Cosine of each training image with the nearest other one; for large sets, of ``most`` random images."""
    if len(known) < 2:
        return np.zeros(0, np.float32)
    rows = (
        np.arange(len(known))
        if len(known) <= most
        else np.sort(np.random.default_rng(seed).choice(len(known), most, replace=False))
    )
    values, _ = nearest(known[rows], known, 1, [{int(r)} for r in rows])
    return values[:, 0]


def summary(values: Array) -> dict[str, Any]:
    """``n``, the share above 0.5 and the percentiles of the nearest cosines; all None for an empty set."""
    if not len(values):
        return {"n": 0, "share_above_half": None, "p75": None, "p90": None, "p95": None}
    p75, p90, p95 = (float(v) for v in np.percentile(values, (75, 90, 95)))
    return {"n": len(values), "share_above_half": float((values > HALF).mean()), "p75": p75, "p90": p90, "p95": p95}
