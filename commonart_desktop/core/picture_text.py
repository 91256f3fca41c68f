"""The texts in an image file: our recipe and other tools' ``parameters``, read without decoding pixels.

Only the standard library, so that a window can scan 50,000 files. Nothing that is read is trusted: sizes are
capped, broken files give empty texts, and the recipe is checked to be an object with a request.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.contract.exif_comment import decode_comment

ENDINGS = (".png", ".webp", ".jpg", ".jpeg")
MAX_TEXT = 1_000_000  # bytes of one text inside a file
_MAX_CHUNKS = 50_000
_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_RECIPE = re.compile(r"<ca:recipe>(.*?)</ca:recipe>", re.S)


@dataclass(frozen=True)
class ImageText:
    """``recipe`` is JSON text or empty; ``parameters`` is as A1111 and its readers write it, or empty."""

    recipe: str = ""
    parameters: str = ""


def read_text(path: Path) -> ImageText:
    """The texts in a PNG, WebP or JPEG; empty for anything else, and for a file that cannot be read."""
    try:
        with path.open("rb") as f:
            head = f.read(12)
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                f.seek(8)
                return _png(f)
            if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
                return _webp(f)
            if head[:3] == b"\xff\xd8\xff":
                f.seek(2)
                return _jpeg(f)
    except (OSError, ValueError, struct.error, zlib.error):
        pass  # a broken file has no texts; the viewer reports that it is broken
    return ImageText()


def recipe_of(text: str) -> dict[str, Any] | None:
    """The recipe as an object, or None if it is not one."""
    try:
        recipe = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) and isinstance(recipe.get("request"), dict) else None


def _png(f: IO[bytes]) -> ImageText:
    found: dict[str, str] = {}
    for _ in range(_MAX_CHUNKS):
        head = f.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        size, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"iTXt", b"zTXt") and size <= MAX_TEXT:
            key, text = _png_text(kind, f.read(size))
            if key in ("commonart", "parameters"):
                found.setdefault(key, text)
            f.seek(4, 1)
        else:
            f.seek(size + 4, 1)
    return ImageText(found.get("commonart", ""), found.get("parameters", ""))


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MAX_TEXT)  # limits decompression bombs


def _png_text(kind: bytes, data: bytes) -> tuple[str, str]:
    key, _, rest = data.partition(b"\0")
    name = key.decode("latin-1")
    if kind == b"tEXt":
        return name, rest.decode("latin-1")
    if kind == b"zTXt":
        return name, _inflate(rest[1:]).decode("latin-1")
    packed = rest[:1] == b"\1"
    text = rest[2:].split(b"\0", 2)[-1]  # after the language and the translated key
    return name, (_inflate(text) if packed else text).decode("utf-8", "replace")


def _webp(f: IO[bytes]) -> ImageText:
    xmp = exif = b""
    for _ in range(_MAX_CHUNKS):
        head = f.read(8)
        if len(head) < 8:
            break
        kind, size = struct.unpack("<4sI", head)
        if kind in (b"XMP ", b"EXIF") and size <= MAX_TEXT:
            data = f.read(size)
            f.seek(size & 1, 1)
            if kind == b"XMP ":
                xmp = data
            else:
                exif = data
        else:
            f.seek(size + (size & 1), 1)
    return ImageText(_xmp_recipe(xmp), _exif_comment(exif.removeprefix(b"Exif\0\0")))


def _jpeg(f: IO[bytes]) -> ImageText:
    xmp = exif = b""
    for _ in range(1000):
        head = f.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):  # the pixels begin, or the end
            break
        size = struct.unpack(">H", head[2:])[0] - 2
        if head[1] == 0xE1:
            data = f.read(size)
            if data.startswith(_XMP_HEAD):
                xmp = data[len(_XMP_HEAD) :]
            elif data.startswith(b"Exif\0\0"):
                exif = data[6:]
        else:
            f.seek(max(0, size), 1)
    return ImageText(_xmp_recipe(xmp), _exif_comment(exif))


def _xmp_recipe(xmp: bytes) -> str:
    found = _RECIPE.search(xmp.decode("utf-8", "replace"))
    return found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") if found else ""


def _exif_comment(tiff: bytes) -> str:
    """The EXIF user comment, where formats other than PNG store ``parameters``."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return ""

    def entry(at: int, wanted: int) -> tuple[int, int]:
        """(count, value or offset) of a tag in the directory at ``at``."""
        for i in range(min(struct.unpack_from(order + "H", tiff, at)[0], 200)):
            tag, _, count, value = struct.unpack_from(order + "HHII", tiff, at + 2 + 12 * i)
            if tag == wanted:
                return count, value
        return 0, 0

    _, ifd = entry(struct.unpack_from(order + "I", tiff, 4)[0], 0x8769)
    count, at = entry(ifd, 0x9286) if ifd else (0, 0)
    return decode_comment(tiff[at : at + min(count, MAX_TEXT)]) if count > 8 else ""
