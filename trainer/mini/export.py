"""The denoiser's pictures as dataset folders: every thing in every style on every ground, captions in both languages, licences."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.dataset.files import replacing, sha256_of
from trainer.dataset.records import Record, write_records
from trainer.mini.captions import caption
from trainer.mini.packages import STYLES
from trainer.mini.pictures import GROUNDS, Concept, concepts, on_ground

#: Of ten pictures that are shown about seven stand on white, what an unnamed ground means; the others share the rest.
PLAIN_SHARE = 0.7375
CAPTIONS = {"white": 12, "coloured": 4}  # a picture and language
STYLED, GROUND_ON_WHITE = 0.75, 0.1  # how often captions name the style, and a white ground
ADDRESSES = {"CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/", "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
             "MIT": "https://opensource.org/license/mit"}
#: Each thing is here many times on purpose, in four sets that draw alike.
POLICY = """name = "mini"
base = "commercial"

[rules]
near-duplicate = "allow"
near-duplicate-other-licence = "allow"
same-picture = "allow"
one-creator = "allow"
"""


def export(known: np.ndarray, out: Path) -> dict[Path, float]:
    """Write ``out/white``, ``out/coloured`` and ``out/policy.toml``; returns the folders with the weight of each picture in training.

    ``known`` is uint8 RGBA ``[things, styles, 64, 64, 4]``, the things those of ``concepts()``, in its order. The same pictures give the same bytes.

    Raises:
        DiskFull, OutputFolder
    """
    colours = len(GROUNDS) - 1
    weights = {out / "white": 1.0, out / "coloured": round((1 - PLAIN_SHARE) / colours / PLAIN_SHARE, 4)}
    for folder in weights:
        folder.mkdir(parents=True, exist_ok=True)
        grounds = [g for g in GROUNDS if (g == "white") == (folder.name == "white")]
        write_records(folder, (_record(rgba[style], folder, concept, style, ground)
                               for concept, rgba in zip(concepts(), known, strict=False) for style in range(len(STYLES)) for ground in grounds))
    with replacing(out / "policy.toml") as f:
        f.write(POLICY.encode())
    return weights


def _record(rgba: np.ndarray, folder: Path, concept: Concept, style: int, ground: str) -> Record:
    """Draw one picture into ``folder``."""
    of = STYLES[style]
    name = f"{concept.hex}-{of.key}-{ground}.png"
    buffer = io.BytesIO()
    Image.fromarray(on_ground(rgba, GROUNDS[ground][0])).save(buffer, "PNG")
    path = folder / name
    if not path.is_file() or path.read_bytes() != buffer.getvalue():
        path.write_bytes(buffer.getvalue())
    rng = random.Random(f"3 {name}")
    texts = {lang: tuple(_caption(concept, style, ground, lang, rng) for _ in range(CAPTIONS[folder.name])) for lang in ("en", "ja")}
    return Record(file_name=name, text=texts["en"], text_ja=texts["ja"], license=of.license, license_url=ADDRESSES[of.license], creator=of.creator,
                  title=f"{concept.en[0]} ({of.key})", source_url=of.source_url, modified=f"drawn at {len(rgba)} pixels on a {ground} ground",
                  sha256=sha256_of(path), evidence=f"{of.package.name} {of.package.version}", caption_origin="machine:templates of names")


def _caption(concept: Concept, style: int, ground: str, lang: str, rng: random.Random) -> str:
    named = ground != "white" or rng.random() < GROUND_ON_WHITE
    return caption(concept, style if rng.random() < STYLED else None, ground if named else None, lang, rng)
