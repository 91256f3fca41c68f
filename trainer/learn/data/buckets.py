"""Aspect-ratio buckets, and which images make up each step: a function of (seed, step) only.

Bucketing by aspect ratio: NovelAI, "Improvements on Stable Diffusion" (2022); also used to train PixArt-Σ.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from trainer.learn.data import counter_rng

Size = tuple[int, int]  # width, height in pixels


def make_buckets(resolution: int, multiple: int, max_aspect: float) -> list[Size]:
    """Sizes of about ``resolution`` squared pixels, sides multiples of ``multiple``, aspect at most ``max_aspect``.

    For each width the height that best matches the area; about 17 widths at most, so that batches are filled.
    """
    step = multiple * max(1, round(resolution / 16 / multiple))
    side = max(multiple, round(resolution / multiple) * multiple)
    sizes = {(side, side)}
    for width in range(step, int(resolution * math.sqrt(max_aspect)) + step, step):
        height = max(multiple, round(resolution * resolution / width / step) * step)
        for size in ((width, height), (height, width)):
            if max(size) / min(size) <= max_aspect + 1e-9:
                sizes.add(size)
    return sorted(sizes, key=lambda s: (s[0] / s[1], s))


def nearest(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket of the nearest aspect ratio, on a log scale so that wide and tall are treated alike."""
    aspect = math.log(size[0] / size[1])
    return min(buckets, key=lambda b: (abs(math.log(b[0] / b[1]) - aspect), abs(b[0] * b[1] - size[0] * size[1])))


class BucketOrder:
    """Which images make up each step.

    An epoch shows every image ``weight`` times, in batches of a single bucket where possible; what remains of the
    buckets shares mixed batches, and the last batch is filled up from another shuffle, so that no image is ever left
    out. A step takes ``accumulation`` batches.
    """

    def __init__(
        self, buckets: Sequence[Size], weights: Sequence[float], *, batch: int, accumulation: int, seed: int
    ) -> None:
        self._buckets, self._weights = list(buckets), np.asarray(weights, np.float64)
        self._batch, self._accumulation, self._seed = batch, accumulation, seed
        # every epoch has the same number of batches, so that step // steps is the epoch; fractions are drawn at random
        self.shown = max(1, round(float(self._weights.sum())))
        per_step = batch * accumulation
        self.steps = math.ceil(self.shown / per_step)  # per epoch

    def rows(self, step: int) -> list[int]:
        """Indices of the images of step ``step`` (from 0), ``batch * accumulation`` of them."""
        position = step % self.steps
        flat = self._epoch(step // self.steps)
        size = self._batch * self._accumulation
        return flat[position * size : (position + 1) * size]

    @lru_cache(maxsize=2)  # noqa: B019  (one object per run)
    def _epoch(self, number: int) -> list[int]:
        rng = counter_rng.stream(self._seed, counter_rng.ORDER, number)
        shown = self._choose(rng)
        by_size: dict[Size, list[int]] = defaultdict(list)
        for index in shown:
            by_size[self._buckets[index]].append(int(index))
        batches, rest = [], []
        for size in sorted(by_size):
            indices = by_size[size]
            whole = len(indices) // self._batch * self._batch
            batches += [indices[i : i + self._batch] for i in range(0, whole, self._batch)]
            rest += indices[whole:]
        batches += [rest[i : i + self._batch] for i in range(0, len(rest) // self._batch * self._batch, self._batch)]
        last = rest[len(rest) // self._batch * self._batch :]
        flat = [i for b in rng.permutation(len(batches)) for i in batches[b]] + last
        missing = self.steps * self._batch * self._accumulation - len(flat)
        while missing > 0:
            more = [int(i) for i in rng.permutation(len(self._buckets))[:missing] if self._weights[i] > 0]
            flat += more
            missing -= len(more)
        return flat

    def _choose(self, rng: np.random.Generator) -> list[int]:
        """Indices of each image, as often as its weight says, fractions at random; ``shown`` in total, shuffled."""
        whole = np.floor(self._weights).astype(int)
        chosen = [i for i, times in enumerate(whole) for _ in range(times)]
        part = self._weights - whole
        left = self.shown - len(chosen)
        if left > 0:
            share = part / part.sum() if part.sum() > 0 else None
            enough = share is not None and int((share > 0).sum()) >= left
            chosen += [int(i) for i in rng.choice(len(self._weights), size=left, replace=not enough, p=share)]
        return [chosen[i] for i in rng.permutation(len(chosen))][: self.shown]
