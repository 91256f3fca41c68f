"""The texts in a picture of any tool, read within limits and without decoding the picture. Data only: nothing in them is obeyed."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import Image

from engine.imagefile.container import TEXT_LIMIT, ContainerPart, ImageContainer
from engine.imagefile.xmp import PNG_KEY, read_packet

KEY, PARAMETERS = "commonart", "parameters"
SHOWN = 20_000  # characters of another tool's text that are passed on
_JPEG_XMP, _JPEG_EXIF = b"http://ns.adobe.com/xap/1.0/\0", b"Exif\0\0"
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
#: which text tells which tool; A1111's is also written by many others
_TOOLS = (
    ("commonart", (KEY,)),
    ("InvokeAI", ("invokeai_metadata", "invokeai_graph", "sd-metadata", "Dream")),
    ("ComfyUI", ("workflow", "prompt")),
    ("A1111", (PARAMETERS,)),
)


@dataclass
class TextChunks:
    """``plain`` by key, as PNG has it; ``xmp`` the known fields of the packet."""

    plain: dict[str, str] = field(default_factory=dict)
    xmp: dict[str, str] = field(default_factory=dict)

    @property
    def tool(self) -> str:
        """commonart, InvokeAI, ComfyUI, A1111, or empty."""
        return next((tool for tool, keys in _TOOLS if any(self.plain.get(k) for k in keys)), "")

    def shown(self) -> dict[str, str]:
        """Texts of other tools, cut to what a person reads."""
        keys = {k for _, keys in _TOOLS[1:] for k in keys}
        return {k: v[:SHOWN] for k, v in self.plain.items() if k in keys and v}


def read_texts(file: BinaryIO, found: ImageContainer) -> TextChunks:
    """The texts of the file that ``walk`` has looked over."""
    texts, room = TextChunks(), 4 * TEXT_LIMIT
    for part in found.parts:
        if (
            (found.kind == "jpeg" and part.name != "E1")
            or (found.kind == "png" and part.name not in ("tEXt", "zTXt", "iTXt"))
            or (found.kind == "webp" and part.name not in ("EXIF", "XMP "))
            or part.length > room
        ):
            continue
        room -= part.length
        file.seek(part.start)
        data = file.read(part.length)
        if found.kind == "png":
            _png(part, data, texts)
        elif part.name == "XMP " or data.startswith(_JPEG_XMP):
            _packet(data.removeprefix(_JPEG_XMP), texts)
        elif part.name == "EXIF" or data.startswith(_JPEG_EXIF):
            _exif(data, texts)
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
        raw = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error):
        return
    if isinstance(raw, bytes) and raw.startswith(b"UNICODE\0"):
        text = raw[8:]  # A1111 and we write big-endian; others do not
        texts.plain.setdefault(PARAMETERS, text.decode("utf-16-le" if text[1:2] == b"\0" else "utf-16-be", "replace"))
    elif isinstance(raw, bytes) and raw.startswith(b"ASCII\0\0\0"):
        texts.plain.setdefault(PARAMETERS, raw[8:].decode("latin-1"))
