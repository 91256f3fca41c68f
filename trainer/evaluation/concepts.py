"""Does a prompt give the thing it names? Nearest true renders among all known things, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine import pipeline
from engine.backends.base import Backend
from engine.contract.request import ImageRequest
from trainer.evaluation.features import features

BATCH = 16


def draw(
    backend: Backend,
    prompts: Sequence[str],
    *,
    steps: int = 20,
    guidance: float = 4.5,
    seed: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[n, h, w, 3]``: one picture a prompt, seeds ``seed``, ``seed + 1``, ..."""
    pictures = []
    for start in range(0, len(prompts), BATCH):
        requests = [
            pipeline.settle(
                ImageRequest(prompt=p, seed=seed + start + i, steps=steps, guidance=guidance), backend.folder
            )
            for i, p in enumerate(prompts[start : start + BATCH])
        ]
        pictures.append(
            pipeline.decode(backend, pipeline.denoise_batch(backend, requests, pipeline.encode(backend, requests)))
        )
        if progress:
            progress(min(start + BATCH, len(prompts)), len(prompts))
    return np.concatenate(pictures)


def rank(pictures: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """For picture i, the place (0 is nearest) of thing i among all things.

    Args:
        pictures: ``[things, h, w, 3]``.
        truth: true renders ``[things, styles, h, w, 3]``; a thing is as near as its nearest style.
    """
    things, styles = truth.shape[:2]
    known = features(truth.reshape(-1, *truth.shape[2:]))
    found = features(pictures)
    distance = ((found[:, None] - known[None]) ** 2).sum(-1).reshape(len(pictures), things, styles).min(-1)
    own = distance[np.arange(len(pictures)), np.arange(len(pictures))]
    return (distance < own[:, None]).sum(1)


def accuracy(places: np.ndarray[Any, Any]) -> dict[str, float]:
    """Shares with the right thing first, and among the first five."""
    return {"top1": float((places == 0).mean()), "top5": float((places < 5).mean())}
