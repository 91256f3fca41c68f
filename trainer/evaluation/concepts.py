"""Concept accuracy: is a generated image nearest to the true renders of the concept that the prompt names?"""

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
    """uint8 RGB ``[n, h, w, 3]``: one image per prompt, seeds ``seed``, ``seed + 1``, ..."""
    images = []
    for start in range(0, len(prompts), BATCH):
        requests = [
            pipeline.settle(
                ImageRequest(prompt=p, seed=seed + start + i, steps=steps, guidance=guidance), backend.folder
            )
            for i, p in enumerate(prompts[start : start + BATCH])
        ]
        images.append(
            pipeline.decode(backend, pipeline.denoise_batch(backend, requests, pipeline.encode(backend, requests)))
        )
        if progress:
            progress(min(start + BATCH, len(prompts)), len(prompts))
    return np.concatenate(images)


def rank(images: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """For image i, the rank (0 is nearest) of concept i among all concepts.

    Args:
        images: ``[things, h, w, 3]``.
        truth: true renders ``[things, styles, h, w, 3]``; a concept is as near as its nearest style.
    """
    things, styles = truth.shape[:2]
    known = features(truth.reshape(-1, *truth.shape[2:]))
    own_features = features(images)
    distance = ((own_features[:, None] - known[None]) ** 2).sum(-1).reshape(len(images), things, styles).min(-1)
    own = distance[np.arange(len(images)), np.arange(len(images))]
    ranks: np.ndarray[Any, Any] = (distance < own[:, None]).sum(1)
    return ranks


def accuracy(places: np.ndarray[Any, Any]) -> dict[str, float]:
    """Shares with the right concept first, and among the first five."""
    return {"top1": float((places == 0).mean()), "top5": float((places < 5).mean())}
