"""Stateless random numbers: each draw is a function of (seed, purpose, step, row).

So a resumed run and a run of many processes draw the same numbers as one uninterrupted process.

Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: purposes of random numbers; each has its own stream
ORDER, ROW, HELDOUT, WEIGHT, SPLIT, DROPOUT = range(1, 7)


def stream(seed: int, purpose: int, a: int = 0, b: int = 0) -> np.random.Generator:
    """An independent generator for each (seed, purpose, a, b); two of them are 2**64 blocks apart."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=np.array([0, 0, a, b], np.uint64))
    )


def number(seed: int, purpose: int, a: int = 0, b: int = 0) -> int:
    """63 random bits, such as a seed for torch's own generator."""
    return int(stream(seed, purpose, a, b).integers(0, 2**63 - 1))


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Standard normal float32 samples."""
    return generator.standard_normal(shape, dtype=np.float32)
