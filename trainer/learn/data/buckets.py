"""Aspect buckets, and which pictures a step learns from: a function of (seed, step) only.

Bucketing by aspect: NovelAI, "Improvements on Stable Diffusion" (2022); PixArt-Σ trains so too.
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
    """Sizes of about ``resolution`` squared pixels, sides multiples of ``multiple``, no longer than ``max_aspect`` to one.

    For each width the height that comes nearest to the area; at most 17 or so widths, so that batches stay full.
    """
    step = multiple * max(1, round(resolution / 16 / multiple))
    side = max(multiple, round(resolution / multiple) * multiple)
    found = {(side, side)}
    for width in range(step, int(resolution * math.sqrt(max_aspect)) + step, step):
        height = max(multiple, round(resolution * resolution / width / step) * step)
        for size in ((width, height), (height, width)):
            if max(size) / min(size) <= max_aspect + 1e-9:
                found.add(size)
    return sorted(found, key=lambda s: (s[0] / s[1], s))


def nearest(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket whose aspect is nearest, measured in the logarithm so that wide and tall are treated alike."""
    aspect = math.log(size[0] / size[1])
    return min(buckets, key=lambda b: (abs(math.log(b[0] / b[1]) - aspect), abs(b[0] * b[1] - size[0] * size[1])))


class BucketOrder:
    """Which pictures make up each step.

    A round shows every picture ``weight`` times, in batches of one bucket each where the numbers allow; the rest of the
    buckets share batches at mixed places, and the last batch is filled up from another shuffle, so that no picture is
    ever left out. A step takes ``accumulation`` batches.
    """

    def __init__(
        self, buckets: Sequence[Size], weights: Sequence[float], *, batch: int, accumulation: int, seed: int
    ) -> None:
        self._buckets, self._weights = list(buckets), np.asarray(weights, np.float64)
        self._batch, self._accumulation, self._seed = batch, accumulation, seed
        # the same number of batches every round, so that a step's round is a division: shares are rounded, chance fills them
        self.shown = max(1, round(float(self._weights.sum())))
        per_step = batch * accumulation
        self.steps = math.ceil(self.shown / per_step)  # of a round

    def rows(self, step: int) -> list[int]:
        """Indices of the pictures of step ``step`` (from 0), ``batch * accumulation`` of them."""
        at = step % self.steps
        flat = self._round(step // self.steps)
        size = self._batch * self._accumulation
        return flat[at * size : (at + 1) * size]

    @lru_cache(maxsize=2)  # noqa: B019  (one object a run)
    def _round(self, number: int) -> list[int]:
        chance = counter_rng.stream(self._seed, counter_rng.ORDER, number)
        shown = self._choose(chance)
        piles: dict[Size, list[int]] = defaultdict(list)
        for index in shown:
            piles[self._buckets[index]].append(int(index))
        batches, rest = [], []
        for size in sorted(piles):
            pile = piles[size]
            whole = len(pile) // self._batch * self._batch
            batches += [pile[i : i + self._batch] for i in range(0, whole, self._batch)]
            rest += pile[whole:]
        batches += [rest[i : i + self._batch] for i in range(0, len(rest) // self._batch * self._batch, self._batch)]
        last = rest[len(rest) // self._batch * self._batch :]
        flat = [i for b in chance.permutation(len(batches)) for i in batches[b]] + last
        missing = self.steps * self._batch * self._accumulation - len(flat)
        while missing > 0:
            more = [int(i) for i in chance.permutation(len(self._buckets))[:missing] if self._weights[i] > 0]
            flat += more
            missing -= len(more)
        return flat

    def _choose(self, chance: np.random.Generator) -> list[int]:
        """Each picture as often as its weight says, fractions by chance, ``shown`` in all; shuffled."""
        whole = np.floor(self._weights).astype(int)
        found = [i for i, times in enumerate(whole) for _ in range(times)]
        part = self._weights - whole
        left = self.shown - len(found)
        if left > 0:
            share = part / part.sum() if part.sum() > 0 else None
            enough = share is not None and int((share > 0).sum()) >= left
            found += [int(i) for i in chance.choice(len(self._weights), size=left, replace=not enough, p=share)]
        return [found[i] for i in chance.permutation(len(found))][: self.shown]
