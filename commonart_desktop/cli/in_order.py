"""Output lines in the requested order, whatever finishes first."""

from __future__ import annotations

from collections.abc import Callable


class InOrder:
    """Holds a line back until all before it are there.

    ``write`` gets them one after the other, as early as that allows.

    A place may have no line; with ``gaps`` an empty one is then written for it, but only before a later line: so line n
    is that of place n, and nothing is written where nothing was made.

    A micro-batch takes requests of one kind out of turn, and always the first that waits: what is held back is no more
    than the worker looks ahead.
    """

    def __init__(self, write: Callable[[str], None], *, gaps: bool) -> None:
        self._write, self._gaps = write, gaps
        self._next = self._empty = 0
        self._held: dict[int, str | None] = {}

    def put(self, place: int, line: str | None) -> None:
        """The line at a place (0-based); None for a place that has none."""
        self._held[place] = line
        while self._next in self._held:
            self._let_out()

    def flush(self) -> None:
        """Let out what is held back, because nothing more will come."""
        while self._held:
            self._let_out()

    def _let_out(self) -> None:
        line = self._held.pop(self._next, None)
        self._next += 1
        if line is None:
            self._empty += self._gaps
            return
        for _ in range(self._empty):
            self._write("")
        self._empty = 0
        self._write(line)
