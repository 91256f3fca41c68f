"""What a picture file itself says of learning from it: C2PA and CAWG, XMP (PLUS, IPTC, TDM, rights), and marks that AI tools leave."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from trainer.dataset.spdx import from_url

MAX_XMP = 2_000_000  # bytes
_PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
_CC = "http://creativecommons.org/ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_TDM = ("http://www.w3.org/ns/tdmrep#", "http://www.w3.org/ns/tdmrep/")
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# IPTC's vocabulary of digital source types; algorithmicMedia alone is drawn by rules, not learned
_AI_SOURCES = ("trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia", "compositesynthetic")
# of the assertion's entries, those that are about learning; ai_inference is not
_TRAINING = ("ai_training", "ai_generative_training", "data_mining")
_CHUNKS = {
    "parameters": "parameters (A1111)",
    "commonart": "CommonArt",
    "workflow": "ComfyUI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
    "generation_data": "Tensor.Art",
    "fooocus_scheme": "Fooocus",
}
_USER_COMMENT = 0x9286


@dataclass(frozen=True)
class Signals:
    """Sorted and without repetition; each a short name of where it stands and what it says."""

    forbids: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    ai_made: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()  # SPDX ids of licence addresses in the file
    unreadable: tuple[str, ...] = ()

    def as_data(self) -> dict[str, list[str]]:
        """JSON-ready."""
        return {k: list(v) for k, v in self.__dict__.items() if v}

    @classmethod
    def from_data(cls, data: dict[str, list[str]]) -> Signals:
        return cls(**{k: tuple(v) for k, v in data.items()})


@dataclass
class _Found:
    forbids: set[str] = field(default_factory=set)
    constrains: set[str] = field(default_factory=set)
    ai_made: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


def read_signals(path: Path, image: Image.Image) -> Signals:
    """All that the file says. ``image`` is the same file, already decoded, so that texts after its pixels are read too."""
    found = _Found()
    try:
        late = dict(getattr(image, "text", {}) or {})
    except AssertionError:  # Pillow's word for a PNG that ends before its end
        late = {}
    info = {k: v for k, v in image.info.items() if isinstance(k, str)} | late
    _texts(info, image, found)
    for name in ("xmp", "XML:com.adobe.xmp"):
        if info.get(name):
            _xmp(info[name], found)
    _c2pa(path, image.format or "", found)
    return Signals(
        *(tuple(sorted(getattr(found, f))) for f in ("forbids", "constrains", "ai_made", "licences", "unreadable"))
    )


# texts that tools leave -----------------------------------------------------------------------------------------------


def _looks_generated(text: str) -> bool:
    """A1111's form: three settings or more on a line, steps among them."""
    return bool(re.search(r"(^|\n|, )Steps: \d+, .*\b(Sampler|CFG scale|Seed): ", text))


def _texts(info: dict[str, Any], image: Image.Image, found: _Found) -> None:
    for key, tool in _CHUNKS.items():
        if isinstance(info.get(key), str) and info[key].strip():
            found.ai_made.add(tool)
    prompt = info.get("prompt")
    if isinstance(prompt, str) and '"class_type"' in prompt[:100_000]:
        found.ai_made.add("ComfyUI")
    if str(info.get("Software", "")).startswith("NovelAI"):
        found.ai_made.add("NovelAI")
    try:
        comment = image.getexif().get_ifd(0x8769).get(_USER_COMMENT, b"")
    except Exception:  # EXIF of others may be anything; Pillow raises what it meets
        comment = b""
    if isinstance(comment, bytes):
        comment = comment[8:].decode(
            "utf-16-be" if comment.startswith(b"UNICODE\0") and comment[8:9] in (b"\0", b"0") else "utf-8", "replace"
        )
    texts = [str(comment), str(info.get("comment", "")) if isinstance(info.get("comment"), str) else ""]
    if any(_looks_generated(t[:100_000]) for t in texts):
        found.ai_made.add(_CHUNKS["parameters"])


# XMP ------------------------------------------------------------------------------------------------------------------


def _xmp(raw: bytes | str, found: _Found) -> None:
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if len(text) > MAX_XMP:
        found.unreadable.add("XMP")
        return
    if "<ca:recipe>" in text:
        found.ai_made.add("CommonArt")
    start, end = text.find("<x:xmpmeta"), text.rfind("</x:xmpmeta>")
    body = text[start : end + len("</x:xmpmeta>")] if 0 <= start < end else text.strip("\ufeff\0 \r\n\t")
    try:
        if "<!DOCTYPE" in body or "<!ENTITY" in body:  # no XMP has them, and expanding entities is how XML bombs work
            raise ElementTree.ParseError
        tree = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, RecursionError):
        found.unreadable.add("XMP")
        # what forbids is obeyed even where the rest cannot be read
        for value in re.findall(r"DMI-PROHIBITED[A-Z\-]*", text):
            found.forbids.add(f"PLUS {value}")
        return
    for name, value in _properties(tree):
        _property(name, value.strip(), found)


