"""What an image file carries beside its pixels (texts, EXIF, IPTC, XMP, C2PA), and what that states of a licence."""

from __future__ import annotations

import json
import mmap
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

from PIL import Image, IptcImagePlugin

from engine.contract.exif_comment import decode_comment
from trainer.dataset.evidence.columns import speaks_of_licence, statements_of
from trainer.dataset.evidence.statement import Statement, mentioned, rights, statement

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_XMP = 2_000_000  # bytes
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_CC = "http://creativecommons.org/ns#"
_RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
_DC = "http://purl.org/dc/elements/1.1/"
_XMP_RIGHTS = {
    _CC + "license": "cc:license",
    _RIGHTS + "WebStatement": "xmpRights:WebStatement",
    _RIGHTS + "UsageTerms": "xmpRights:UsageTerms",
    _DC + "rights": "dc:rights",
}
_EXIF = {0x8298: "Copyright", 0x010E: "ImageDescription", 0x9C9C: "XPComment", 0x9C9F: "XPSubject", 0x9C9B: "XPTitle"}
_EXIF_BLOCK, _USER_COMMENT = 0x8769, 0x9286
_IPTC = {(2, 116): "CopyrightNotice", (2, 40): "SpecialInstructions", (2, 120): "Caption"}
_NO_C2PA = ("BMP",)  # formats that cannot carry it
_TYPES = {"MPO": "jpeg"}
_WHERE = "image file: "


@dataclass
class Embedded:
    """``unreadable`` names the kinds of data (XMP, C2PA) that are there and cannot be read."""

    texts: dict[str, Any] = field(default_factory=dict)  # Pillow's info, with the texts after the pixels of a PNG
    exif: dict[str, str] = field(default_factory=dict)
    iptc: dict[str, str] = field(default_factory=dict)
    packets: list[str] = field(default_factory=list)  # raw XMP
    xmp: list[tuple[str, str]] = field(default_factory=list)  # full name and value of every property
    c2pa: dict[str, Any] = field(default_factory=dict)  # the manifest store
    unreadable: set[str] = field(default_factory=set)


def read_embedded(image: Image.Image, path: Path | None, data: bytes | None = None) -> Embedded:
    """Everything that ``image`` carries; its bytes lie at ``path`` or are ``data``."""
    try:
        late = dict(getattr(image, "text", {}) or {})
    except (
        AssertionError,
        ValueError,
    ):  # raised by Pillow for a truncated PNG, and for one with too much text
        late = {}
    embedded = Embedded({k: v for k, v in image.info.items() if isinstance(k, str)} | late)
    embedded.exif, embedded.iptc = _exif(image), _iptc(image)
    for raw in _packets(image, embedded.texts, path, data):
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
        embedded.packets.append(text)
        properties = xmp_properties(text)
        if properties is None:
            embedded.unreadable.add("XMP")
        else:
            embedded.xmp += properties
    _c2pa(image.format or "", path, data, embedded)
    return embedded


def _has_late_texts(path: Path | None, data: bytes | None) -> bool:
    """Whether a PNG has texts behind its pixels; only then it must be decoded to read them."""
    with BytesIO(data) if data is not None else path.open("rb") as f:  # type: ignore[union-attr]
        f.seek(8)
        pixels = False
        while len(head := f.read(8)) == 8:
            kind = head[4:]
            if kind == b"IDAT":
                pixels = True
            elif pixels and kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
                return True
            f.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def _exif(image: Image.Image) -> dict[str, str]:
    try:
        exif = image.getexif()
        values = {name: exif.get(tag) for tag, name in _EXIF.items()}
    except Exception:  # EXIF is untrusted input; Pillow may raise anything
        return {}
    result = {}
    for name, value in values.items():
        if isinstance(value, (bytes, tuple)):
            value = bytes(value).decode("utf-16-le" if name.startswith("XP") else "utf-8", "replace")
        elif isinstance(value, str):  # Pillow takes the bytes for Latin-1; most programs write UTF-8
            try:
                value = value.encode("latin-1").decode("utf-8")
            except UnicodeError:
                pass
        if isinstance(value, str) and value.strip("\0 "):
            result[name] = value.replace("\0", " ").strip()
    comment = _user_comment(exif)
    if comment:
        result["UserComment"] = comment
    return result


def _user_comment(exif: Image.Exif) -> str:
    """The text that programs write beside the description, in the EXIF block or, wrongly, in the main one."""
    try:
        raws = [exif.get_ifd(_EXIF_BLOCK).get(_USER_COMMENT), exif.get(_USER_COMMENT)]
    except Exception:  # as above
        return ""
    texts = [decode_comment(r) if isinstance(r, bytes) else str(r) for r in raws if r]
    return " ".join(t.replace("\0", " ").strip() for t in dict.fromkeys(texts)).strip()


def _iptc(image: Image.Image) -> dict[str, str]:
    try:
        values = IptcImagePlugin.getiptcinfo(cast("ImageFile", image)) or {}
    except Exception:  # as with EXIF
        return {}
    result = {}
    for key, name in _IPTC.items():
        value = values.get(key)
        parts = value if isinstance(value, list) else [value]
        text = " ".join(p.decode("utf-8", "replace") for p in parts if isinstance(p, bytes)).strip("\0 ")
        if text:
            result[name] = text
    return result


