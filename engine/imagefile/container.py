"""The parts of a PNG, WebP or JPEG file, read from their headers only: nothing is decoded, nothing large is read."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine.contract.errors import BadFile, Phrase

TEXT_LIMIT = 16 << 20  # bytes of one piece of text: a prompt has a few thousand
FILE_LIMIT = 1 << 30
PIXEL_LIMIT = 178_956_970  # Pillow's own limit against decompression bombs
PARTS_LIMIT = 200_000
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = {"tEXt", "zTXt", "iTXt", "eXIf", "iCCP", "EXIF", "XMP ", "ICCP", "caBX", "C2PA"}
_WEBP_PIXELS = {"VP8 ", "VP8L", "ALPH", "ANIM", "ANMF"}
_BARE = {0x01, *range(0xD0, 0xDA)}  # JPEG markers without a length


@dataclass(frozen=True)
class ContainerPart:
    """A chunk or segment: its name, and the offset and length of its data."""

    name: str
    start: int
    length: int


@dataclass
class ImageContainer:
    """``kind`` is png, webp or jpeg; ``signed`` whether it has a C2PA manifest; ``pixels`` the parts with the coded
    image.
    """

    kind: str
    parts: list[ContainerPart] = field(default_factory=list)
    pixels: list[ContainerPart] = field(default_factory=list)
    signed: bool = False
    width: int = 0
    height: int = 0


class _Cut(Exception):
    """The file ends before it should."""


def walk(file: BinaryIO, path: Path) -> ImageContainer:
    """Its parts in order.

    Raises:
        BadFile: another kind of file, one that ends too early, or one whose parts or image are too large to be read.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    if head.startswith(_PNG):
        found, look = ImageContainer("png"), _png
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        found, look = ImageContainer("webp"), _webp
    elif head.startswith(b"\xff\xd8\xff"):
        found, look = ImageContainer("jpeg"), _jpeg
    else:
        raise BadFile(path=path, why=Phrase("it is not a PNG, WebP or JPEG image"))
    if size > FILE_LIMIT:
        raise BadFile(path=path, why=Phrase("it has {size} MB, more than an image of this kind needs", size=size >> 20))
    try:
        look(file, found, path, size)
    except (_Cut, struct.error) as e:
        raise BadFile(path=path, why=Phrase("it is cut off: its end is missing")) from e
    if found.width * found.height > PIXEL_LIMIT:
        raise BadFile(
            path=path,
            why=Phrase(
                "its {width} x {height} pixels are more than this program unpacks",
                width=found.width,
                height=found.height,
            ),
        )
    return found


def _add(found: ImageContainer, part: ContainerPart, path: Path) -> None:
    if part.name in _TEXTS and part.length > TEXT_LIMIT:
        raise BadFile(path=path, why=Phrase("it holds {size} MB of text, which are not read", size=part.length >> 20))
    if len(found.parts) >= PARTS_LIMIT:
        raise BadFile(path=path, why=Phrase("it has more parts than an image needs"))
    found.parts.append(part)


def _png(file: BinaryIO, found: ImageContainer, path: Path, size: int) -> None:
    at = len(_PNG)
    while True:
        file.seek(at)
        length, name = struct.unpack(">I4s", file.read(8))
        part = ContainerPart(name.decode("latin-1"), at + 8, length)
        _add(found, part, path)
        if at + 12 + length > size:
            raise _Cut
        if part.name == "IHDR":
            found.width, found.height = struct.unpack(">II", file.read(8))
        if part.name == "caBX":
            found.signed = True
        elif name[:1].isupper() and part.name != "IEND":  # a critical chunk
            found.pixels.append(part)
        if part.name == "IEND":
            return
        at += 12 + length


def _webp(file: BinaryIO, found: ImageContainer, path: Path, size: int) -> None:
    file.seek(4)
    end = 8 + struct.unpack("<I", file.read(4))[0]
    at = 12
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        part = ContainerPart(name.decode("latin-1"), at + 8, length)
        _add(found, part, path)
        if at + 8 + length > size:
            raise _Cut
        if part.name in _WEBP_PIXELS:
            found.pixels.append(part)
            _webp_size(file.read(min(length, 16)), part.name, found)
        elif part.name == "VP8X":
            _webp_size(file.read(10), part.name, found)
        found.signed = found.signed or part.name == "C2PA"
        at += 8 + length + (length & 1)
    if end > size:
        raise _Cut


def _webp_size(data: bytes, name: str, found: ImageContainer) -> None:
    width = height = 0
    if name == "VP8X":
        width, height = 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    elif name == "VP8L":
        bits = int.from_bytes(data[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif name == "VP8 ":
        width, height = int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    found.width, found.height = max(found.width, width), max(found.height, height)


def _jpeg(file: BinaryIO, found: ImageContainer, path: Path, size: int) -> None:
    at = 2
    while True:
        file.seek(at)
        sign, marker = struct.unpack(">BB", file.read(2))
        if sign != 0xFF:
            raise BadFile(path=path, why=Phrase("it is not a whole PNG, WebP or JPEG image"))
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        length = struct.unpack(">H", file.read(2))[0] - 2
        part = ContainerPart(f"{marker:02X}", at + 4, length)
        _add(found, part, path)
        if length < 0 or at + 4 + length > size:
            raise _Cut
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            found.height, found.width = struct.unpack(">xHH", file.read(5))
        if marker == 0xEB and file.read(2) == b"JP":  # JUMBF, in which C2PA lies
            found.signed = True
        if marker == 0xDA:
            break
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            found.pixels.append(part)
        at += 4 + length
    # the coded image goes on to the end of the file; what stands between its scans belongs to it
    found.pixels.append(ContainerPart("DA", at + 4, size - at - 4))
    if not _has_end(file, at + 4, size):
        raise _Cut


def _has_end(file: BinaryIO, start: int, size: int) -> bool:
    """Whether JPEG's end marker, which coded data never hold, stands after ``start``: cameras append videos to it."""
    end = size
    while end > start + 1:
        begin = max(start, end - (1 << 20))
        file.seek(begin)
        if b"\xff\xd9" in file.read(end - begin):
            return True
        end = begin + 1 if begin > start else start
    return False


def image_sha256(file: BinaryIO, found: ImageContainer) -> str:
    """SHA-256 of the coded image, without metadata: names, lengths and bytes of the parts that decide it."""
    digest = hashlib.sha256()
    for part in found.pixels:
        digest.update(f"{part.name}{part.length};".encode("latin-1"))
        file.seek(part.start)
        left = part.length
        while left > 0:
            block = file.read(min(left, 1 << 20))
            if not block:
                break
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def without_metadata(file: BinaryIO, found: ImageContainer) -> bytes:
    """A PNG or WebP file of the coded image alone, byte for byte as it stands in ``file``."""
    body = bytearray()
    for part in found.pixels:
        file.seek(part.start - 8)  # name and length stand before the data; PNG's checksum and WebP's padding after it
        body += file.read(8 + part.length + (4 if found.kind == "png" else part.length & 1))
    if found.kind == "png":
        return _PNG + bytes(body) + b"\0\0\0\0IEND\xaeB`\x82"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + bytes(body)


def is_signed(path: Path) -> bool:
    """Whether the file carries a C2PA manifest, whatever it is worth."""
    try:
        with path.open("rb") as f:
            return walk(f, path).signed
    except (OSError, BadFile):
        return False
