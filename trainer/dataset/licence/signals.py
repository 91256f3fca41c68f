"""Signals in an image file about training: C2PA and CAWG, XMP (PLUS, IPTC, TDM, rights), and marks of AI tools."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from trainer.dataset.evidence.embedded import Embedded, assertions, read_embedded, statements
from trainer.dataset.evidence.statement import Statement, from_data

_PLUS = "http://ns.useplus.org/ldf/xmp/1.0/"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RIGHTS = "http://ns.adobe.com/xap/1.0/rights/"
_DC = "http://purl.org/dc/elements/1.1/"
_TDM = ("http://www.w3.org/ns/tdmrep#", "http://www.w3.org/ns/tdmrep/")
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
    """Sorted and unique; each a short text with the source and the value of a signal."""

    forbids: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    ai_made: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()  # of a licence

    def as_data(self) -> dict[str, list[Any]]:
        """JSON-ready."""
        data = {k: list(v) for k, v in self.__dict__.items() if v}
        return data | ({"statements": [s.as_data() for s in self.statements]} if self.statements else {})

    @classmethod
    def from_data(cls, data: dict[str, list[Any]]) -> Signals:
        """Inverse of ``as_data``."""
        stated = from_data(data.get("statements"))
        return cls(**{k: tuple(v) for k, v in data.items() if k != "statements"}, statements=stated)


@dataclass
class _Collector:
    forbids: set[str] = field(default_factory=set)
    constrains: set[str] = field(default_factory=set)
    ai_made: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


def read_signals(path: Path, image: Image.Image) -> Signals:
    """Read all signals of a file.

    ``image`` is the same file, already decoded, so that texts after its pixels are read too.
    """
    collector = _Collector()
    embedded = read_embedded(image, path)
    _texts(embedded.texts, image, collector)
    _xmp(embedded, collector)
    for label, data in assertions(embedded):
        # a reservation counts whether or not its signature is valid, and whether for the image or a part of it
        _assertion(label, data, collector)
    collector.unreadable |= embedded.unreadable
    return Signals(
        forbids=tuple(sorted(collector.forbids)),
        constrains=tuple(sorted(collector.constrains)),
        ai_made=tuple(sorted(collector.ai_made)),
        unreadable=tuple(sorted(collector.unreadable)),
        statements=statements(embedded),
    )


# texts that tools leave -----------------------------------------------------------------------------------------------


def _looks_generated(text: str) -> bool:
    """A1111's form: three settings or more on a line, steps among them."""
    return bool(re.search(r"(^|\n|, )Steps: \d+, .*\b(Sampler|CFG scale|Seed): ", text))


def _texts(info: dict[str, Any], image: Image.Image, collector: _Collector) -> None:
    for key, tool in _CHUNKS.items():
        if isinstance(info.get(key), str) and info[key].strip():
            collector.ai_made.add(tool)
    prompt = info.get("prompt")
    if isinstance(prompt, str) and '"class_type"' in prompt[:100_000]:
        collector.ai_made.add("ComfyUI")
    if str(info.get("Software", "")).startswith("NovelAI"):
        collector.ai_made.add("NovelAI")
    try:
        comment = image.getexif().get_ifd(0x8769).get(_USER_COMMENT, b"")
    except Exception:  # EXIF is untrusted input; Pillow may raise anything
        comment = b""
    if isinstance(comment, bytes):
        comment = comment[8:].decode(
            "utf-16-be" if comment.startswith(b"UNICODE\0") and comment[8:9] in (b"\0", b"0") else "utf-8", "replace"
        )
    texts = [str(comment), str(info.get("comment", "")) if isinstance(info.get("comment"), str) else ""]
    if any(_looks_generated(t[:100_000]) for t in texts):
        collector.ai_made.add(_CHUNKS["parameters"])


# XMP ------------------------------------------------------------------------------------------------------------------


def _xmp(embedded: Embedded, collector: _Collector) -> None:
    for text in embedded.packets:
        if "<ca:recipe>" in text:
            collector.ai_made.add("CommonArt")
        if "XMP" in embedded.unreadable:
            # what forbids is obeyed even where the rest cannot be read
            for value in re.findall(r"DMI-PROHIBITED[A-Z\-]*", text):
                collector.forbids.add(f"PLUS {value}")
    for name, value in embedded.xmp:
        _property(name, value, collector)


def _property(name: str, value: str, collector: _Collector) -> None:
    if name == _PLUS + "DataMining":
        word = value.rstrip("/").rsplit("/", 1)[-1].upper()
        if word.startswith("DMI-PROHIBITED"):
            # these two refer to terms that only a person can read: until then they forbid
            collector.forbids.add(f"PLUS {word}")
        elif word not in ("DMI-ALLOWED", "DMI-UNSPECIFIED", ""):
            collector.constrains.add(f"PLUS {word[:60]}")
    elif name == _PLUS + "OtherConstraints" and re.search(
        r"\b(AI|machine learning|training|data mining)\b", value, re.I
    ):
        collector.constrains.add("PLUS OtherConstraints")
    elif name.startswith(_TDM) and name.rsplit("#")[-1].rsplit("/")[-1].lower() in ("reservation", "tdm-reservation"):
        if value in ("1", "true", "True"):
            collector.forbids.add("TDM reservation")
    elif name.rsplit("/")[-1].rsplit("#")[-1].lower() in ("tdm-reservation", "reserve_tdm") and value in (
        "1",
        "true",
        "True",
    ):
        collector.forbids.add("TDM reservation")
    elif name == _IPTC + "DigitalSourceType":
        word = value.rstrip("/").rsplit("/", 1)[-1]
        if word.lower() in _AI_SOURCES:
            collector.ai_made.add(f"IPTC {word}")
    elif name in (_RIGHTS + "UsageTerms", _DC + "rights") and re.search(
        r"\b(noai|noimageai|no ?ai training)\b", value, re.I
    ):
        collector.forbids.add(name.rsplit("/", 1)[-1].replace("rights", "dc:rights") + " noai")


# C2PA -----------------------------------------------------------------------------------------------------------------


def _assertion(label: str, data: dict[str, Any], collector: _Collector) -> None:
    if re.match(r"^(c2pa|cawg)\.training-mining", label):
        entries = data.get("entries")
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            use = entry.get("use") if isinstance(entry, dict) else None
            if name.rsplit(".", 1)[-1] in _TRAINING and use in ("notAllowed", "constrained"):
                (collector.forbids if use == "notAllowed" else collector.constrains).add(f"C2PA {name} {use}")
    elif label.startswith("c2pa.actions"):
        for action in data.get("actions", []) if isinstance(data.get("actions"), list) else []:
            word = (
                str(action.get("digitalSourceType", "") if isinstance(action, dict) else "")
                .rstrip("/")
                .rsplit("/", 1)[-1]
            )
            if word.lower() in _AI_SOURCES:
                collector.ai_made.add(f"C2PA {word}")
