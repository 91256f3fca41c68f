"""Is one model better than another, or is the difference chance?

Both generated images from the same prompts and seeds, so images can be paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.evaluation.metrics import Array, Kernel

ROUNDS = 2000


@dataclass(frozen=True)
class Difference:
    """First minus second, its 95 % interval (none for distances), and the p-value under the null hypothesis."""

    value: float
    p: float
    n: int
    low: float | None = None
    high: float | None = None

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return {k: v for k, v in self.__dict__.items() if v is not None}


def paired(a: list[Array], b: list[Array], *, seed: int = 0, rounds: int = ROUNDS) -> Difference:
    """Mean difference of the scores of paired images ``a[g][i]`` and ``b[g][i]``; the mean of the groups' means.

    The interval resamples pairs (bootstrap); p is of the sign-flip permutation test (Fisher 1935; Good, "Permutation Tests",
    2000, section 3.2): if the models were equal, either image of a pair could be from either model. One is added to both counts, so p is never 0.
    """
    gaps = [np.asarray(x, np.float64) - np.asarray(y, np.float64) for x, y in zip(a, b, strict=True) if len(x)]
    rng = np.random.default_rng(seed)
    value = float(np.mean([g.mean() for g in gaps]))
    again = np.mean(
        [rng.multinomial(len(g), np.full(len(g), 1.0 / len(g)), size=rounds) @ g / len(g) for g in gaps], axis=0
    )
    flipped = np.mean([rng.choice((-1.0, 1.0), (rounds, len(g))) @ g / len(g) for g in gaps], axis=0)
    low, high = np.quantile(again, (0.025, 0.975))
    return Difference(value, _p(flipped, value), sum(len(g) for g in gaps), float(low), float(high))


def paired_mmd2(
    a: Array, b: Array, reference: Array, kernel: Kernel, *, seed: int = 0, rounds: int = ROUNDS
) -> Difference:
    """MMD² of ``a`` to the reference minus that of ``b``; p by randomly swapping the two images of a pair.

    ``a`` and ``b`` are ``[n, d]``, row i of both from the same prompt and seed. The reference's own term cancels.
    """
    n = len(a)
    both = np.concatenate([np.asarray(a, np.float64), np.asarray(b, np.float64)])
    own = kernel(both, both)
    np.fill_diagonal(own, 0.0)
    other = np.concatenate(
        [kernel(both[i : i + 1024], np.asarray(reference, np.float64)).mean(1) for i in range(0, 2 * n, 1024)]
    )

    def distance(w: Array) -> Array:
        result: Array = ((w @ own) * w).sum(1) / (n * (n - 1)) - 2.0 * (w @ other) / n
        return result

    swap = (np.random.default_rng(seed).random((rounds, n)) < 0.5).astype(np.float64)
    swap[0] = 0.0  # the first row is the observed assignment
    differences = distance(np.concatenate([1 - swap, swap], 1)) - distance(np.concatenate([swap, 1 - swap], 1))
    return Difference(float(differences[0]), _p(differences[1:], float(differences[0])), n)


def _p(under: Array, value: float) -> float:
    """The two-sided p-value; values equal within rounding count as equal."""
    return float((1 + (np.abs(under) >= abs(value) * (1 - 1e-9) - 1e-15).sum()) / (1 + len(under)))
