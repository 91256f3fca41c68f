"""A static step cache: at chosen predictions the middle blocks are not run; what they changed before is added again.

Between neighbouring steps the sum of what the inner blocks add to the stream changes little (Chen et al., Δ-DiT, arXiv 2406.01125;
Liu et al., TaylorSeer, arXiv 2503.06923, for carrying it on in a line). Which predictions and blocks is a table fixed before, never a
measure of the micro-batch: a picture does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """At which of ``count`` predictions something is added again (``reused``), and at which the change is kept for that (``kept``)."""

    reused: frozenset[int]
    kept: frozenset[int]

    @classmethod
    def of(cls, cached: Iterable[int], count: int, order: int) -> Table:
        """``kept`` are the last ``order + 1`` computed predictions before each reused one: nothing else is worth its memory."""
        reused = frozenset(n for n in cached if 0 < n < count)
        kept: set[int] = set()
        for n in reused:
            kept.update([m for m in range(n) if m not in reused][-(order + 1) :])
        return cls(reused, frozenset(kept))


@dataclass
class Side:
    """The changes of one half, negative or positive: ``[pictures, tokens, width]`` each with its timestep, newest first."""

    changes: list[tuple[float, Tensor]] = field(default_factory=list)


class StepCache:
    """One micro-batch's changes. ``first`` to ``stop`` are the blocks, ``order`` 0 or 1."""

    def __init__(self, pictures: int, first: int, stop: int, order: int) -> None:
        self.first, self.stop = first, stop
        self._pictures, self._order = pictures, order
        self._sides = {"negative": Side(), "positive": Side()}

    def keep(self, side: str, start: int, stop: int, timestep: float, change: Tensor) -> None:
        """Remember the change of pictures ``start`` to ``stop``; parts of one timestep fill one entry."""
        changes = self._sides[side].changes
        if not changes or changes[0][0] != timestep:
            whole = change if len(change) == self._pictures else change.new_empty(self._pictures, *change.shape[1:])
            changes.insert(0, (timestep, whole))
            del changes[self._order + 1 :]
        if changes[0][1] is not change:
            changes[0][1][start:stop] = change

    def guess(self, side: str, start: int, stop: int, timestep: float) -> Tensor | None:
        """The change at ``timestep``, or None where nothing was kept."""
        changes = self._sides[side].changes
        if not changes:
            return None
        at, newest = changes[0][0], changes[0][1][start:stop]
        if len(changes) < 2:
            return newest
        before, older = changes[1][0], changes[1][1][start:stop]
        return torch.lerp(older, newest, (timestep - before) / (at - before))


class Middle:
    """What one prediction does with the middle blocks; rows are the negative half of pictures ``start`` to ``stop``, if any, then the positive."""

    def __init__(
        self, cache: StepCache, start: int, stop: int, *, guided: bool, timestep: float, reuse: bool, keep: bool
    ) -> None:
        self.first, self.stop = cache.first, cache.stop
        self._cache, self._rows, self._timestep = cache, (start, stop), timestep
        self._sides = ("negative", "positive") if guided else ("positive",)
        self._reuse, self._keep = reuse, keep

    def through(self, x: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        """``x [rows, tokens, width]`` after the middle blocks, which ``run`` would compute."""
        if self._reuse:
            guesses = [self._cache.guess(side, *self._rows, self._timestep) for side in self._sides]
            known = [g for g in guesses if g is not None]
            if len(known) == len(guesses):  # else there is nothing to go by, and the blocks are run
                return x + (known[0] if len(known) == 1 else torch.cat(known))
        y = run(x)
        if self._keep:
            for side, change in zip(self._sides, (y - x).chunk(len(self._sides)), strict=True):
                self._cache.keep(side, *self._rows, self._timestep, change)
        return y
