"""Texts that apply to all files of a folder: licence texts, dataset cards, data about the set."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from trainer.dataset.evidence.columns import speaks_of_licence, statements_of
from trainer.dataset.evidence.licence_texts import licence_of_text
from trainer.dataset.evidence.statement import LONGEST, Statement, mentioned, rights, statement
from trainer.dataset.evidence.text import labelled
from trainer.dataset.files import load_json

# endings of texts in which a licence could be stated
TEXTS = (
    ".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".xml", ".rdf", ".yaml", ".yml", ".toml", ".json", ".jsonld",
    ".cff", ".ini", ".cfg", ".nfo", ".info", ".log", ".tex", ".caption",
)  # fmt: skip
_LICENCE_FILE = re.compile(
    r"^(?:licen[cs]es?|un-?licen[cs]e|copying|copyright|rights|terms(?:[ _-]of[ _-]use)?|ライセンス|利用規約"
    r"|利用条件|使用条件|使用許諾|著作権|権利|規約|配布条件|注意事項)"
    r"(?:[._\- ()].*)?$",
    re.I,
)
# texts about the folder, whose sentences count; of other texts only lines labelled as a licence do
_ABOUT = re.compile(
    r"^(?:readme|credits?|attributions?|authors|notice|about|source|sources|dataset[_ -]?card"
    r"|利用について|使用について|クレジット|お読み|はじめに|最初に|必ず|説明|リードミー)(?:.*)?$",
    re.I,
)
# what no text of a folder may say unheard
_RESTRICTED = re.compile(
    r"\bnon[- ]?commercial|\bby[- ]nc\b|\bno[- ]?deriv|all rights reserved|商用.{0,6}(?:禁止|不可|できません)|非商用|営利.{0,8}(?:禁止|不可)"
    r"|無断.{0,6}(?:禁止|不可)|転載.{0,4}禁止",
    re.I,
)
_TAG = re.compile(r"<(?:a|link)\b[^>]*>", re.I)
_REL_LICENCE = re.compile(r"""\brel\s*=\s*["']?[^"'>]*\blicen[cs]e\b""", re.I)
_HREF = re.compile(r"""\bhref\s*=\s*["']?([^"'\s>]+)""", re.I)
_UNREADABLE = (".pdf", ".doc", ".docx", ".rtf", ".odt")
_CODE = (".py", ".sh", ".js", ".ipynb", ".css", ".c", ".h")


def is_licence_file(name: str) -> bool:
    """``LICENSE``, ``COPYING.txt``, ``Licence-images.md``: by its name."""
    path = PurePosixPath(name)
    return bool(_LICENCE_FILE.match(path.name)) and path.suffix.lower() not in _CODE


def is_text(name: str) -> bool:
    """By its ending, or by having none and a name in capitals, such as README."""
    path = PurePosixPath(name)
    return path.suffix.lower() in TEXTS or (not path.suffix and path.name.isupper())


def lenient(data: bytes) -> str:
    """Text out of bytes in whichever of the usual encodings; never fails."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def of_licence_file(source: str, data: bytes) -> list[Statement]:
    """What a licence text states: a recognised full text, an id or an address alone, or something not understood."""
    if PurePosixPath(source).suffix.lower() in _UNREADABLE or b"\0" in data[:1000].replace(b"\xff\xfe", b"")[:200:2]:
        return [Statement(source, PurePosixPath(source).name)]
    text = lenient(data)
    if licence_id := licence_of_text(text):
        return [Statement(source, _first_line(text), licence_id)]
    result = rights(source, text) if text.strip() else []
    # the first line is enough to find the full text again
    return [s if s.license else Statement(source, _first_line(text), "", s.mention) for s in result]


def _first_line(text: str) -> str:
    lines = (" ".join(line.split()).strip("# *=") for line in text.splitlines())
    return next((line for line in lines if line), "")[:200]


def of_text(source: str, data: bytes) -> list[Statement]:
    """What any other text of a folder states: JSON and YAML by key, a text about the folder by what it mentions."""
    text = lenient(data)
    ending = PurePosixPath(source).suffix.lower()
    result: list[Statement] = []
    if ending in (".json", ".jsonld"):
        value = _json(text)
        if isinstance(value, (dict, list)):
            every = statements_of(value if isinstance(value, dict) else {"": value}, source)
            return [s for s in every if not s.mention]
    if ending in (".yaml", ".yml", ".cff"):
        result += _yaml(source, text)
    elif match := re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", text, re.S):  # a dataset card's metadata
        result += _yaml(source, match[1])
        text = text[match.end() :]
    if _ABOUT.match(PurePosixPath(source).name):
        result += mentioned(source, text)
    else:
        result += [statement(source, x, mention=True) for x in labelled(text[:LONGEST])]
        if _RESTRICTED.search(text):  # in whatever text: it is not passed over
            result += mentioned(source, text)
    if ending in (".html", ".htm", ".xml"):
        result += [statement(source, x, mention=True) for x in _rel_licence(text)]
    return list(dict.fromkeys(result))


def _rel_licence(text: str) -> list[str]:
    """The addresses that HTML declares as the licence of what it shows: ``<a rel="license" href="...">``."""
    tags = [tag for tag in _TAG.findall(text) if _REL_LICENCE.search(tag)]
    return [match[1] for tag in tags if (match := _HREF.search(tag))]


def _json(text: str) -> Any:
    try:
        return load_json(text, keep_both=True)
    except (ValueError, RecursionError):
        return None


_KEY = re.compile(r"^[ \t]*(?:-[ \t]+)?[\"']?([\w:.\- ]+?)[\"']?[ \t]*:(?:[ \t]+(.*))?$")
_ENTRY = re.compile(r"^[ \t]*-[ \t]+(.*)$")


def _yaml(source: str, text: str) -> list[Statement]:
    """Values of keys that speak of licences, on their line or as a list below: all that is needed here of YAML."""
    result: list[Statement] = []
    key = ""
    for line in text.splitlines():
        if match := _KEY.match(line):
            key = match[1] if speaks_of_licence(match[1]) else ""
            value = _scalar(match[2] or "")
            if key and value:
                values = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else [value]
                result += [statement(f"{source} {key}", _scalar(v)) for v in values if _scalar(v)]
        elif key and (entry := _ENTRY.match(line)) and _scalar(entry[1]):
            result.append(statement(f"{source} {key}", _scalar(entry[1])))
        elif key and line[:1] in (" ", "\t") and line.strip():
            result.append(statement(f"{source} {key}", line))
    return result


def _scalar(text: str) -> str:
    """Without a comment and quotes; the sign of a text on the next lines is none itself."""
    text = re.sub(r"(?:^|[ \t])#.*$", "", text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return "" if text in ("|", ">", "|-", ">-", "|+", ">+") else text
