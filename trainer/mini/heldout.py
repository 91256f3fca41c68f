"""What is never trained on, by fixed rules, so that drawing can be told from remembering.

A rule is a hash of names, not a list: adding things moves nothing that is held out already.
"""

from __future__ import annotations

import hashlib

from trainer.mini.things import Thing

CELLS, PAIRS, COUNTS, COLOURS = (
    0.05,
    0.1,
    0.1,
    0.1,
)  # shares of things, of pairs of things, of (thing, count), of (thing, colour)


def _chance(*words: str) -> float:
    """In [0, 1), the same on every machine."""
    return int.from_bytes(hashlib.sha256(" ".join(("heldout", *words)).encode("utf-8")).digest()[:6]) / 2**48


def cell(thing: Thing) -> int | None:
    """The style in which this thing is never shown, alone or in a scene; None for most.

    Only things of four styles have one.
    """
    if len(thing.styles) < 4 or _chance("cell", thing.hex) >= CELLS:
        return None
    return int(_chance("style", thing.hex) * 4)


def styles(thing: Thing) -> list[int]:
    """Those it is trained in."""
    return [s for s in thing.styles if s != cell(thing)]


def pair(first: Thing, second: Thing) -> bool:
    """Are these two never shown together, in any order or relation?"""
    return _chance("pair", *sorted((first.hex, second.hex))) < PAIRS


def count(thing: Thing, number: int) -> bool:
    """Is so many of this thing never shown? One is shown of everything."""
    return number > 1 and _chance("count", thing.hex, str(number)) < COUNTS


def colour(thing: Thing, name: str) -> bool:
    """Is this thing never shown in this colour?"""
    return _chance("colour", thing.hex, name) < COLOURS
