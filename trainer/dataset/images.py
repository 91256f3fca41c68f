"""Opens untrusted images as upright sRGB, with limits on formats and size.

Used by the gate, the trainer and the copy check.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import (
    AvifImagePlugin,  # noqa: F401
    Image,
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
    features,
)

from engine.contract.errors import BadPicture, Phrase, system_words
from engine.imagefile.color import to_srgb

# Pillow's name of a format -> endings of its files, the usual one first; Pillow's other readers are never offered a
# file
KINDS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),  # a camera's JPEG with further images behind the first
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
_MISSING = () if features.check("avif") else ("AVIF",)
FORMATS = tuple(k for k in KINDS if k not in ("MPO", *_MISSING))  # Pillow opens an MPO as a JPEG, then calls it so
ENDINGS = tuple(dict.fromkeys(e for kind, endings in KINDS.items() if kind not in _MISSING for e in endings))
# images by their ending that nothing here reads
OTHERS = (
    ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".tga", ".ico", ".svg", ".eps", ".apng", ".exr", ".hdr",
    ".dng", ".cr2",
    ".nef", ".arw", ".raw", ".avif", ".qoi", ".pcx", ".ppm", ".pgm", ".pbm", ".icns", ".xcf", ".ai", ".cur",
)  # fmt: skip
FIRST_FRAME = ("GIF", "MPO", "TIFF")  # only the first of several images is used
MAX_PIXELS = 80_000_000
_TROUBLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    struct.error,
    zlib.error,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # our own limit is lower and raises an error


def is_image_name(name: str) -> bool:
    """Whether a dataset may contain the file, by its ending."""
    return name.lower().endswith(ENDINGS)


# the text of a PNG may be as large as all its texts together: ComfyUI's workflows pass Pillow's 1 MB
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextlib.contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image and check its header, without decoding the pixels.

    ``data`` are its bytes where it is not a file.

    Raises:
        BadPicture: also for what goes wrong while decoding inside the block.
    """
    try:
        with Image.open(path if data is None else io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BadPicture(
                    path=path,
                    why=Phrase(
                        "it has {width} x {height} pixels, more than {limit} in all",
                        width=width,
                        height=height,
                        limit=MAX_PIXELS,
                    ),
                )
            if getattr(image, "is_animated", False) and image.format not in FIRST_FRAME:
                raise BadPicture(
                    path=path,
                    why=Phrase(
                        "it is animated ({frames} frames); save one of them as an image",
                        frames=getattr(image, "n_frames", 0),
                    ),
                )
            yield image
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise BadPicture(path=path, why=Phrase("it has more than {limit} pixels", limit=MAX_PIXELS)) from e
    except FileNotFoundError as e:
        raise BadPicture(path=path, why=Phrase("there is no such file")) from e
    except UnidentifiedImageError as e:
        raise BadPicture(
            path=path,
            why=Phrase("it is no image of a format that is read here (PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP)"),
        ) from e
    except OSError as e:
        why = system_words(e) if e.errno else Phrase("it is damaged or cut off")
        raise BadPicture(path=path, why=why) from e
    except _TROUBLE as e:
        raise BadPicture(path=path, why=Phrase("it is damaged or cut off")) from e


def orientation(image: Image.Image) -> int:
    """EXIF's 1 to 8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _TROUBLE:
        return 1
    return value if value in _TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit sRGB: by its ICC profile, 16-bit scaled, CMYK converted, transparency over white."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own convert would clip at 255
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(np.nan_to_num(np.asarray(image)).clip(0, 255).astype(np.uint8)).convert("RGB")
    image = to_srgb(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        over = image.convert("RGBA")
        ground = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, over).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def load_rgb(path: Path) -> Image.Image:
    """Load an image as upright 8-bit sRGB at full size.

    Raises:
        BadPicture: damaged, animated, too large, or in another format.
    """
    with opened(path) as image:
        image.load()
        converted = rgb(upright(image))
        return converted.copy() if converted is image else converted


def load_small(path: Path, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """A reduced RGB image of at least ``side`` pixels where the file has them, and the upright full size.

    JPEGs are decoded scaled down.

    Raises:
        BadPicture
    """
    with opened(path) as image:
        width, height = image.size
        full = (height, width) if orientation(image) in (5, 6, 7, 8) else (width, height)
        if image.format == "JPEG":
            image.draft("RGB" if image.mode == "RGB" else None, (side, side))
        image.load()
        if min(image.size) > 4 * side and image.mode in ("RGB", "L"):
            image = image.reduce(min(image.size) // (2 * side))  # box filter: quick, and exact enough for what follows
        converted = rgb(upright(image))
        return (converted.copy() if converted is image else converted), full
