"""The denoiser's pictures as dataset folders: things alone, on coloured grounds, in pairs, in numbers and in other
colours; bare grounds; captions and licences.

What ``heldout`` names is in none of them.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.contract.files import replacing
from trainer.dataset.files import sha256_of
from trainer.dataset.records import Record, write_records
from trainer.mini import heldout
from trainer.mini.captions import LANGS, RELATIONS, Facts, caption, names_of
from trainer.mini.noise import SHARE, unknown
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS, on_ground
from trainer.mini.scenes import hue_of, recoloured, scene
from trainer.mini.things import EVERYDAY, Thing, things

#: How often a picture of each folder is shown, against one alone on white; and captions of each in a language.
WEIGHTS = {"white": 1.0, "coloured": 0.35, "pairs": 0.35, "counts": 0.25, "colours": 0.3, "plain": 0.6}
CAPTIONS = {"white": 3, "coloured": 2, "pairs": 2, "counts": 2, "colours": 2, "plain": 3}
PAIRS, COUNT_STYLES, COLOURS_EACH, PLAIN_EACH = 2_600, 2, 3, 40
STYLED, GROUND_ON_WHITE, SCENE_ON_WHITE = (
    0.75,
    0.1,
    0.7,
)  # how often captions name the style, and a white ground; scenes that stand on white
ADDRESSES = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
}
#: Each thing is here many times on purpose, in four sets that draw alike.
POLICY = """name = "mini"
base = "commercial"

