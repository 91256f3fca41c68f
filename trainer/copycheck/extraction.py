"""Try to extract training images: generate the most repeated captions, each with many seeds.

After Carlini et al. 2023, "Extracting Training Data from Diffusion Models" (arXiv 2301.13188): a memorised image is
generated nearly the same from many seeds, and near one training image.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.copycheck.nearest import unit32
from trainer.dataset.records import Record
from trainer.evaluation.metrics import Array
from trainer.evaluation.prompts import Item, language_of

SHARE, FEWEST = 0.2, 3  # of a caption's images must be near the same training image


@dataclass(frozen=True)
class RepeatedImage:
    """A caption and the number of training images that have it."""

    caption: str
    count: int


def repeated(records: Sequence[Record], most: int) -> list[RepeatedImage]:
    """The captions of most images, in either language; ties by first occurrence. Width and case are ignored."""
    counts: Counter[str] = Counter()
    written: dict[str, str] = {}
    for record in records:
        for key, caption in {fold(c): c for lang in ("ja", "en") for c in record.captions(lang) if c.strip()}.items():
            counts[key] += 1
            written.setdefault(key, caption)
    return [RepeatedImage(written[k], n) for k, n in counts.most_common(most)]


def fold(text: str) -> str:
    """A caption normalised for comparison."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def items_of(captions: Sequence[RepeatedImage], seeds: int) -> list[Item]:
    """What to generate: every caption with every seed."""
    return [
        Item(lang=language_of(c.caption), index=n, copy=copy, prompt=c.caption)
        for n, c in enumerate(captions)
        for copy in range(seeds)
    ]


def clusters(
    captions: Sequence[RepeatedImage],
    items: Sequence[Item],
    files: Sequence[Path],
    copied: set[Path],
    rows: dict[Path, Array],
    near: dict[Path, tuple[str, float]],
    bound: float | None,
) -> list[dict[str, Any]]:
    """One row per caption.

    ``rows`` are features and ``near`` the nearest training image with its cosine, by file; ``bound`` is the training set's
    own 95th percentile. ``alike`` is the mean cosine between the caption's images; ``flagged`` if any is a copy, or if a
    fifth of them (three at least) are above the bound for the same training image.
    """
    result = []
    for n, caption in enumerate(captions):
        mine = [f for i, f in zip(items, files, strict=True) if i.index == n]
        readable = [f for f in mine if f in near]
        above = Counter(near[f][0] for f in readable if bound is not None and near[f][1] > bound)
        target, times = above.most_common(1)[0] if above else ("", 0)
        alike = None
        if len(readable) > 1:
            like = unit32(np.stack([rows[f] for f in readable]))
            like = like @ like.T
            alike = float((like.sum() - np.trace(like)) / (len(readable) * (len(readable) - 1)))
        result.append(
            {
                "caption": caption.caption,
                "pictures": caption.count,
                "seeds": len(mine),
                "copies": sum(f in copied for f in mine),
                "alike": alike,
                "nearest": max((near[f][1] for f in readable), default=None),
                "one_picture": target,
                "times": times,
                "flagged": any(f in copied for f in mine) or times >= max(FEWEST, round(SHARE * len(mine))),
            }
        )
    return result
