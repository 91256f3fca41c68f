"""Perceptual hashes of images, and a search for similar pairs. numpy only.

dHash compares neighbouring pixels of 9 x 8 (Krawetz, "Kind of Like That", 2013); pHash takes the signs of the lowest 8
x 8 frequencies of a 32 x 32 image against their median (Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions", 2010). Both see brightness only, so a coarse 8 x 8 colour image is compared as well. They find copies
that were recompressed or scaled, not cropped or mirrored ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

SIDE = 32
PHASH_BITS, DHASH_BITS, COLOUR = (
    6,
    10,
    10.0,
)  # how far apart near-duplicates may be: bits of 64, bits of 64, mean of 255 steps
_BANDS = PHASH_BITS + 1  # pigeonhole: with that many bands two hashes within reach agree in one of them
_BLOCK = 2048


@dataclass(frozen=True)
class PerceptualHash:
    """pHash, dHash (64-bit each) and 8 x 8 x 3 bytes of colour."""

    phash: int
    dhash: int
    colour: bytes


@cache
def _cosines() -> np.ndarray[Any, Any]:
    """The first 8 rows of the DCT-II matrix of 32."""
    k, n = np.arange(8)[:, None], np.arange(SIDE)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * SIDE))


def perceptual_hash(image: Image.Image) -> PerceptualHash:
    """Of an RGB image of any size."""
    # one reduction for all three: what they see differs in size only
    small = image.resize(
        (SIDE, SIDE), Image.Resampling.BOX if min(image.size) > 2 * SIDE else Image.Resampling.BILINEAR
    )
    grey = np.asarray(small.convert("L"), dtype=np.float64)
    frequencies = (_cosines() @ grey @ _cosines().T).ravel()
    phash = frequencies > np.median(frequencies[1:])
    nine = np.asarray(small.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    dhash = (nine[:, 1:] > nine[:, :-1]).ravel()
    colour = np.asarray(small.resize((8, 8), Image.Resampling.BOX)).tobytes()
    return PerceptualHash(_number(phash), _number(dhash), colour)


def _number(bits: np.ndarray[Any, Any]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def similar_pairs(hashes: list[PerceptualHash]) -> Iterator[tuple[int, int]]:
    """Similar pairs (i < j), each once, in no order.

    Equal hashes are paired with their first only, so that a thousand copies are a thousand pairs, not half a million.
    """
    first: dict[PerceptualHash, int] = {}
    for i, look in enumerate(hashes):
        if (j := first.setdefault(look, i)) != i:
            yield j, i
    places = np.array(list(first.values()), dtype=np.int64)
    if len(places) < 2:
        return
    phash = np.array([hashes[i].phash for i in places], dtype=np.uint64)
    dhash = np.array([hashes[i].dhash for i in places], dtype=np.uint64)
    colour = np.frombuffer(b"".join(hashes[i].colour for i in places), dtype=np.uint8).reshape(len(places), -1)
    widths = [64 // _BANDS + (n < 64 % _BANDS) for n in range(_BANDS)]
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        shift = np.uint64(sum(widths[:band]))
        keys = (phash >> shift) & np.uint64((1 << widths[band]) - 1)
        order = np.argsort(keys, kind="stable")
        edges = (
            np.flatnonzero(np.diff(keys[order], prepend=keys[order][0])) if len(order) else np.array([], dtype=np.int64)
        )
        for group in np.split(order, edges):
            for a, b in _within(group, phash, dhash, colour):
                pair = (min(a, b), max(a, b))
                if pair not in seen:
                    seen.add(pair)
                    i, j = int(places[pair[0]]), int(places[pair[1]])
                    yield min(i, j), max(i, j)


def _within(
    group: np.ndarray[Any, Any], phash: np.ndarray[Any, Any], dhash: np.ndarray[Any, Any], colour: np.ndarray[Any, Any]
) -> Iterator[tuple[int, int]]:
    """Pairs within reach among ``group``, block by block."""
    for start in range(0, len(group), _BLOCK):
        rows = group[start : start + _BLOCK]
        for other in range(start, len(group), _BLOCK):
            columns = group[other : other + _BLOCK]
            near = np.bitwise_count(phash[rows][:, None] ^ phash[columns][None, :]) <= PHASH_BITS
            near &= np.bitwise_count(dhash[rows][:, None] ^ dhash[columns][None, :]) <= DHASH_BITS
            if start == other:
                near = np.triu(near, 1)
            a, b = np.nonzero(near)
            if len(a):
                a, b = rows[a], columns[b]
                for piece in range(0, len(a), 100_000):
                    x, y = a[piece : piece + 100_000], b[piece : piece + 100_000]
                    close = np.abs(colour[x].astype(np.int16) - colour[y].astype(np.int16)).mean(1) <= COLOUR
                    yield from zip(x[close].tolist(), y[close].tolist(), strict=False)
