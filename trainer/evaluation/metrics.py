"""Distances between sets of images, and between images and texts, over an encoder's features; numpy only, in float64.

KID and CMMD are squared maximum mean discrepancies (MMD) with two kernels and unbiased estimators, so that small sets do
not seem worse than they are; FID compares means and covariances and needs many images. All intervals are 95 % bootstrap
intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
#: kernel(rows [a, d], rows [b, d]) -> [a, b]
Kernel = Callable[[Array, Array], Array]

LEAST_MMD = 50  # images on either side; with fewer the interval is meaningless
LEAST_FID = 2048  # with fewer than its 2,048 dimensions, the covariance of Inception features has no full rank
RESAMPLES = 1000  # of the bootstrap, for means and MMDs
RESAMPLES_FID = 40  # each needs an eigen-decomposition
SUBSETS, SUBSET = 100, 1000
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
_BLOCK = 1024
_MANY, _FEWER = 5000, 200  # more images than this: fewer resamples, since the time grows quadratically


@dataclass(frozen=True)
class Measurement:
    """A value, its 95 % interval, and the number of images (``reference``: in the reference)."""

    value: float
    low: float
    high: float
    n: int
    reference: int | None = None

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return {k: v for k, v in self.__dict__.items() if v is not None}


def polynomial(x: Array, y: Array) -> Array:
    """``(x·y / d + 1)³``: KID's kernel (Bińkowski et al. 2018, arXiv 1801.01401, section 4)."""
    base = x @ y.T / x.shape[1] + 1.0
    cubed: Array = base * base * base  # many times faster than ** 3
    return cubed


def gaussian(x: Array, y: Array) -> Array:
    """``exp(-|x - y|² / (2 σ²))`` with σ = 10: CMMD's kernel (Jayasumana et al. 2024, arXiv 2401.09603, section 4)."""
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2.0 * (x @ y.T)
    result: Array = np.exp(-np.maximum(squares, 0.0) / (2.0 * CMMD_SIGMA**2))
    return result


def unit(x: Array) -> Array:
    """Rows normalised to length 1, as for CMMD and CLIPScore; a row of zeros stays zero."""
    x = np.asarray(x, np.float64)
    result: Array = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return result


def mmd2(x: Array, y: Array, kernel: Kernel) -> float:
    """Squared MMD between ``[m, d]`` and ``[n, d]``, unbiased (Gretton et al. 2012, JMLR 13, lemma 6)."""
    return float(weighted_mmd2(x, y, kernel, np.ones((1, len(x))), np.ones((1, len(y))))[0])


def weighted_mmd2(x: Array, y: Array, kernel: Kernel, wx: Array, wy: Array) -> Array:
    """``mmd2`` for many weightings at once: ``wx`` ``[b, m]`` and ``wy`` ``[b, n]`` are the rows' counts; returns ``[b]``.

    A row that was drawn twice is not compared with itself: otherwise every resample would seem further from the other
    set. Kernel matrices are computed block by block.
    """
    x, y, wx, wy = (np.asarray(a, np.float64) for a in (x, y, wx, wy))
    return _within(x, kernel, wx) + _within(y, kernel, wy) - 2.0 * _between(x, y, kernel, wx, wy)


def _within(x: Array, kernel: Kernel, w: Array) -> Array:
    """Weighted mean of k over pairs of different rows, ``[b]``."""
    total, own = np.zeros(len(w)), np.zeros(len(x))
    for start in range(0, len(x), _BLOCK):
        rows = kernel(x[start : start + _BLOCK], x)
        own[start : start + _BLOCK] = np.diagonal(rows, start)
        total += ((w[:, start : start + _BLOCK] @ rows) * w).sum(1)
    result: Array = (total - (w * w) @ own) / (w.sum(1) ** 2 - (w * w).sum(1))
    return result


def _between(x: Array, y: Array, kernel: Kernel, wx: Array, wy: Array) -> Array:
    total = np.zeros(len(wx))
    for start in range(0, len(x), _BLOCK):
        total += ((wx[:, start : start + _BLOCK] @ kernel(x[start : start + _BLOCK], y)) * wy).sum(1)
    result: Array = total / (wx.sum(1) * wy.sum(1))
    return result