def _packets(image: Image.Image, texts: dict[str, Any], path: Path | None, data: bytes | None) -> list[bytes | str]:
    result = [texts[k] for k in ("xmp", "XML:com.adobe.xmp") if isinstance(texts.get(k), (bytes, str)) and texts[k]]
    if not result and image.format == "TIFF":
        raw = getattr(image, "tag_v2", {}).get(700)
        result += [raw] if isinstance(raw, (bytes, str)) else [bytes(raw)] if isinstance(raw, tuple) else []
    if not result and image.format == "GIF":  # Pillow does not read the extension that contains it
        content = data if data is not None else path.read_bytes() if path else b""
        result += re.findall(rb"<x:xmpmeta.*?</x:xmpmeta>", content, re.S)[:1]
    return list(dict.fromkeys(result))


def xmp_properties(text: str) -> list[tuple[str, str]] | None:
    """Full name and value of every property, in whichever of RDF's forms it is written.

    None where it cannot be read.
    """
    if len(text) > MAX_XMP:
        return None
    start, end = text.find("<x:xmpmeta"), text.rfind("</x:xmpmeta>")
    body = text[start : end + len("</x:xmpmeta>")] if 0 <= start < end else text.strip("\ufeff\0 \r\n\t")
    try:
        if "<!DOCTYPE" in body or "<!ENTITY" in body:  # no XMP has them, and expanding entities is how XML bombs work
            return None
        tree = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None
    pairs: list[tuple[str, str]] = []
    for element in tree.iter():
        pairs += [(k, v) for k, v in element.attrib.items() if not k.startswith(RDF)]
        if element.tag.startswith(RDF):
            continue
        values = [element.text or "", element.get(RDF + "resource", "")]
        for item in element.iter(RDF + "li"):
            values += [item.text or "", item.get(RDF + "resource", "")]
        pairs += [(element.tag, v) for v in values if v.strip()]
    return [(k.lstrip("{").replace("}", ""), v.strip()) for k, v in pairs]


_local = threading.local()


def _context() -> Any:
    """The thread's C2PA context, without network access."""
    if not hasattr(_local, "context"):
        from c2pa import Context

        _local.context = Context.from_dict(
            {"core": {"allowed_network_hosts": []}, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
        )
    return _local.context


def _mentions_c2pa(path: Path | None, data: bytes | None) -> bool:
    """Whether the file may contain a manifest store, by searching for its label.

    Faster than calling the library for every file.
    """
    if data is not None:
        return b"c2pa" in data
    assert path is not None
    try:
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped.find(b"c2pa") >= 0
    except (OSError, ValueError):  # an empty file cannot be mapped
        return False


def _c2pa(kind: str, path: Path | None, data: bytes | None, embedded: Embedded) -> None:
    from c2pa import C2paError, Reader

    if kind in _NO_C2PA or (path is None and data is None) or not _mentions_c2pa(path, data):
        return
    try:
        with BytesIO(data) if data is not None else path.open("rb") as f:  # type: ignore[union-attr]
            with Reader(f"image/{_TYPES.get(kind, kind.lower())}", f, context=_context()) as reader:
                embedded.c2pa = json.loads(reader.json())
    except C2paError.ManifestNotFound:
        return
    except (C2paError, OSError, ValueError, RecursionError) as e:
        if "ManifestNotFound" not in str(e):
            embedded.unreadable.add("C2PA")


def assertions(embedded: Embedded) -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and data of every assertion of every manifest, whether or not its signature is valid."""
    manifests = embedded.c2pa.get("manifests", {})
    for manifest in manifests.values() if isinstance(manifests, dict) else ():
        for one in manifest.get("assertions", []) if isinstance(manifest, dict) else ():
            if isinstance(one, dict) and isinstance(one.get("data"), dict):
                yield str(one.get("label", "")), one["data"]


def statements(embedded: Embedded) -> tuple[Statement, ...]:
    """What the file states of a licence."""
    result: list[Statement] = []
    for name, value in embedded.xmp:
        if name in _XMP_RIGHTS:
            result += rights(f"{_WHERE}XMP {_XMP_RIGHTS[name]}", value)
        elif name.rsplit("/", 1)[-1].rsplit("#", 1)[-1] in ("description", "title", "Instructions", "UserComment"):
            result += mentioned(f"{_WHERE}XMP {name.rsplit('/', 1)[-1].rsplit('#', 1)[-1]}", value)
    for where, values in (("EXIF", embedded.exif), ("IPTC", embedded.iptc)):
        for name, value in values.items():
            about_rights = name.startswith("Copyright")
            result += (rights if about_rights else mentioned)(f"{_WHERE}{where} {name}", value)
    for name, value in embedded.texts.items():
        if name in ("xmp", "XML:com.adobe.xmp", "exif", "icc_profile", "photoshop"):
            continue
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            continue
        source = f"{_WHERE}text {name[:60]}"
        if speaks_of_licence(name):
            result += [statement(source, text)] if text.strip() else []
        else:
            result += (rights if name.lower() in ("copyright", "disclaimer") else mentioned)(source, text)
    for label, data in assertions(embedded):
        result += statements_of(data, f"{_WHERE}C2PA {label}")
    return tuple(dict.fromkeys(result))
