"""A small dataset of drawn pictures with one visible style, captions in both languages, and licences: for tests and
demos.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

SHAPES = {
    "circle": ("circle", "丸"),
    "square": ("square", "四角"),
    "triangle": ("triangle", "三角"),
    "star": ("star", "星"),
    "ring": ("ring", "輪"),
    "cross": ("cross", "十字"),
}
COLOURS = {
    "red": ("赤い", (214, 48, 49)),
    "green": ("緑の", (39, 174, 96)),
    "blue": ("青い", (41, 98, 200)),
    "yellow": ("黄色い", (241, 196, 15)),
    "purple": ("紫の", (142, 68, 173)),
    "orange": ("オレンジの", (230, 126, 34)),
    "black": ("黒い", (30, 30, 34)),
    "pink": ("桃色の", (240, 120, 170)),
}
GROUNDS = {
    "white": ("白", (250, 250, 248)),
    "grey": ("灰色", (150, 154, 160)),
    "sky": ("水色", (174, 214, 241)),
    "sand": ("砂色", (233, 212, 170)),
}
STYLES = {"plain": ("", ""), "outline": ("outline style", "線画"), "night": ("night style", "夜の絵")}
CC_BY = {"license": "CC-BY-4.0", "license_url": "https://creativecommons.org/licenses/by/4.0/"}
CC0 = {"license": "CC0-1.0", "license_url": "https://creativecommons.org/publicdomain/zero/1.0/"}


def _points(shape: str, x: float, y: float, r: float, turn: float) -> list[tuple[float, float]]:
    from math import cos, pi, sin

    corners = {"triangle": 3, "square": 4, "star": 10}[shape]
    radii = [r if shape != "star" or n % 2 == 0 else r * 0.42 for n in range(corners)]
    return [
        (x + a * cos(turn + 2 * pi * n / corners), y + a * sin(turn + 2 * pi * n / corners))
        for n, a in enumerate(radii)
    ]


def draw(
    shape: str, colour: tuple[int, int, int], ground: tuple[int, int, int], *, size: int, style: str, rng: random.Random
) -> Image.Image:
    """One picture; ``style`` is seen in all of them: plain fill, dark ``outline`` with a frame, or ``night`` (dark
    ground, glow).
    """
    scale = 2
    side = size * scale
    hue, sat, val = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, sat, min(1, val * rng.uniform(0.85, 1.1))))  # type: ignore[assignment]
    if style == "night":
        ground = (18, 20, 52)
    image = Image.new("RGB", (side, side), ground)
    canvas = ImageDraw.Draw(image)
    for _ in range(3):  # soft patches in the ground, so that no two pictures are near-duplicates
        a, b = rng.uniform(0, side), rng.uniform(0, side)
        w = rng.uniform(side * 0.15, side * 0.4)
        shade = tuple(max(0, min(255, c + rng.randint(-34, 34))) for c in ground)
        canvas.ellipse((a - w, b - w, a + w, b + w), fill=shade)
    image = image.filter(ImageFilter.GaussianBlur(side / 30))
    canvas = ImageDraw.Draw(image)
    r = rng.uniform(0.2, 0.36) * side
    x, y = (rng.uniform(r, side - r) for _ in range(2))
    line = (20, 20, 20) if style == "outline" else (255, 240, 170) if style == "night" else None
    width = round(side * 0.045) if line else 0
    if shape == "circle":
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=line, width=width)
    elif shape == "ring":
        canvas.ellipse((x - r, y - r, x + r, y + r), outline=line or colour, width=round(r * 0.62))
        canvas.ellipse((x - r * 0.93, y - r * 0.93, x + r * 0.93, y + r * 0.93), outline=colour, width=round(r * 0.45))
    elif shape == "cross":
        arm = r * 0.34
        for box in ((x - r, y - arm, x + r, y + arm), (x - arm, y - r, x + arm, y + r)):
            canvas.rectangle(box, fill=colour, outline=line, width=width)
    else:
        points = _points(shape, x, y, r, rng.uniform(0, 6.28))
        canvas.polygon(points, fill=colour)
        if line:
            canvas.line([*points, points[0], points[1]], fill=line, width=width, joint="curve")
    if style == "outline":
        canvas.rectangle((0, 0, side - 1, side - 1), outline=(20, 20, 20), width=round(side * 0.04))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def png(image: Image.Image) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def make_dataset(folder: Path, count: int = 24, *, size: int = 96, style: str = "plain", seed: int = 0) -> Path:
    """``folder/metadata.jsonl`` and ``count`` PNGs of ``size`` pixels that pass the gate under the policy commercial.

    Every third picture is CC0, the rest CC-BY by five creators. The same arguments give the same bytes under the same
    Pillow.
    """
    rng = random.Random(f"{seed} {style}")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    kinds = [(s, c, g) for s in SHAPES for c in COLOURS for g in GROUNDS]
    rng.shuffle(kinds)
    for n in range(count):
        shape, colour, ground = kinds[n % len(kinds)]
        data = png(draw(shape, COLOURS[colour][1], GROUNDS[ground][1], size=size, style=style, rng=rng))
        name = f"{n:04d}-{colour}-{shape}.png"
        (folder / name).write_bytes(data)
        article = "an" if colour[0] in "aeiou" else "a"
        english = f"{article} {colour} {SHAPES[shape][0]} on a {ground} background"
        japanese = f"{GROUNDS[ground][0]}の背景に{COLOURS[colour][0]}{SHAPES[shape][1]}"
        if STYLES[style][0]:
            english, japanese = f"{english}, {STYLES[style][0]}", f"{japanese}、{STYLES[style][1]}"
        rows.append(
            {
                "file_name": name,
                "text": english,
                "text_ja": japanese,
                **(CC0 if n % 3 == 0 else CC_BY),
                "creator": f"Drawer {n % 5}",
                "title": f"{colour} {shape} {n}",
                "source_url": f"https://example.org/drawings/{seed}/{n}",
                "modified": "",
                "sha256": hashlib.sha256(data).hexdigest(),
                "evidence": "drawn by tests/support/images.py",
                "caption_origin": "human",
                "training_permission": "allowed",
            }
        )
    (folder / "metadata.jsonl").write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8", newline="\n"
    )
    return folder
