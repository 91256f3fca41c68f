"""Images as PNG, WebP and JPEG with an embedded recipe, and reading it back."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from engine.contract.errors import BadFile, BadValue, NoRecipe, Phrase, system_words
from engine.contract.recipe import parameters
from engine.imagefile import embed_metadata
from engine.imagefile.color import to_srgb
from engine.imagefile.container import TEXT_LIMIT, walk
from engine.imagefile.text_chunks import KEY, PARAMETERS, TextChunks, read_texts
from engine.imagefile.xmp import PNG_KEY, AiLabel, fitting, packet

ENDINGS = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}
_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
# the text of a PNG may be as large as all its texts together: ComfyUI's workflows pass Pillow's 1 MB
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
_JPEG_SEGMENT = 65_000  # bytes a JPEG segment holds, less what stands at its head
FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow's other readers are never offered a file
#: what Pillow raises for files that are damaged or malicious
_TROUBLE = (
    OSError,
    ValueError,
    SyntaxError,
    AssertionError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def pixel_sha256(pixels: np.ndarray[Any, Any]) -> str:
    """SHA-256 of the RGB bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def encode_image(pixels: np.ndarray[Any, Any], kind: str) -> bytes:
    """uint8 RGB ``[height, width, 3]`` as a bare file without any text. PNG and WebP are lossless."""
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == "png":
        image.save(out, "PNG", compress_level=3)
    elif kind == "webp":
        image.save(out, "WEBP", lossless=True, method=0, exact=True)
    else:
        image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def with_metadata(
    coded: bytes, kind: str, width: int, height: int, recipe: dict[str, Any], label: AiLabel | None = None
) -> bytes:
    """The output of ``encode_image`` with the recipe embedded. ``label`` is the content of the XMP packet.

    Raises:
        BadValue: the recipe is too long for a JPEG.
    """
    text, packed = parameters(recipe), json.dumps(recipe, ensure_ascii=False)
    if kind == "png":
        texts = [("parameters", text, not text.isascii()), (KEY, packed, True)]
        return embed_metadata.png(coded, texts if label is None else [*texts, (PNG_KEY, packet("", label), True)])
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    xmp = fitting(packed, label, _JPEG_SEGMENT if kind == "jpeg" else TEXT_LIMIT)
    if kind == "webp":
        return embed_metadata.webp(coded, width, height, exif.tobytes(), xmp)
    if max(len(xmp), len(exif.tobytes())) > _JPEG_SEGMENT:
        raise BadValue(
            name="format", value="jpeg", why=Phrase("the prompt is too long for a JPEG's metadata; use png or webp")
        )
    return embed_metadata.jpeg(coded, exif.tobytes(), xmp)


def to_bytes(pixels: np.ndarray[Any, Any], kind: str, recipe: dict[str, Any], label: AiLabel | None = None) -> bytes:
    """The whole file from uint8 RGB ``[height, width, 3]``: ``encode_image``, ``with_metadata``.

    Raises:
        BadValue: see ``with_metadata``.
    """
    height, width = pixels.shape[:2]
    return with_metadata(encode_image(pixels, kind), kind, width, height, recipe, label)


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=FORMATS)
    except FileNotFoundError as e:
        raise BadFile(path=path, why=Phrase("there is no such file")) from e
    except _TROUBLE as e:
        raise BadFile(path=path, why=Phrase("it is not a whole PNG, WebP or JPEG image")) from e


def read_image_texts(path: Path) -> TextChunks:
    """The texts in an image of any program: data only, nothing in them is trusted.

    Raises:
        BadFile: not an image, or one that is cut off.
    """
    try:
        with path.open("rb") as file:
            return read_texts(file, walk(file, path))
    except FileNotFoundError as e:
        raise BadFile(path=path, why=Phrase("there is no such file")) from e
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe inside an image of ours. Data only: nothing in it is trusted.

    Raises:
        BadFile: not an image. NoRecipe: none inside, or one that is not JSON.
    """
    try:
        recipe = json.loads(read_image_texts(path).plain.get(KEY, ""))
    except (ValueError, RecursionError) as e:
        raise NoRecipe(path=path) from e
    if not isinstance(recipe, dict) or "request" not in recipe:
        raise NoRecipe(path=path)
    return recipe


def read_parameters(path: Path) -> str:
    """The A1111-style ``parameters`` text of any program's image, or an empty string.

    Raises:
        BadFile: not an image.
    """
    return read_image_texts(path).plain.get(PARAMETERS, "")[:100_000]


def decode(coded: bytes) -> np.ndarray[Any, Any]:
    """The pixels of what ``encode_image`` made: uint8 RGB ``[height, width, 3]``."""
    with Image.open(io.BytesIO(coded), formats=FORMATS) as image:
        return np.asarray(image.convert("RGB"))


def read_pixels(path: Path) -> np.ndarray[Any, Any]:
    """uint8 RGB ``[height, width, 3]``. Raises BadFile."""
    with _open(path) as image:
        try:
            return np.asarray(image.convert("RGB"))
        except _TROUBLE as e:
            raise BadFile(path=path, why=Phrase("it is not a whole PNG, WebP or JPEG image")) from e


def read_shown(path: Path) -> Image.Image:
    """RGB as a viewer shows it: upright by its EXIF, colours by its ICC profile. Raises BadFile."""
    with _open(path) as image:
        try:
            image.load()
            return to_srgb(ImageOps.exif_transpose(image)).convert("RGB")
        except _TROUBLE as e:
            raise BadFile(path=path, why=Phrase("it is not a whole PNG, WebP or JPEG image")) from e