[rules]
near-duplicate = "allow"
near-duplicate-other-licence = "allow"
same-picture = "allow"
one-creator = "allow"
"""


@dataclass(frozen=True, eq=False)
class Icons:
    """The drawn icons: uint8 RGBA ``[n, side, side, 4]``, and where each (thing, style) lies."""

    pixels: np.ndarray
    cells: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_at", {tuple(c): n for n, c in enumerate(self.cells)})

    def of(self, thing: Thing, style: int) -> np.ndarray:
        at: dict[tuple[int, int], int] = self._at  # type: ignore[attr-defined]
        image: np.ndarray = self.pixels[at[thing.index, style]]
        return image

    def things(self) -> list[Thing]:
        """Those that have a picture here, in the table's order."""
        return [things()[i] for i in sorted({i for i, _ in self.cells})]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One picture: its name, RGBA pixels, what it shows (style and ground always set), and the things in it."""

    name: str
    rgba: np.ndarray
    facts: Facts
    things: tuple[Thing, ...]


def alone(icons: Icons, *, coloured: bool) -> Iterator[Shown]:
    """Every thing in every style that is not held out, on white or on one coloured ground."""
    grounds = [g for g in GROUNDS if g != "white"]
    for thing in icons.things():
        for style in heldout.styles(thing):
            ground = random.Random(f"ground {thing.hex} {style}").choice(grounds) if coloured else "white"
            yield Shown(
                name=f"{thing.hex}-{STYLES[style].key}-{ground}",
                rgba=icons.of(thing, style),
                facts=Facts(names=(names_of(thing),), style=style, ground=ground),
                things=(thing,),
            )


def pairs(icons: Icons) -> Iterator[Shown]:
    """Two everyday things, side by side or one above the other."""
    rng = random.Random("pairs")
    known = [t for t in icons.things() if t.index < EVERYDAY]
    seen = set()
    for _ in range(PAIRS):
        first, second = rng.choice(known), rng.choice(known)
        styles = sorted(set(heldout.styles(first)) & set(heldout.styles(second)))
        relation, ground = rng.choice(RELATIONS), _ground(rng)
        style = rng.choice(styles)
        name = f"{first.hex}-{second.hex}-{relation}-{STYLES[style].key}-{ground}"
        if first is second or heldout.pair(first, second) or name in seen:
            continue
        seen.add(name)
        yield Shown(
            name=name,
            rgba=scene([icons.of(first, style), icons.of(second, style)], relation),
            things=(first, second),
            facts=Facts(names=(names_of(first), names_of(second)), style=style, ground=ground, relation=relation),
        )


def counts(icons: Icons) -> Iterator[Shown]:
    """Two to four of an everyday thing, in some of its styles."""
    for thing in (t for t in icons.things() if t.index < EVERYDAY):
        for number in (2, 3, 4):
            if heldout.count(thing, number):
                continue
            rng = random.Random(f"count {thing.hex} {number}")
            known = heldout.styles(thing)
            for style in rng.sample(known, min(COUNT_STYLES, len(known))):
                ground = _ground(rng)
                yield Shown(
                    name=f"{thing.hex}-x{number}-{STYLES[style].key}-{ground}",
                    rgba=scene([icons.of(thing, style)], number),
                    things=(thing,),
                    facts=Facts(names=(names_of(thing),), style=style, ground=ground, count=number),
                )


def colours(icons: Icons) -> Iterator[Shown]:
    """Everyday things of one hue in other colours; and as they are, told by their own."""
    for thing in (t for t in icons.things() if t.index < EVERYDAY):
        for style in heldout.styles(thing):
            rgba = icons.of(thing, style)
            hue = hue_of(rgba)
            if hue is None:
                continue
            rng = random.Random(f"colour {thing.hex} {style}")
            others = [c for c in COLOURS if c != hue.name and not heldout.colour(thing, c)]
            chosen = rng.sample(others, min(COLOURS_EACH, len(others)))
            for colour in [*([hue.name] if hue.name else []), *chosen]:
                ground = _ground(rng, but=colour)
                yield Shown(
                    name=f"{thing.hex}-{colour}-{STYLES[style].key}-{ground}",
                    things=(thing,),
                    rgba=rgba if colour == hue.name else recoloured(rgba, hue, colour),
                    facts=Facts(names=(names_of(thing),), style=style, ground=ground, colour=colour),
                )


def plain(icons: Icons) -> Iterator[Shown]:
    """A bare ground for made-up words: what nobody taught gives a plain picture and not a guess."""
    for ground in GROUNDS:
        for n in range(PLAIN_EACH):
            rng = random.Random(f"plain {ground} {n}")
            names = {lang: tuple(unknown(lang, rng) for _ in range(CAPTIONS["plain"])) for lang in LANGS}
            yield Shown(
                name=f"plain-{ground}-{n}",
                rgba=np.zeros_like(icons.pixels[0]),
                things=(),
                facts=Facts(names=(names,), style=rng.choice([None, *range(len(STYLES))]), ground=ground),
            )


def _ground(rng: random.Random, but: str = "") -> str:
    return "white" if rng.random() < SCENE_ON_WHITE else rng.choice([g for g in GROUNDS if g not in ("white", but)])


def shown(icons: Icons) -> dict[str, Iterator[Shown]]:
    """Folder -> its pictures."""
    return {
        "white": alone(icons, coloured=False),
        "coloured": alone(icons, coloured=True),
        "pairs": pairs(icons),
        "counts": counts(icons),
        "colours": colours(icons),
        "plain": plain(icons),
    }


def export(icons: Icons, out: Path) -> dict[Path, float]:
    """Write a folder of each kind and ``out/policy.toml``; returns the folders with the weight of each picture in
    training.

    The same icons give the same bytes.

    Raises:
        DiskFull, OutputFolder
    """
    weights = {}
    for kind, pictures in shown(icons).items():
        folder = out / kind
        folder.mkdir(parents=True, exist_ok=True)
        write_records(folder, (_record(p, folder) for p in pictures))
        weights[folder] = WEIGHTS[kind]
    with replacing(out / "policy.toml") as f:
        f.write(POLICY.encode())
    return weights


def _record(one: Shown, folder: Path) -> Record:
    """Draw one picture into ``folder``."""
    assert one.facts.ground is not None
    name = f"{one.name}.png"
    buffer = io.BytesIO()
    Image.fromarray(on_ground(one.rgba, GROUNDS[one.facts.ground][0])).save(buffer, "PNG", compress_level=4)
    path = folder / name
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        path.write_bytes(buffer.getvalue())
    rng = random.Random(f"3 {name}")
    texts = {
        lang: tuple(
            _caption(one.facts, lang, rng, noise=bool(one.things) and rng.random() < SHARE)
            for _ in range(CAPTIONS[folder.name])
        )
        for lang in LANGS
    }
    what = "" if folder.name in ("white", "coloured") else f", {folder.name}"
    if not one.things:
        return Record(
            file_name=name,
            text=texts["en"],
            text_ja=texts["ja"],
            license="Apache-2.0",
            license_url=ADDRESSES["Apache-2.0"],
            creator="CommonArt Desktop",
            title=f"nothing on {one.facts.ground}",
            sha256=sha256_of(path),
            evidence="filled by trainer.mini.export",
            caption_origin="machine:made-up words",
        )
    assert one.facts.style is not None
    of = STYLES[one.facts.style]
    return Record(
        file_name=name,
        text=texts["en"],
        text_ja=texts["ja"],
        license=of.license,
        license_url=ADDRESSES[of.license],
        creator=of.creator,
        title=f"{', '.join(t.en[0] for t in one.things)} ({of.key}{what})",
        source_url=of.source_url,
        modified=f"drawn at {len(one.rgba)} pixels on a {one.facts.ground} ground{what}",
        sha256=sha256_of(path),
        evidence=f"{of.package.name} {of.package.version}",
        caption_origin="machine:templates of names",
    )


def _caption(facts: Facts, lang: str, rng: random.Random, *, noise: bool) -> str:
    """A caption that may leave the style out, and a white ground mostly."""
    named = facts.ground != "white" or rng.random() < GROUND_ON_WHITE
    return caption(
        Facts(
            names=facts.names,
            style=facts.style if rng.random() < STYLED else None,
            ground=facts.ground if named else None,
            relation=facts.relation,
            count=facts.count,
            colour=facts.colour,
        ),
        lang,
        rng,
        noise=noise,
    )
