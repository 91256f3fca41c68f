"""The normal distribution of PyTorch's CPU generator, without PyTorch: a seed gives the same image on every backend.

PyTorch draws 32-bit words from mt19937 (only the seed's low 32 bits count). From 16 values on it fills float32 blocks
of 8 + 8 by Box and Muller's transform with Cephes' polynomials for logarithm, sine and cosine, fused multiply-adds
included (its AVX2 kernel); fewer values are drawn one by one in float64. The values here equal those of that kernel
bit by bit. A PyTorch that runs on a processor without AVX2 differs from its own AVX2 build, and so from this, by some
units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
_F = np.float32
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # -pi / 4 in three parts


def _fma(a: Floats, b: Any, c: Any) -> Floats:
    """``a * b + c`` rounded once: the product of two float32 is exact in float64."""
    product = a.astype(np.float64) * np.asarray(b, _F).astype(np.float64)
    return (product + np.asarray(c, _F).astype(np.float64)).astype(_F)


def _polynomial(x: Floats, factors: Sequence[float]) -> Floats:
    y = np.full_like(x, factors[0])
    for factor in factors[1:]:
        y = _fma(y, x, factor)
    return y


def _log(x: Floats) -> Floats:
    """Natural logarithm of normal positive float32, as Cephes' ``logf``."""
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 0x7F).astype(_F) + _F(1)
    m = ((bits & 0x007FFFFF) | 0x3F000000).view(_F)
    small = m < _F(0.707106781186547524)
    exponent = exponent - small.astype(_F)
    m = (m - _F(1)) + np.where(small, m, _F(0))
    square = m * m
    y = _fma(_polynomial(m, _LOG) * m, square, exponent * _F(-2.12194440e-4))
    return _fma(exponent, 0.693359375, m + _fma(square, -0.5, y))


def _cos_sin(x: Floats) -> tuple[Floats, Floats]:
    """Cosine and sine of float32 from 0 to some hundreds, as Cephes' ``cosf`` and ``sinf``."""
    octant = ((x * _F(1.27323954473516)).astype(np.int32) + 1) & ~1
    octants = octant.astype(_F)
    for part in _QUARTER_PI:
        x = _fma(octants, part, x)
    square = x * x
    even_part = _polynomial(square, _COS) * square
    cosine = _fma(even_part, square, -(square * _F(0.5))) + _F(1)
    sine = _fma(_polynomial(square, _SIN) * square, x, x)
    straight = (octant & 2) == 0
    s, c = np.where(straight, sine, cosine), np.where(straight, cosine, sine)
    return np.where(((octant - 2) & 4) == 0, -c, c), np.where((octant & 4) != 0, -s, s)


class Normal:
    """``torch.Generator("cpu").manual_seed(seed)`` for the float32 normal distribution.

    Each draw continues where the last one ended.
    """

    def __init__(self, seed: int) -> None:
        self._words = np.random.RandomState(seed & 0xFFFFFFFF)._bit_generator
        self._spare: float | None = None  # the second value of a pair, where values are drawn one by one

    def _uniform(self, count: int) -> Floats:
        return (self._words.random_raw(count) & 0xFFFFFF).astype(_F) * _F(2.0**-24)

    def _blocks(self, uniform: Floats) -> Floats:
        pairs = uniform.reshape(-1, 2, 8)
        radius = np.sqrt(_F(-2) * _log(np.ascontiguousarray(_F(1) - pairs[:, 0])))
        cosine, sine = _cos_sin(_F(2 * math.pi) * pairs[:, 1])
        return np.stack([radius * cosine, radius * sine], 1).reshape(-1)

    def _one(self) -> float:
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        high1, low1, high2, low2 = (int(w) for w in self._words.random_raw(4))
        angle, size = (((high << 32 | low) & (1 << 53) - 1) * 2.0**-53 for high, low in ((high1, low1), (high2, low2)))
        radius, angle = math.sqrt(-2 * math.log1p(-size)), 2 * math.pi * angle
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def draw(self, shape: Sequence[int]) -> Floats:
        """float32 of ``shape``, as ``torch.randn(shape, generator=...)``."""
        count = math.prod(shape)
        if count < 16:
            return np.array([self._one() for _ in range(count)], _F).reshape(shape)
        uniform = self._uniform(count)
        full = count - count % 16
        out = np.empty(count, _F)
        out[:full] = self._blocks(uniform[:full])
        if full < count:  # the last 16 are drawn again
            out[count - 16 :] = self._blocks(self._uniform(16))
        return out.reshape(shape)


def noise(seeds: Sequence[int], channels: int, height: int, width: int) -> Floats:
    """float32 ``[n, channels, height, width]``, with one generator per image."""
    return np.concatenate([Normal(s).draw((1, channels, height, width)) for s in seeds])
