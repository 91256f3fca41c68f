"""Icons drawn to pixels, with a name in two languages and a licence row each."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.mini.packages import STYLES, Style, read_json
from trainer.mini.things import Thing

SIZE = 128  # pixels a side
#: Ground colours by key: sRGB and the words that ask for them. White is what an unnamed ground means.
GROUNDS = {
    "white": ((255, 255, 255), ("white",), ("白い", "白")),
    "blue": ((90, 155, 235), ("blue",), ("青い", "青")),
    "red": ((225, 85, 75), ("red",), ("赤い", "赤")),
    "yellow": ((248, 218, 90), ("yellow",), ("黄色い", "黄色")),
    "green": ((100, 185, 115), ("green",), ("緑の", "緑")),
    "pink": ((246, 170, 200), ("pink",), ("ピンクの", "ピンク")),
    "purple": ((155, 115, 210), ("purple",), ("紫の", "紫")),
    "black": ((35, 35, 40), ("black",), ("黒い", "黒")),
}
#: Colours that a thing of one hue may be given: hue in degrees, and the words.
COLOURS = {
    "red": (4.0, ("red",), ("赤い", "赤")),
    "orange": (28.0, ("orange",), ("オレンジ色の", "オレンジ色")),
    "yellow": (50.0, ("yellow",), ("黄色い", "黄色")),
    "green": (130.0, ("green",), ("緑の", "緑")),
    "blue": (212.0, ("blue",), ("青い", "青")),
    "purple": (275.0, ("purple",), ("紫の", "紫")),
}


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A thing the model can draw: its code points and its usual spellings, the most usual first."""

    hex: str
    en: tuple[str, ...]
    ja: tuple[str, ...]


def concepts() -> list[Concept]:
    """The table beside this file, in its order (a concept's index is its class in training)."""
    data = tomllib.loads(Path(__file__).with_name("concepts.toml").read_text(encoding="utf-8"))
    return [Concept(hex=c["hex"], en=tuple(c["en"]), ja=tuple(c["ja"])) for c in data["concepts"]]


def bare(code: str) -> str:
    return code.lower().replace("-fe0f", "")


def icon_names(cache: Path) -> dict[str, dict[str, str]]:
    """style key -> {code points -> icon name}. Fluent's two sets share their names; only one lists code points."""
    tables = {s.key: {bare(c): n for c, n in read_json(s.package, "chars.json", cache).items()} for s in STYLES}
    tables["gradient"] = tables["flat"]
    return tables


class Icons:
    """Draws icons of one style from its package."""

    def __init__(self, style: Style, cache: Path) -> None:
        self.style = style
        data = read_json(style.package, "icons.json", cache)
        self._icons = data["icons"]
        self._width, self._height = data.get("width", 16), data.get("height", 16)

    def names(self) -> list[str]:
        return sorted(self._icons)

    def draw(self, name: str, size: int = SIZE) -> np.ndarray:
        """uint8 RGBA ``[size, size, 4]``.

        Raises:
            KeyError: the set has no icon of that name.
            ValueError: the icon cannot be drawn.
        """
        import resvg_py

        icon = self._icons[name]
        width, height = icon.get("width", self._width), icon.get("height", self._height)
        side = max(width, height)  # a few are not square: centre them
        box = f"{icon.get('left', 0) - (side - width) / 2} {icon.get('top', 0) - (side - height) / 2} {side} {side}"
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{box}">{icon["body"]}</svg>'
        )
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size))
        rgba: np.ndarray = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
        return rgba


def on_ground(rgba: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Lay RGBA pictures ``[..., 4]`` on a plain ground: uint8 RGB ``[..., 3]``."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    mixed = rgba[..., :3].astype(np.float32) * alpha + np.asarray(colour, np.float32) * (1.0 - alpha)
    rgb: np.ndarray = np.rint(mixed).astype(np.uint8)
    return rgb


def draw_all(cache: Path, things: Sequence[Thing]) -> tuple[np.ndarray, list[tuple[int, int]], list[dict[str, str]]]:
    """Every picture the recipe learns from.

    Returns:
        uint8 RGBA ``[pictures, SIZE, SIZE, 4]``; the (thing, style) of each; an attribution row of each.
    """
    names = icon_names(cache)
    icons = [Icons(s, cache) for s in STYLES]
    cells = [(t.index, style) for t in things for style in t.styles]
    drawn = np.zeros((len(cells), SIZE, SIZE, 4), np.uint8)
    rows: list[dict[str, str]] = []
    for n, (index, column) in enumerate(cells):
        style, name = STYLES[column], names[STYLES[column].key][things[index].hex]
        drawn[n] = icons[column].draw(name)
        rows.append(
            {
                "file_name": f"{style.package.name}/{name}.svg",
                "title": name.replace("-", " "),
                "creator": style.creator,
                "license": style.license,
                "source_url": style.source_url,
                "package": f"{style.package.name}@{style.package.version}",
                "used_for": "all parts",
            }
        )
    return drawn, cells, rows
