"""Strategies: real files with damage, and texts and JSON of the wrong kind."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

HUGE = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2 << 30,
    0x7FFFFFFFFFFFFFFF,
    0xFFFFFFFFFFFFFFFF,
)
NASTY = (
    "",
    " ",
    "\0",
    "\ufeff",
    "\ud800",
    "\u202e",
    "..",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "~/x",
    "con",
    "a" * 300,
    "{",
    "}",
    "{prompt}",
    "{0.__class__}",
    "%s%n",
    "__",
    "[[",
    "|",
    "\\",
    "\r\n",
    "'",
    '"',
    "<!ENTITY",
    "すし",
    "e\u0301",
    "NaN",
    "1e999",
    "-1",
    "9" * 400,
    "null",
    "💥" * 40,
)
texts: SearchStrategy[str] = st.one_of(
    st.sampled_from(NASTY), st.text(max_size=20), st.lists(st.sampled_from(NASTY), max_size=4).map("".join)
)
numbers: SearchStrategy[Any] = st.one_of(
    st.integers(), st.sampled_from(HUGE), st.sampled_from((-1, 0, 10**400)), st.floats()
)
values: SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def dumps(value: Any) -> bytes:
    """JSON as a hostile writer would: NaN, huge numbers and lone surrogates too."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: Any, originals: Sequence[bytes]) -> bytes:
    """One of the files with up to four wounds; each shrinks towards none."""
    data = bytearray(draw(st.sampled_from(list(originals))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(("flip", "number", "cut", "cut out", "twice", "strange", "swap", "text")))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            width = draw(st.sampled_from((1, 2, 4, 8)))
            value = draw(st.sampled_from(HUGE)) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, draw(st.sampled_from(("big", "little"))))
        elif kind == "cut":
            del data[at:]
        elif kind == "cut out":
            del data[at : at + draw(st.integers(1, 64))]
        elif kind == "twice":
            part = data[at : at + draw(st.integers(1, 400))]
            data[at:at] = part * draw(st.integers(1, 5))
        elif kind == "strange":
            part = draw(st.binary(max_size=24))
            data[at : at + len(part)] = part
        elif kind == "swap":
            other = draw(st.sampled_from(list(originals)))
            data[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            part = draw(st.sampled_from(NASTY)).encode("utf-8", "surrogatepass")
            data[at:at] = part
    return bytes(data)


@st.composite
def twisted(draw: Any, original: Any) -> Any:
    """JSON-like data with up to three places changed: another value, another name, a part gone."""
    data = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(0, 3))):
        places = [()]
        _walk(data, (), places)
        place = places[draw(st.integers(0, len(places) - 1))]
        if not place:
            if draw(st.integers(0, 9)) == 9:
                data = draw(values)
            continue
        owner = data
        for step in place[:-1]:
            owner = owner[step]
        last = place[-1]
        how = draw(st.sampled_from(("other", "gone", "name")))
        if how == "other":
            owner[last] = draw(values)
        elif how == "gone" or isinstance(owner, list):
            del owner[last]
        else:
            owner[draw(texts)] = owner.pop(last)
    return data


def _walk(data: Any, place: tuple[Any, ...], found: list[tuple[Any, ...]]) -> None:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inner:
        found.append((*place, key))
        _walk(value, (*place, key), found)


@st.composite
def lines(draw: Any, row: Any, most: int = 4) -> bytes:
    """JSON lines of twisted rows, now and then with a line that is none."""
    made = [
        draw(st.one_of(twisted(row).map(dumps), twisted(row).map(dumps), damaged([dumps(row)])))
        for _ in range(draw(st.integers(0, most)))
    ]
    return b"\n".join(made) + draw(st.sampled_from((b"\n", b"", b"\r\n")))


# PNG --------------------------------------------------------------------------------------------------------------


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """(name, body) of a whole PNG."""
    at, found = 8, []
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        found.append((name, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    """With its right checksum, and any length that it claims."""
    return (
        struct.pack(">I", len(body) if length is None else length)
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
    )


_BOMB = zlib.compress(bytes(24 << 20), 9)
_TEXTS = (
    chunk(b"iTXt", b"commonart\0\1\0\0\0" + _BOMB),
    chunk(b"zTXt", b"parameters\0\0" + _BOMB),
    chunk(b"iTXt", b"commonart\0\1\0\0\0no zlib"),
    chunk(b"tEXt", b"parameters", 0x7FFFFFFF),
    chunk(b"iTXt", b"commonart\0\0\0\0\0{}", 2 << 30),
    chunk(b"caBX", b"", 0xFFFFFFF0),
    chunk(b"iCCP", b"x\0\0" + _BOMB),
    chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"),
    chunk(b"tEXt", b""),
    chunk(b"iTXt", b"commonart\0\0\0\0\0" + b"[" * 100_000),
    chunk(
        b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + b"<a>" * 50_000 + b"</x:xmpmeta>"
    ),
    chunk(
        b"iTXt",
        b'XML:com.adobe.xmp\0\0\0\0\0<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x:xmpmeta>&b;</x:xmpmeta>',
    ),
    chunk(b"acTL", struct.pack(">II", 0x7FFFFFFF, 0)),
    chunk(b"IHDR", struct.pack(">IIBBBBB", 0x7FFFFFFF, 0x7FFFFFFF, 8, 2, 0, 0, 0)),
)


@st.composite
def pngs(draw: Any, originals: Sequence[bytes], recipe: Any) -> bytes:
    """PNGs whose chunks are whole and wrong: moved, doubled, swapped for bombs, or with twisted recipes in them."""
    parts = [chunk(n, b) for n, b in chunks_of(draw(st.sampled_from(list(originals))))]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(parts)))
        kind = draw(st.sampled_from(("text", "recipe", "twice", "gone", "cut")))
        if kind == "text":
            parts.insert(at, draw(st.sampled_from(_TEXTS)))
        elif kind == "recipe":
            body = dumps(draw(twisted(recipe)))
            parts.insert(min(at, 1), chunk(b"iTXt", b"commonart\0\0\0\0\0" + body))
        elif kind == "twice" and parts:
            parts.insert(at, draw(st.sampled_from(parts)))
        elif kind == "gone" and parts:
            del parts[at - 1]
        elif kind == "cut" and parts:
            parts[at - 1] = parts[at - 1][: draw(st.integers(0, 40))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
