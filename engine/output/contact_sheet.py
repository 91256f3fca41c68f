"""A contact sheet: thumbnails with their prompts."""

from __future__ import annotations

import io
import math
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from engine.contract.errors import BadValue, NoRecipe, Phrase
from engine.contract.files import make_folder
from engine.contract.font import FILE
from engine.contract.paths import resources
from engine.imagefile.image import read_recipe, read_shown
from engine.system import atomic

SIDE = 160  # pixels, the longest side of a thumbnail
TINY = 80  # pixels; images up to this size are enlarged twice
GAP = 12
TEXT = 12  # pixels, the height of the text
LINES = 3
MOST = 2000  # images
PAPER, INK = (236, 236, 236), (48, 48, 48)
MISSING = "〓"  # printers' mark for a letter that is not in the case


@cache
def caption_font() -> ImageFont.FreeTypeFont:
    """The shipped font, which draws Japanese and Latin letters on every machine alike."""
    return ImageFont.truetype(resources() / FILE, TEXT)


def drawable(text: str, font: ImageFont.FreeTypeFont) -> str:
    """``text`` in NFC, with ``MISSING`` for every visible letter that the font has no glyph for."""
    nothing = bytes(font.getmask("\U0010fffe"))

    def has(letter: str) -> bool:
        if letter.isspace() or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
            return True
        try:
            mask = font.getmask(letter)
        except UnicodeError:  # half of a surrogate pair
            return False
        return 0 not in mask.size and bytes(mask) != nothing

    return "".join(letter if has(letter) else MISSING for letter in unicodedata.normalize("NFC", text))


def wrap(text: str, width: int, font: Any, lines: int = LINES) -> list[str]:
    """Lines that fit; broken at spaces where there are any near the end, else between letters; ``…`` where text is
    left.
    """
    out: list[str] = []
    rest = " ".join(text.split())
    while rest and len(out) < lines:
        fits = len(rest)
        if font.getlength(rest) > width:
            fits = max(1, next(n for n in range(1, len(rest) + 1) if font.getlength(rest[:n]) > width) - 1)
            space = rest.rfind(" ", 1, fits + 1)
            if space > fits // 2:
                fits = space
        out.append(rest[:fits].rstrip())
        rest = rest[fits:].lstrip()
    if rest:
        last = out[-1]
        while last and font.getlength(last + "…") > width:
            last = last[:-1]
        out[-1] = last + "…"
    return out


def prompt_of(path: Path) -> str:
    """The prompt in an image's own recipe; empty without one. Raises BadFile."""
    try:
        request = read_recipe(path)["request"]
    except NoRecipe:
        return ""
    prompt = request.get("prompt") if isinstance(request, dict) else ""
    return prompt if isinstance(prompt, str) else ""


def _small(path: Path) -> Image.Image:
    picture = read_shown(path)
    long = max(picture.size)
    scale = 2.0 if long <= TINY else min(1.0, SIDE / long)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture if size == picture.size else picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What was written. ``left_out`` counts captions with a letter that ``font`` (a file of the resources) lacks."""

    path: Path
    width: int
    height: int
    columns: int
    rows: int
    left_out: int
    font: str


def write_sheet(
    out: Path, pictures: Sequence[Path], captions: Sequence[str] | None = None, columns: int | None = None
) -> Sheet:
    """Write the sheet as a PNG, under the next free name if ``out`` exists. Captions are by default the prompts.

    Raises:
        BadFile: not an image. BadValue: an impossible number. OutputFolder, DiskFull.
    """
    for name, value, high in (("pictures", len(pictures), MOST), ("columns", 1 if columns is None else columns, 100)):
        if not 1 <= value <= high:
            raise BadValue(name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=1, high=high))
    if out.suffix.lower() != ".png":
        raise BadValue(name="OUT", value=out.name, why=Phrase("its name must end in {ending}", ending=".png"))
    texts = [prompt_of(p) for p in pictures] if captions is None else list(captions)
    if len(texts) != len(pictures):
        raise BadValue(name="captions", value=len(texts), why=Phrase("there are {n} images", n=len(pictures)))
    small = [_small(p) for p in pictures]
    font = caption_font()
    drawn = [drawable(t, font) for t in texts]
    across = columns or min(len(small), max(1, round(math.sqrt(len(small)) * 1.2)))
    across = min(across, len(small))
    down = -(-len(small) // across)
    wide = max(SIDE, *(p.width for p in small))
    talls = [max(p.height for p in small[r * across : (r + 1) * across]) for r in range(down)]
    lines = [wrap(t, wide, font) for t in drawn]
    line = TEXT + 4
    # a row is as high as its own images and captions need
    heights = [talls[r] + line * max(len(x) for x in lines[r * across : (r + 1) * across]) for r in range(down)]
    sheet = Image.new("RGB", (GAP + across * (wide + GAP), GAP + sum(heights) + down * GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for row, tall in enumerate(talls):
        for column, n in enumerate(range(row * across, min((row + 1) * across, len(small)))):
            left = GAP + column * (wide + GAP)
            sheet.paste(small[n], (left + (wide - small[n].width) // 2, top + tall - small[n].height))
            for i, text in enumerate(lines[n]):
                draw.text((left + wide / 2, top + tall + 3 + i * line), text, INK, font, anchor="ma")
        top += heights[row] + GAP
    data = io.BytesIO()
    sheet.save(data, "PNG")
    out = out.absolute()
    make_folder(out.parent)
    part = atomic.write_aside(out.parent, f"sheet{os.getpid()}", data.getvalue())
    try:
        for final in atomic.candidates(out.with_suffix(""), out.suffix):
            try:
                atomic.publish(part, final)
                break
            except FileExistsError:
                continue  # another process took the name meanwhile
    finally:
        part.unlink(missing_ok=True)
    return Sheet(
        path=final,
        width=sheet.width,
        height=sheet.height,
        columns=across,
        rows=down,
        left_out=sum(MISSING in d and MISSING not in t for t, d in zip(texts, drawn, strict=True)),
        font=FILE,
    )
