"""One statement of a licence with its source and its wording, and the conclusion from several of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.contract.errors import Phrase
from trainer.dataset.evidence.text import is_copyright_notice, mentions
from trainer.dataset.licence_names import from_statement, is_name_of
from trainer.dataset.spdx import Expression, parse

OPTION = "--license"  # the source of what a person gave for images that state nothing
EDIT = "edit"  # the source of what a person decided for an image afterwards
MAX_TEXT, MAX_SOURCE = 500, 300  # characters stored
# Flickr's numbers for licences, as its API gives them; CC ones without a version of their own are 2.0 there
FLICKR = {
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": "LicenseRef-No-Known-Copyright-Restrictions",
    "8": "LicenseRef-US-Government-Work",
    "9": "CC0-1.0",
    "10": "CC-PDM-1.0",
}
TABLES = {"flickr": FLICKR}  # licence numbers, used only for sources that are declared to use them
LONGEST = 1_000_000  # characters of running text that are searched
_VERSION = re.compile(r"v?(\d\.\d)")
_ABOUT_TRAINING = re.compile(r"(?:no ?(?:image ?)?ai(?: training)?[,;.!\s]*)+", re.I)  # the gate has a rule for it
_FILLERS = re.compile(
    r"\b(?:this (?:work|image|photo|file|picture) is|is|licen[cs]ed|released|available|published|under|the|a"
    r"|terms of|licen[cs]e)\b"
    r"|のもとで|の下で|で|公開|ライセンス",
    re.I,
)


@dataclass(frozen=True)
class Statement:
    """``license`` is the SPDX expression that ``text`` stands for; empty where it is not fully understood.

    A ``mention`` is part of running text, which cannot be fully understood: it may contradict, but never grants.
    """

    source: str  # such as "metadata.jsonl:3 license_url", "a.png.license", "image file: XMP cc:license"
    text: str
    license: str = ""
    mention: bool = False

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        data = {"source": self.source, "text": self.text, "license": self.license}
        return data | ({"mention": True} if self.mention else {})


def statement(source: str, text: str, table: str = "", *, mention: bool = False) -> Statement:
    """What ``text`` states; ``table`` names the list of numbers that the source is declared to use."""
    normalized = " ".join(text.split())
    licence = from_statement(normalized) or TABLES.get(table, {}).get(normalized, "")
    return Statement(_clean(source, MAX_SOURCE), _clean(normalized, MAX_TEXT), licence, mention)


def rights(source: str, text: str) -> list[Statement]:
    """What a text about rights states: a licence, a licence after a copyright notice, or something not understood.

    A copyright notice alone states none.
    """
    one = statement(source, text)
    if one.license:
        return [one]
    if is_copyright_notice(text) or _ABOUT_TRAINING.fullmatch(text.strip()):
        return []
    matches = mentions(text)
    rest = " ".join(text.split())
    for mention in matches:
        rest = rest.replace(mention, " ")
    rest = re.sub(r"[(\[]\s*[)\]]", " ", _FILLERS.sub(" ", rest)).strip(" .,;:-–—/|\"'")
    licensed = [statement(source, m) for m in matches]
    complete = not rest or is_copyright_notice(rest)
    return (
        licensed
        if licensed and complete
        else [one, *(Statement(k.source, k.text, k.license, mention=True) for k in licensed)]
    )


def mentioned(source: str, text: str) -> list[Statement]:
    """What running text mentions."""
    return [statement(source, m, mention=True) for m in mentions(text[:LONGEST])]


def _clean(text: str, limit: int) -> str:
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def from_data(data: Any) -> tuple[Statement, ...]:
    """Statements of a record's row. Raises ValueError with a Phrase."""
    if data in (None, ""):
        return ()
    if not isinstance(data, list) or not all(map(_is_statement, data)):
        raise ValueError(Phrase("license_statements is not a list of source, text and license"))
    # the text is interpreted again; the row counts only where that yields nothing (a number of a declared table)
    return tuple(
        Statement(d["source"], d["text"], from_statement(d["text"]) or d["license"], d.get("mention", False))
        for d in data
    )


def _is_statement(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and {"source", "text", "license"} <= data.keys() <= {"source", "text", "license", "mention"}
        and all(isinstance(data[k], str) for k in ("source", "text", "license"))
        and isinstance(data.get("mention", False), bool)
    )


def expression_of(one: Statement) -> Expression | None:
    """Its licence, parsed; None where there is none or it cannot be read."""
    try:
        return parse(one.license) if one.license else None
    except ValueError:
        return None


def same(one: Expression, two: Expression) -> bool:
    """Whether both allow the same: order and spelling do not count."""
    return set(one.choices) == set(two.choices)


@dataclass(frozen=True)
class Conclusion:
    """``license`` goes into the record: what all statements agree on, else all of them combined."""

    license: str = ""
    differing: tuple[Statement, ...] = ()  # one for each licence, where there are several
    unknown: tuple[Statement, ...] = ()  # not fully understood


def conclude(statements: Sequence[Statement]) -> Conclusion:
    """The conclusion from all statements about one image."""
    distinct: list[tuple[Statement, Expression]] = []
    unread: list[Statement] = []
    for one in sorted(statements, key=lambda s: s.mention):  # what grants first
        expression = expression_of(one)
        if expression is None:
            unread.append(one)
        elif not any(same(expression, e) for _, e in distinct):
            distinct.append((one, expression))
    unknown = tuple(one for one in unread if not _completes(one, [e for _, e in distinct]))
    license = _license_of([e for s, e in distinct if not s.mention], [u for u in unknown if not u.mention])
    differing = tuple(s for s, _ in distinct) if len(distinct) > 1 else ()
    return Conclusion(license, differing, unknown)


def _license_of(licences: Sequence[Expression], unknown: Sequence[Statement]) -> str:
    if unknown:
        return next((u.text for u in unknown if u.text), "NOASSERTION")
    if len(licences) == 1:
        return licences[0].text
    return " AND ".join(f"({e.text})" if " OR " in e.text else e.text for e in licences)


def _completes(one: Statement, licences: Sequence[Expression]) -> bool:
    """Whether a name without a version, or a version alone, is that of the one licence stated elsewhere."""
    if len(licences) != 1 or len(licences[0].choices) != 1 or len(licences[0].choices[0].licences) != 1:
        return False
    licence = licences[0].choices[0].licences[0]
    if "version" in one.source.lower() and (match := _VERSION.fullmatch(one.text)):
        return f"-{match[1]}" in licence
    return is_name_of(one.text, licence)


def merged(*groups: Iterable[Statement]) -> tuple[Statement, ...]:
    """All of them, each once."""
    return tuple(dict.fromkeys(s for group in groups for s in group))
