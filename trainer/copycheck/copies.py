"""Exact and near copies by hashes: of the file, of its pixels, and perceptual ones, also of the mirror image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from engine.contract.errors import BadPicture, CommonArtError
from engine.contract.files import replacing
from engine.contract.paths import home
from engine.imagefile.image import pixel_sha256
from engine.system.json_program import phrase
from trainer.dataset.files import sha256_of
from trainer.dataset.images import load_rgb
from trainer.dataset.licence.perceptual_hash import COLOUR, DHASH_BITS, PHASH_BITS, PerceptualHash, perceptual_hash
from trainer.evaluation.store import file_key

_BLOCK = 256


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 of the file and of its upright RGB pixels with their size; perceptual hashes of image and mirror image."""

    sha256: str
    pixels: str
    look: PerceptualHash
    mirrored: PerceptualHash

    def packed(self) -> list[Any]:
        return [
            self.sha256,
            self.pixels,
            *[x for k in (self.look, self.mirrored) for x in (f"{k.phash:x}", f"{k.dhash:x}", k.colour.hex())],
        ]

    @classmethod
    def unpacked(cls, data: Sequence[str]) -> Fingerprint:
        a, b = (PerceptualHash(int(data[n], 16), int(data[n + 1], 16), bytes.fromhex(data[n + 2])) for n in (2, 5))
        return cls(data[0], data[1], a, b)


def fingerprint_of(path: Path) -> Fingerprint:
    """Raises BadPicture, BadFile."""
    image = load_rgb(path)
    pixels = np.asarray(image)
    return Fingerprint(
        sha256_of(path),
        f"{image.width}x{image.height}:{pixel_sha256(pixels)}",
        perceptual_hash(image),
        perceptual_hash(ImageOps.mirror(image)),
    )


def fingerprints_of(
    files: Sequence[Path], tick: Callable[[int], None], *, keep: bool
) -> tuple[dict[Path, Fingerprint], list[dict[str, Any]]]:
    """Fingerprints of every file that is an image, and the unreadable ones; ``keep`` caches them in the data folder."""
    folder = str(files[0].absolute().parent) if files else ""
    cache = (
        home()
        / "cache"
        / "copycheck"
        / f"{hashlib.sha256(folder.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.json"
    )
    cached = _read(cache) if keep else {}
    fingerprints: dict[Path, Fingerprint] = {}
    fresh: dict[str, Any] = {}
    skipped = []
    for file in files:
        key = file_key(file)
        try:
            if key in cached:
                fingerprints[file] = Fingerprint.unpacked(cached[key])
            else:
                fingerprints[file] = fingerprint_of(file)
            fresh[key] = fingerprints[file].packed()
        except (BadPicture, CommonArtError) as e:
            skipped.append({"file": str(file), "why": phrase(e.fields.get("why", str(e)))})
        except (ValueError, IndexError, TypeError):  # a damaged cache entry
            fingerprints[file] = fingerprint_of(file)
        tick(1)
    if keep and fresh.keys() - cached.keys():
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with replacing(cache) as f:
                f.write(json.dumps(fresh).encode())
        except (OSError, CommonArtError):
            pass  # with a full disk they are computed again next time
    return fingerprints, skipped


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return data if isinstance(data, dict) else {}
    except (OSError, ValueError):
        return {}


def copies(asked: dict[Path, Fingerprint], known: dict[Path, Fingerprint]) -> dict[Path, list[dict[str, Any]]]:
    """For every image in ``asked``, those in ``known`` of which it is a copy, the nearest kinds first.

    ``kind`` is file, pixels, near or mirrored. Near images are within the licence check's bounds for near-duplicates:
    recompressed and scaled images, not cropped ones. A file is no copy of itself.
    """
    by_file: dict[str, list[Path]] = {}
    by_pixels: dict[str, list[Path]] = {}
    for path, p in known.items():
        by_file.setdefault(p.sha256, []).append(path)
        by_pixels.setdefault(p.pixels, []).append(path)
    matches: dict[Path, list[dict[str, Any]]] = {}
    own = {p: p.resolve() for p in {*asked, *known}}
    for path, p in asked.items():
        rows = dict.fromkeys(by_file.get(p.sha256, []), "file")
        rows = dict.fromkeys(by_pixels.get(p.pixels, []), "pixels") | rows
        matches[path] = [{"file": k, "kind": kind} for k, kind in rows.items() if own[k] != own[path]]
    paths, others = list(asked), list(known)
    for kind in ("look", "mirrored"):
        looks = [getattr(asked[p], kind) for p in paths]
        for a, b, far in _cross(looks, [known[k].look for k in others]):
            path, k = paths[a], others[b]
            if own[k] != own[path] and all(row["file"] != k for row in matches[path]):
                matches[path].append({"file": k, "kind": "near" if kind == "look" else "mirrored"} | far)
    return matches


def _cross(asked: Sequence[PerceptualHash], known: Sequence[PerceptualHash]) -> list[tuple[int, int, dict[str, Any]]]:
    """Pairs within the bounds and their distances: bits of 64, bits of 64, mean of 255 levels."""
    if not asked or not known:
        return []
    phash, dhash = (np.array([getattr(k, n) for k in known], np.uint64) for n in ("phash", "dhash"))
    colour = np.frombuffer(b"".join(k.colour for k in known), np.uint8).reshape(len(known), -1)
    matches = []
    for start in range(0, len(asked), _BLOCK):
        some = asked[start : start + _BLOCK]
        p = np.bitwise_count(np.array([k.phash for k in some], np.uint64)[:, None] ^ phash[None])
        d = np.bitwise_count(np.array([k.dhash for k in some], np.uint64)[:, None] ^ dhash[None])
        for a, b in zip(*np.nonzero((p <= PHASH_BITS) & (d <= DHASH_BITS)), strict=True):
            far = float(np.abs(np.frombuffer(some[a].colour, np.uint8).astype(np.int16) - colour[b]).mean())
            if far <= COLOUR:
                matches.append(
                    (start + int(a), int(b), {"phash": int(p[a, b]), "dhash": int(d[a, b]), "colour": round(far, 2)})
                )
    return matches


def thumbnail(path: Path) -> Image.Image | None:
    """The image for a report, or None if it is gone."""
    try:
        return load_rgb(path)
    except (BadPicture, OSError):
        return None
