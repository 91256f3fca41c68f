"""Pictures composed of icons with known facts: two things beside or above each other, one thing several times, a thing
in another colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.mini.pictures import COLOURS, SIZE

HALF = SIZE // 2
#: (left, top) of each half-size icon, by what the scene shows
PLACES = {
    "left": ((0, HALF // 2), (HALF, HALF // 2)),
    "above": ((HALF // 2, 0), (HALF // 2, HALF)),
    2: ((0, HALF // 2), (HALF, HALF // 2)),
    3: ((HALF // 2, 0), (0, HALF), (HALF, HALF)),
    4: ((0, 0), (HALF, 0), (0, HALF), (HALF, HALF)),
}
CHROMATIC, SPREAD = (
    0.3,
    30.0,
)  # least saturation of a coloured pixel; degrees around an icon's hue that count as that hue
LEAST, MOSTLY = 0.5, 0.9  # share of an icon that must be coloured, and of that the share in one hue


def half(rgba: np.ndarray) -> np.ndarray:
    """uint8 RGBA at half the side, averaged with colours weighted by their alpha."""
    image = Image.fromarray(rgba).convert("RGBa").resize((rgba.shape[1] // 2, rgba.shape[0] // 2), Image.Resampling.BOX)
    return np.asarray(image.convert("RGBA"))


def scene(icons: Sequence[np.ndarray], what: str | int) -> np.ndarray:
    """uint8 RGBA ``[SIZE, SIZE, 4]``: the icons at half size in the places of ``what`` (a relation or a count.

    One icon is repeated).
    """
    canvas = np.zeros((SIZE, SIZE, 4), np.uint8)
    places = PLACES[what]
    small = [half(i) for i in icons]
    for n, (left, top) in enumerate(places):
        canvas[top : top + HALF, left : left + HALF] = small[n % len(small)]
    return canvas


@dataclass(frozen=True)
class Hue:
    """The one hue of an icon in degrees, and which of its pixels have it."""

    degrees: float
    where: np.ndarray

    @property
    def name(self) -> str | None:
        """The colour's key, if the hue is close to one."""
        key, far = min(((k, _apart(self.degrees, v[0])) for k, v in COLOURS.items()), key=lambda kv: kv[1])
        return key if far <= 12 else None


def _apart(a: float | np.ndarray, b: float) -> np.ndarray:
    return np.abs((a - b + 180) % 360 - 180)


def hue_of(rgba: np.ndarray) -> Hue | None:
    """None for an icon that is grey, pale, or of several hues: to say "a red one" of it would be a guess."""
    seen = rgba[..., 3] > 128
    hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV"), np.float32)
    coloured = seen & (hsv[..., 1] > 255 * CHROMATIC) & (hsv[..., 2] > 60)
    if coloured.sum() < LEAST * seen.sum() or not seen.any():
        return None
    angles = hsv[..., 0] / 255 * 360
    bins = np.bincount((angles[coloured] // 10).astype(int) % 36, minlength=36)
    peak = float(np.argmax(bins + np.roll(bins, 1) + np.roll(bins, -1)) * 10 + 5)
    near = coloured & (_apart(angles, peak) <= SPREAD)
    if near.sum() < MOSTLY * coloured.sum():
        return None
    turned = (angles[near] - peak + 180) % 360 - 180
    return Hue(float((peak + np.median(turned)) % 360), near)


def recoloured(rgba: np.ndarray, hue: Hue, colour: str) -> np.ndarray:
    """The icon with its hue turned to that of ``colour``.

    Light and shade stay, but yellow and orange are never dark.
    """
    target = COLOURS[colour][0]
    hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV"), np.float32).copy()
    turned = (hsv[..., 0] / 255 * 360 + target - hue.degrees) % 360
    hsv[..., 0] = np.where(hue.where, turned / 360 * 255, hsv[..., 0])
    if colour in ("yellow", "orange"):
        hsv[..., 2] = np.where(hue.where, 110 + hsv[..., 2] * (145 / 255), hsv[..., 2])
    rgb = np.asarray(Image.fromarray(np.rint(hsv).astype(np.uint8), "HSV").convert("RGB"))
    return np.concatenate([rgb, rgba[..., 3:]], -1)
