"""How much rounds differ, and when that makes a figure unreliable."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

LIMIT = 0.2  # of the median: beyond it another run may well give another result


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most, ``relative`` and ``reliable``.

    ``relative`` is (most - least) / median, ``reliable`` whether that is within ``LIMIT``; both are None for one value.
    """
    middle = statistics.median(values)
    relative = (max(values) - min(values)) / middle if len(values) > 1 and middle else None
    return {
        "median": middle,
        "least": min(values),
        "most": max(values),
        "relative": relative,
        "reliable": None if relative is None else relative <= LIMIT,
    }
