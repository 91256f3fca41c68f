"""What a caption's picture looks like from afar: a thumbnail of ``SIDE`` x ``SIDE`` pixels, composed on the fly from
small icons.

The caption encoder learns to foretell it at the marks that end every caption, each its own part. So the features a
denoiser reads hold where which colours lie, and it need not find that out for each of the things by itself.
"""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np

from trainer.mini import heldout
from trainer.mini.captions import Facts
from trainer.mini.export import Icons
from trainer.mini.pictures import GROUNDS, SIZE
from trainer.mini.scenes import PLACES, Hue, hue_of, recoloured
from trainer.mini.things import Thing, things

SIDE = 32
SCALE = SIZE // SIDE


def small(rgba: np.ndarray, side: int) -> np.ndarray:
    """uint8 RGBA ``[h, w, 4]`` averaged to float32 ``[side, side, 4]`` in [0, 1], colours multiplied by alpha."""
    step = len(rgba) // side
    value = rgba.astype(np.float32) / 255
    value[..., :3] *= value[..., 3:]
    mean: np.ndarray = value.reshape(side, step, side, step, 4).mean((1, 3))
    return mean


class Looks:
    """Thumbnails of what captions say; nothing that is held out from training has one."""

    def __init__(self, icons: Icons) -> None:
        self._icons = icons
        self._has = {tuple(c) for c in icons.cells}
        whole = np.stack([small(np.asarray(p), SIDE) for p in icons.pixels])
        self._whole = dict(zip((tuple(c) for c in icons.cells), whole, strict=True))
        self._hue = lru_cache(maxsize=None)(self._find_hue)
        self._tinted = lru_cache(maxsize=None)(self._tint)

    def of(self, facts: Facts, which: tuple[int, ...], rng: random.Random) -> np.ndarray | None:
        """float32 ``[SIDE, SIDE, 3]`` in [-1, 1] of things ``which`` as ``facts`` say, the bare ground without any; a
        style that is not said is any.

        None where there is no such picture, or where it is held out.
        """
        ground = np.asarray(GROUNDS[facts.ground or "white"][0], np.float32) / 255
        if not which:
            return np.broadcast_to(ground * 2 - 1, (SIDE, SIDE, 3))
        shown = [things()[i] for i in which]
        styles = sorted(set.intersection(*(set(self._styles(t)) for t in shown)))
        if facts.style is not None:
            styles = [s for s in styles if s == facts.style]
        if (
            not styles
            or (facts.relation and (shown[0] is shown[1] or heldout.pair(*shown)))
            or heldout.count(shown[0], facts.count)
            or (facts.colour and heldout.colour(shown[0], facts.colour))
        ):
            return None
        style = rng.choice(styles)
        icons = [self._whole[t.index, style] for t in shown]
        if facts.colour:
            found = self._tinted(shown[0].index, style, facts.colour)
            if found is None:
                return None
            icons = [found]
        picture = self._scene(icons, facts.relation or facts.count)
        return (picture[..., :3] + (1 - picture[..., 3:]) * ground) * 2 - 1

    def _styles(self, thing: Thing) -> list[int]:
        return [s for s in heldout.styles(thing) if (thing.index, s) in self._has]

    @staticmethod
    def _scene(icons: list[np.ndarray], what: str | int) -> np.ndarray:
        if what == 1:
            return icons[0]
        canvas = np.zeros_like(icons[0])
        halves = [i.reshape(SIDE // 2, 2, SIDE // 2, 2, 4).mean((1, 3)) for i in icons]
        for n, (left, top) in enumerate(PLACES[what]):
            x, y = left // SCALE, top // SCALE
            canvas[y : y + SIDE // 2, x : x + SIDE // 2] = halves[n % len(halves)]
        return canvas

    def _find_hue(self, index: int, style: int) -> Hue | None:
        return hue_of(self._icons.of(things()[index], style))

    def _tint(self, index: int, style: int, colour: str) -> np.ndarray | None:
        hue = self._hue(index, style)
        if hue is None or colour == hue.name:
            return None if hue is None else self._whole[index, style]
        return small(recoloured(self._icons.of(things()[index], style), hue, colour), SIDE)
