"""All targets, in the order they run."""

from __future__ import annotations

from tests.fuzz import datasets, ledgers, pictures, texts, weights
from tests.fuzz.core import Target

TARGETS: tuple[Target, ...] = (*pictures.TARGETS, *texts.TARGETS, *datasets.TARGETS, *ledgers.TARGETS, *weights.TARGETS)
