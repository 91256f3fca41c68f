"""Embedding text in a finished image file: chunks of a PNG or WebP, segments of a JPEG.

The coded image does not change.

An image is compressed once; its recipe and label are embedded here afterwards. The bytes are those that
Pillow writes when it is given both together.
Formats: PNG third edition 11.3.3, the WebP container specification (VP8X), Exif 2.3 and XMP part 3 for JPEG's APP1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

_HEAD = 8 + 25  # bytes of a PNG's signature and its first chunk
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF = b"Exif\0\0"


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(data: bytes, texts: Sequence[tuple[str, str, bool]]) -> bytes:
    """``data`` with texts (key, text, whether it must be iTXt; else tEXt, in Latin-1) before its pixels."""
    made = [data[:_HEAD]]
    for key, text, wide in texts:
        if wide:
            made.append(_chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")))
        else:
            made.append(_chunk(b"tEXt", key.encode("latin-1") + b"\0" + text.encode("latin-1")))
    return b"".join([*made, data[_HEAD:]])


def webp(data: bytes, width: int, height: int, exif: bytes, xmp: bytes) -> bytes:
    """A lossless WebP of opaque pixels with its metadata; sizes in pixels."""

    def part(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)

    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = (
        b"WEBP"
        + part(b"VP8X", bytes([0x0C, 0, 0, 0]) + sides)
        + data[12:]
        + part(b"EXIF", exif.removeprefix(_EXIF))
        + part(b"XMP ", xmp)
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    """A JPEG with its Exif and XMP segments after the JFIF one. Each must fit into a segment."""
    at = 4 + struct.unpack(">H", data[4:6])[0]  # after SOI and APP0
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in (exif, _XMP + xmp))
    return data[:at] + segments + data[at:]
