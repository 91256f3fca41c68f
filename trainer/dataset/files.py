"""Files of a dataset folder: read, hashed, and named so that every system can store them."""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase, system_words

CHUNK = 1 << 20
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}  # Windows' devices


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes, read in pieces. Raises BadFile."""
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as f:
            while piece := f.read(CHUNK):
                digest.update(piece)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    return digest.hexdigest()


def name_problem(name: str) -> Phrase | None:
    """Why ``name`` cannot be a ``file_name``, or None: a path inside the folder, with ``/`` between its parts."""
    if not name or len(name) > 1000:
        return Phrase("file_name is empty or too long")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return Phrase("file_name has control characters")
    parts = name.split("/")
    if "\\" in name or ":" in parts[0] or any(p in ("", ".", "..") for p in parts):
        return Phrase("file_name {name!r} is not a path inside the folder, written with /", name=name)
    return None


def safe_name(name: str, ending: str = "") -> str:
    """``name`` as a relative path that is valid on every system, including its folders.

    ``ending`` replaces its own.
    """
    parts = []
    for part in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"):
        part = re.sub(
            r'[<>:"|?*]', "_", "".join("_" if unicodedata.category(c) in ("Cc", "Cs") else c for c in part)
        ).strip(" ")
        if part in ("", ".", ".."):
            continue
        part = part.rstrip(". ") or "_"
        if part.split(".")[0].lower() in _RESERVED or part.startswith("."):
            part = "_" + part
        parts.append(part[:120] if len(part) <= 120 else part[:100] + part[-20:])
    result = "/".join(parts[-8:]) or "picture"
    if ending:
        head, slash, last = result.rpartition("/")
        result = f"{head}{slash}{last.rsplit('.', 1)[0] if '.' in last else last}{ending}"
    return result


def text_of(path: Path, encoding: str = "utf-8-sig", *, limit: int = CHUNK) -> str:
    """A small text file. Raises BadFile, NotUtf8."""
    try:
        with path.open("rb") as f:
            data = f.read(limit + 1)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    if len(data) > limit:
        raise BadFile(path=path, why=Phrase("it is larger than {limit} bytes", limit=limit))
    return decoded(data, path, encoding)


def decoded(data: bytes, path: Path, encoding: str = "utf-8-sig") -> str:
    """Bytes of ``path`` as text; a UTF-16 byte order mark counts more than ``encoding``.

    Raises:
        NotUtf8: with a guess at the encoding. BadFile: an unknown encoding.
    """
    from engine.contract.errors import NotUtf8

    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            pass  # not UTF-16 after all: use the requested encoding
    try:
        return data.decode(encoding)
    except LookupError as e:
        raise BadFile(path=path, why=Phrase("there is no encoding called {name!r}", name=encoding)) from e
    except UnicodeDecodeError as e:
        if encoding.replace("_", "-").lower() not in ("utf-8", "utf-8-sig"):
            raise BadFile(path=path, why=Phrase("it is not written in {name}", name=encoding)) from e
        raise NotUtf8(path=path, why=_looks_like(data)) from e


def _looks_like(data: bytes) -> Phrase:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Phrase("it is UTF-16")
    try:
        data.decode("cp932")
    except UnicodeDecodeError:
        return Phrase("some bytes in it are no text")
    return Phrase("it looks like Shift JIS (cp932)")


def load_json(text: str, *, keep_both: bool = False) -> Any:
    """JSON in which no object names a column twice, since one of the two values would be passed over.

    ``keep_both`` stores the second one under another name instead.

    Raises:
        ValueError: with a Phrase where a name is repeated. RecursionError
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name, value in pairs:
            if name in row and not keep_both:
                raise ValueError(Phrase("two columns have the same name"))
            row[name if name not in row else f"{name} ({len(row)})"] = value
        return row

    return json.loads(text, object_pairs_hook=once)
