"""The things the model may draw: code points, the styles that have a picture of them, names in two languages."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trainer.mini.packages import STYLES

TABLE = Path(__file__).with_name("things.csv")
EVERYDAY = 257  # the first so many were named by hand (concepts.toml); scenes and colours are made of these


@dataclass(frozen=True, kw_only=True)
class Thing:
    """``en`` and ``ja`` are its usual spellings, the most usual first; ``styles`` are indices into ``STYLES``."""

    index: int
    hex: str
    en: tuple[str, ...]
    ja: tuple[str, ...]
    styles: tuple[int, ...]

    def names(self, lang: str) -> tuple[str, ...]:
        return self.en if lang == "en" else self.ja


@lru_cache(maxsize=1)
def things() -> tuple[Thing, ...]:
    """The table beside this file, in its order: a thing's index is its class in training."""
    letters = [s.key[0] for s in STYLES]
    with TABLE.open(encoding="utf-8", newline="") as f:
        return tuple(
            Thing(
                index=n,
                hex=row["hex"],
                en=tuple(row["en"].split("|")),
                ja=tuple(row["ja"].split("|")),
                styles=tuple(letters.index(c) for c in row["styles"]),
            )
            for n, row in enumerate(csv.DictReader(f))
        )