def _properties(tree: ElementTree.Element) -> list[tuple[str, str]]:
    """Every property with each of its values, in whichever of RDF's forms it is written."""
    pairs: list[tuple[str, str]] = []
    for element in tree.iter():
        pairs += [(k, v) for k, v in element.attrib.items() if not k.startswith(_RDF)]
        if element.tag.startswith(_RDF):
            continue
        values = [
            element.text or "",
            element.get(_RDF + "resource", ""),
            *((li.text or "") for li in element.iter(_RDF + "li")),
            *(li.get(_RDF + "resource", "") for li in element.iter(_RDF + "li")),
        ]
        pairs += [(element.tag, v) for v in values if v.strip()]
    return [(k.lstrip("{").replace("}", ""), v) for k, v in pairs]


def _property(name: str, value: str, found: _Found) -> None:
    if name == _PLUS + "DataMining":
        word = value.rstrip("/").rsplit("/", 1)[-1].upper()
        if word.startswith("DMI-PROHIBITED"):
            # these two point to words that only a person can read: until somebody did, they forbid
            found.forbids.add(f"PLUS {word}")
        elif word not in ("DMI-ALLOWED", "DMI-UNSPECIFIED", ""):
            found.constrains.add(f"PLUS {word[:60]}")
    elif name == _PLUS + "OtherConstraints" and re.search(
        r"\b(AI|machine learning|training|data mining)\b", value, re.I
    ):
        found.constrains.add("PLUS OtherConstraints")
    elif name.startswith(_TDM) and name.rsplit("#")[-1].rsplit("/")[-1].lower() in ("reservation", "tdm-reservation"):
        if value in ("1", "true", "True"):
            found.forbids.add("TDM reservation")
    elif name.rsplit("/")[-1].rsplit("#")[-1].lower() in ("tdm-reservation", "reserve_tdm") and value in (
        "1",
        "true",
        "True",
    ):
        found.forbids.add("TDM reservation")
    elif name == _IPTC + "DigitalSourceType":
        word = value.rstrip("/").rsplit("/", 1)[-1]
        if word.lower() in _AI_SOURCES:
            found.ai_made.add(f"IPTC {word}")
    elif name in (_RIGHTS + "UsageTerms", _DC + "rights") and re.search(
        r"\b(noai|noimageai|no ?ai training)\b", value, re.I
    ):
        found.forbids.add(name.rsplit("/", 1)[-1].replace("rights", "dc:rights") + " noai")
    if name in (_RIGHTS + "WebStatement", _CC + "license", _RIGHTS + "UsageTerms", _DC + "rights"):
        for url in re.findall(r"https?://[^\s\"'<>)]+", value)[:20]:
            if licence := from_url(url):
                found.licences.add(licence)


# C2PA -----------------------------------------------------------------------------------------------------------------

_local = threading.local()


def _context() -> Any:
    """One a thread; it asks no network for anything."""
    if not hasattr(_local, "context"):
        from c2pa import Context

        _local.context = Context.from_dict(
            {"core": {"allowed_network_hosts": []}, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
        )
    return _local.context


def _c2pa(path: Path, kind: str, found: _Found) -> None:
    from c2pa import C2paError, Reader

    try:
        with path.open("rb") as f, Reader(f"image/{kind.lower()}", f, context=_context()) as reader:
            store = json.loads(reader.json())
    except C2paError.ManifestNotFound:
        return
    except (C2paError, OSError, ValueError, RecursionError) as e:
        if "ManifestNotFound" not in str(e):
            found.unreadable.add("C2PA")
        return
    # a word against training stands whether or not its signature is valid, and whether for the picture or a part of it
    for manifest in store.get("manifests", {}).values():
        for assertion in manifest.get("assertions", []) if isinstance(manifest, dict) else []:
            _assertion(assertion, found)


def _assertion(assertion: Any, found: _Found) -> None:
    if not isinstance(assertion, dict):
        return
    label, data = str(assertion.get("label", "")), assertion.get("data")
    if not isinstance(data, dict):
        return
    if re.match(r"^(c2pa|cawg)\.training-mining", label):
        entries = data.get("entries")
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            use = entry.get("use") if isinstance(entry, dict) else None
            if name.rsplit(".", 1)[-1] in _TRAINING and use in ("notAllowed", "constrained"):
                (found.forbids if use == "notAllowed" else found.constrains).add(f"C2PA {name} {use}")
    elif label.startswith("c2pa.actions"):
        for action in data.get("actions", []) if isinstance(data.get("actions"), list) else []:
            word = (
                str(action.get("digitalSourceType", "") if isinstance(action, dict) else "")
                .rstrip("/")
                .rsplit("/", 1)[-1]
            )
            if word.lower() in _AI_SOURCES:
                found.ai_made.add(f"C2PA {word}")
