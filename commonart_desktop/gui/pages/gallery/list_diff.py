"""Differences of two lists of ids, so that a view keeps its scroll position and selection when images change."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

#: (first, last, new ids to insert there; empty: remove them)
Step = tuple[int, int, "array[int]"]
MAX_STEPS = 60


def diff(old: array[int], new: array[int]) -> list[Step] | None:
    """Removals from the end, then insertions from the start, that turn ``old`` into ``new``; None: reset the model."""
    if not old or not new:
        return None
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    was, now = old[start : len(old) - end], new[start : len(new) - end]
    in_old, in_new = set(was), set(now)
    removed = [i for i, n in enumerate(was) if n not in in_new]
    added = [i for i, n in enumerate(now) if n not in in_old]
    if [n for n in was if n in in_new] != [n for n in now if n in in_old]:
        return None
    steps: list[Step] = [(start + first, start + last, array("q")) for first, last in reversed(_runs(removed))]
    steps += [(start + first, start + last, now[first : last + 1]) for first, last in _runs(added)]
    return steps if len(steps) <= MAX_STEPS else None


def _common(a: array[int], b: array[int]) -> int:
    """Length of the common prefix, by bisection: comparing slices is fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        half = (low + high + 1) // 2
        if a[low:half] == b[low:half]:
            low = half
        else:
            high = half - 1
    return low


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return runs
