"""How far rounds lie apart, and when that makes a figure unreliable."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

LIMIT = 0.2  # of the median: beyond it another run may well say something else


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most, ``relative`` (most less least over the median; null for one value) and ``reliable`` (whether that is within
    the limit; null for one value: nothing is known of it)."""
    middle = statistics.median(values)
    relative = (max(values) - min(values)) / middle if len(values) > 1 and middle else None
    return {
        "median": middle,
        "least": min(values),
        "most": max(values),
        "relative": relative,
        "reliable": None if relative is None else relative <= LIMIT,
    }