def counts(n: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each of ``n`` is drawn in each bootstrap resample, ``[resamples, n]``; always at least two different."""
    drawn: Array = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples)
    drawn[(drawn > 0).sum(1) < 2] = 1
    return drawn


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def kid(
    x: Array, y: Array, *, seed: int = 0, subsets: int = SUBSETS, subset: int = SUBSET, resamples: int = RESAMPLES
) -> Measurement:
    """Kernel Inception Distance of ``[m, d]`` against the reference ``[n, d]`` (arXiv 1801.01401).

    The mean over ``subsets`` random subsets of ``subset`` images without repetition, as in the authors' code; with no more
    images than that on either side, all of them at once, which estimates the same with less noise. The features are those
    of the given encoder, not of Inception: values of other encoders are not comparable.

    Raises:
        ValueError: fewer than 2 images on a side.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if min(len(x), len(y)) < 2:
        raise ValueError("an MMD needs two images on either side")
    rng = np.random.default_rng(seed)
    if max(len(x), len(y)) <= subset:
        value = mmd2(x, y, polynomial)
    else:
        value = float(
            np.mean([mmd2(x[a], y[b], polynomial) for a, b in bootstrap_draws(len(x), len(y), subsets, subset, seed)])
        )
    return Measurement(value, *_mmd_interval(x, y, polynomial, rng, resamples, value), len(x), len(y))


def bootstrap_draws(m: int, n: int, subsets: int, subset: int, seed: int) -> list[tuple[Array, Array]]:
    """The subsets that ``kid`` uses: indices into both sides."""
    rng = np.random.default_rng([seed, 1])
    return [
        (rng.choice(m, min(subset, m), replace=False), rng.choice(n, min(subset, n), replace=False))
        for _ in range(subsets)
    ]


def _mmd_interval(
    x: Array, y: Array, kernel: Kernel, rng: np.random.Generator, resamples: int, value: float
) -> tuple[float, float]:
    if max(len(x), len(y)) > _MANY:
        resamples = min(resamples, _FEWER)
    low, high = _interval(weighted_mmd2(x, y, kernel, counts(len(x), resamples, rng), counts(len(y), resamples, rng)))
    return min(low, value), max(high, value)


def cmmd(x: Array, y: Array, *, seed: int = 0, resamples: int = RESAMPLES) -> Measurement:
    """CMMD (arXiv 2401.09603): Gaussian kernel, σ = 10, times 1,000, over features of unit length.

    This is the paper's unbiased estimator; its published code includes each image's similarity to itself in the sums,
    which adds about 1,000 (1 - mean k) (1/m + 1/n). The paper's values are for CLIP ViT-L/14 at 336 pixels.

    Raises:
        ValueError: fewer than 2 images on a side.
    """
    if min(len(x), len(y)) < 2:
        raise ValueError("an MMD needs two images on either side")
    x, y = unit(x), unit(y)
    value = mmd2(x, y, gaussian)
    low, high = _mmd_interval(x, y, gaussian, np.random.default_rng(seed), resamples, value)
    return Measurement(value * CMMD_SCALE, low * CMMD_SCALE, high * CMMD_SCALE, len(x), len(y))


def frechet(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    """``|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)`` (Heusel et al. 2017, arXiv 1706.08500).

    The root's trace is that of ``(Σ₁^½ Σ₂ Σ₁^½)^½``, which is symmetric and so needs no general matrix square root.
    """
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov2 @ root)
    gap = mean1 - mean2
    return float(gap @ gap + np.trace(cov1) + np.trace(cov2) - 2.0 * np.sqrt(np.maximum(inner, 0.0)).sum())


def fid(x: Array, y: Array, *, seed: int = 0, resamples: int = RESAMPLES_FID, least: int = LEAST_FID) -> Measurement:
    """Fréchet distance between the Gaussians of ``[m, d]`` and ``[n, d]``.

    Resampled sets have fewer different images and so are always further apart, often by more than the value itself. The
    interval is their spread, centred on the value: it covers sampling noise, not the bias of FID at this number of images.

    Raises:
        ValueError: fewer than ``least`` images on a side.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if min(len(x), len(y)) < least:
        raise ValueError(f"FID needs {least} images on either side")
    value, rng = _fid(x, y), np.random.default_rng(seed)
    again = np.array(
        [_fid(x[rng.integers(0, len(x), len(x))], y[rng.integers(0, len(y), len(y))]) for _ in range(resamples)]
    )
    low, high = _interval(again - again.mean()) if resamples else (0.0, 0.0)
    return Measurement(value, max(0.0, value + min(low, 0.0)), value + max(high, 0.0), len(x), len(y))


def _fid(x: Array, y: Array) -> float:
    return frechet(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))


def cosines(images: Array, texts: Array) -> Array:
    """Cosine of each image with its own text, ``[n]``, from ``[n, d]`` and ``[n, d]``."""
    result: Array = (unit(images) * unit(texts)).sum(1)
    return result


def clipscore(cosine: Array) -> Array:
    """``2.5 max(cos, 0)`` per image (Hessel et al. 2021, arXiv 2104.08718, equation 1)."""
    return 2.5 * np.maximum(cosine, 0.0)


def mean_of(groups: list[Array], *, seed: int = 0, resamples: int = RESAMPLES) -> Measurement:
    """The mean of the groups' means; each group (a language) is resampled separately and has the same weight."""
    groups = [np.asarray(g, np.float64) for g in groups if len(g)]
    if not groups:
        raise ValueError("there is nothing to take a mean of")
    rng = np.random.default_rng(seed)
    again = np.mean(
        [rng.multinomial(len(g), np.full(len(g), 1.0 / len(g)), size=resamples) @ g / len(g) for g in groups], axis=0
    )
    return Measurement(float(np.mean([g.mean() for g in groups])), *_interval(again), sum(len(g) for g in groups))
