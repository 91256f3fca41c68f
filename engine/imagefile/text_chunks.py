"""The texts in an image of any tool, read within limits and without decoding the image. Untrusted data."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image

from engine.contract.exif_comment import decode_comment
from engine.contract.image_parameters import TOOLS
from engine.imagefile.container import TEXT_LIMIT, ContainerPart, ImageContainer
from engine.imagefile.xmp import PNG_KEY, read_packet

KEY, PARAMETERS = "commonart", "parameters"
SHOWN = 20_000  # characters of another tool's text that are passed on
_JPEG_XMP, _JPEG_EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
_DESCRIPTION, _MAKE, _MODEL = 0x010E, 0x010F, 0x0110  # in which some programs put their texts


@dataclass
class TextChunks:
    """``plain`` by key, as PNG has it; ``xmp`` the known fields of the packet."""

    plain: dict[str, str] = field(default_factory=dict)
    xmp: dict[str, str] = field(default_factory=dict)

    @property
    def tool(self) -> str:
        """commonart, InvokeAI, ComfyUI, A1111, or empty."""
        return next((tool for tool, keys in TOOLS if any(self.plain.get(k) for k in keys)), "")

    def shown(self) -> dict[str, str]:
        """Texts of other tools, cut to what a person reads."""
        keys = {k for _, keys in TOOLS[1:] for k in keys}
        return {k: v[:SHOWN] for k, v in self.plain.items() if k in keys and v}


def read_texts(file: BinaryIO, found: ImageContainer) -> TextChunks:
    """The texts of the file that ``walk`` has looked over."""
    texts, room, exif = TextChunks(), 4 * TEXT_LIMIT, b""
    for part in found.parts:
        if (
            (found.kind == "jpeg" and part.name != "E1")
            or (found.kind == "png" and part.name not in ("tEXt", "zTXt", "iTXt", "eXIf"))
            or (found.kind == "webp" and part.name not in ("EXIF", "XMP "))
            or part.length > room
        ):
            continue
        room -= part.length
        file.seek(part.start)
        data = file.read(part.length)
        if part.name in ("EXIF", "eXIf"):
            exif = exif or data
        elif found.kind == "png":
            _png(part, data, texts)
        elif part.name == "XMP " or data.startswith(_JPEG_XMP):
            _packet(data.removeprefix(_JPEG_XMP), texts)
        elif data.startswith(_JPEG_EXIF):
            exif = exif or data
    if exif:
        _exif(exif, texts)
    return texts


def _png(part: ContainerPart, data: bytes, texts: TextChunks) -> None:
    key, _, rest = data.partition(b"\0")
    try:
        if part.name == "tEXt":
            value = rest.decode("latin-1")
        elif part.name == "zTXt":
            value = _inflated(rest[1:]).decode("latin-1")
        else:
            packed, _, rest = rest[:1], rest[1:2], rest[2:]
            _, _, rest = rest.partition(b"\0")
            _, _, rest = rest.partition(b"\0")
            value = (_inflated(rest) if packed == b"\1" else rest).decode("utf-8")
    except (ValueError, zlib.error):
        return
    name = key.decode("latin-1")
    if name == PNG_KEY:
        texts.xmp |= read_packet(value)
    else:
        texts.plain.setdefault(name, value)


def _inflated(data: bytes) -> bytes:
    inflate = zlib.decompressobj()
    out = inflate.decompress(data, TEXT_LIMIT)
    if inflate.unconsumed_tail:
        raise ValueError("too long")
    return out


def _packet(data: bytes, texts: TextChunks) -> None:
    texts.xmp |= read_packet(data)
    if texts.xmp.get("recipe"):
        texts.plain.setdefault(KEY, texts.xmp["recipe"])


def _exif(data: bytes, texts: TextChunks) -> None:
    exif = Image.Exif()
    try:
        exif.load(data)
        comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
        others = [exif.get(tag, "") for tag in (_DESCRIPTION, _MAKE, _MODEL)]
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return
    if isinstance(comment, str):  # written as text instead of bytes of unknown kind
        comment = comment.encode("latin-1", "replace")
    text = decode_comment(comment) if isinstance(comment, bytes) else ""
    if text:
        texts.plain.setdefault(PARAMETERS, text)
    for value in others:
        key, colon, graph = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and key.lower() in ("prompt", "workflow") and graph.lstrip().startswith("{"):  # ComfyUI
            texts.plain.setdefault(key.lower(), graph)
        elif isinstance(value, str) and "\nSteps: " in value:
            texts.plain.setdefault(PARAMETERS, value)
