"""How a text file that a person wrote is encoded; the same rules for prompt files and wildcard files.

A byte order mark is certain. Without one, a first line ``# coding: cp932`` names the encoding; else it is UTF-8, and
bytes that are not UTF-8 are refused, unless the user says on the command line what they are.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from engine.contract.errors import BadFile, BadValue, Phrase

NAMES = "utf-8, cp932, shift_jis"
CODING_LINE = re.compile(r"#[ \t]*(?:-\*-[ \t]*)?coding[ \t]*[:=][ \t]*([-\w.]+)")
_CODECS = {
    "utf8": "utf-8-sig",
    "utf8sig": "utf-8-sig",
    # What is called Shift JIS is nearly always Microsoft's wider form of it.
    **dict.fromkeys(("cp932", "ms932", "windows31j", "sjis", "shiftjis"), "cp932"),
}


def codec_of(name: str) -> str:
    """Python's name of the encoding that the user calls ``name``.

    Raises:
        BadValue: it is none of those known.
    """
    codec = _codec(name)
    if codec is None:
        raise BadValue(
            name="encoding",
            value=name,
            why=Phrase("choose one of {known}; UTF-16 is known by its byte order mark", known=NAMES),
        )
    return codec


def _codec(name: str) -> str | None:
    return _CODECS.get(re.sub(r"[-_\s]", "", name.lower()))


def byte_order_mark(head: bytes) -> str | None:
    """The codec that a byte order mark at the start of ``head`` names."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else None


def coding_line(head: bytes, path: Path) -> str | None:
    """The codec that a first line ``# coding: NAME`` names.

    Raises:
        BadFile: it names an encoding that is not known.
    """
    match = CODING_LINE.match(head[:200].decode("latin-1"))
    if match is None:
        return None
    codec = _codec(match[1])
    if codec is None:
        raise BadFile(
            path=str(path),
            why=Phrase("its first line names the unknown coding {name}; known are {known}", name=match[1], known=NAMES),
        )
    return codec


def not_utf8(path: Path, line: int) -> BadFile:
    """The error of a file with bytes that are not UTF-8 in ``line`` (1-based), and what to do about it."""
    return BadFile(
        path=str(path),
        why=Phrase(
            "line {line} is not valid UTF-8; if it is Shift JIS (cp932), say so with `# coding: cp932` in the "
            "first line or with --encoding cp932",
            line=line,
        ),
    )


def decode(data: bytes, path: Path, encoding: str | None = None) -> str:
    """A whole file as text, without its byte order mark. ``encoding`` is for a file that is not UTF-8.

    Raises:
        BadFile: it is not in the encoding that it names, or names none and is neither UTF-8 nor ``encoding``.
        BadValue: an unknown ``encoding``.
    """
    codec = byte_order_mark(data) or coding_line(data, path)
    if codec is None:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            codec = codec_of(encoding) if encoding is not None else "utf-8-sig"
            if codec == "utf-8-sig":
                raise not_utf8(path, _line_of(data, error.start)) from None
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        why = (
            Phrase("line {line} is not valid UTF-8", line=line)
            if codec == "utf-8-sig"
            else Phrase("it is not valid UTF-16")
            if codec == "utf-16"
            else Phrase("line {line} is not valid {encoding}", line=line, encoding=codec)
        )
        raise BadFile(path=str(path), why=why) from None


def _line_of(data: bytes, at: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:at])) + 1
