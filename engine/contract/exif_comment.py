"""EXIF's UserComment, in which files other than PNG keep the text of a generator: every way in which it is written."""

from __future__ import annotations

import re

_CODES = (b"ASCII\0\0\0", b"UNICODE\0", b"JIS\0\0\0\0\0", b"\0\0\0\0\0\0\0\0")
_ASCII_KANA = re.compile(rb"(?:0[\x00-\xff])+|(?:[\x00-\xff]0)+")  # U+30xx in either byte order


def decode_comment(raw: bytes) -> str:
    """The text of a UserComment: eight bytes that name the character code, then the text.

    The code is often wrong: "UNICODE" stands before UTF-16 of either byte order, whatever that of the file, and before
    UTF-8; "ASCII" before UTF-8; and programs leave it undefined or out. So UTF-16 is known by its zero bytes.
    """
    code = raw[:8] if raw.startswith(_CODES) else b""
    data = raw[len(code) :]
    if code.startswith(b"JIS"):
        return _jis(data)
    return _unicode(data).rstrip("\0")


def _unicode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data[: len(data) & ~1].decode("utf-16", "replace")
    body = data.rstrip(b"\0")
    if b"\0" in body:
        body = data[: len(body) + len(body) % 2]  # with the zero that is half of the last character
        return body.decode("utf-16-be" if body[::2].count(0) >= body[1::2].count(0) else "utf-16-le", "replace")
    kana_only = len(body) > 2 and len(body) % 2 == 0 and _ASCII_KANA.fullmatch(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and not kana_only:
        return text
    if text or not body.isascii():
        return _japanese(body)
    return text


def _japanese(body: bytes) -> str:
    """Bytes without a zero that are not UTF-8: the reading in which most letters are common in Japanese text."""
    readings = [body.decode(name, "replace") for name in ("utf-16-be", "utf-16-le", "cp932", "latin-1")]

    def common(text: str) -> float:
        return sum("\u3000" <= c <= "\u30ff" or c.isascii() or "\uff01" <= c <= "\uff9f" for c in text) / len(text)

    return max(readings, key=lambda text: common(text) - 4 * text.count("\ufffd") / len(text))


def _jis(data: bytes) -> str:
    body = data.rstrip(b"\0")
    if b"\x1b" not in body and not body.isascii():
        return body.decode("cp932", "replace")
    if b"\x1b" not in body:  # JIS X 0208 without the escape sequence that begins it
        try:
            return (b"\x1b$B" + body).decode("iso2022_jp")
        except UnicodeDecodeError:
            return body.decode("ascii", "replace")
    return body.decode("iso2022_jp", "replace")
