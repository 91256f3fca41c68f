"""The REUSE specification 3.3: ``REUSE.toml``, ``.reuse/dep5`` and ``.license`` files beside images."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase
from trainer.dataset.evidence.statement import Statement, rights, statement
from trainer.dataset.files import decoded

_TAG = re.compile(
    r"SPDX-(License-Identifier|FileCopyrightText|FileContributor):[ \t]*(.*?)[ \t]*(?:\*/|-->)?[ \t]*$", re.M
)
_COPYRIGHT = re.compile(
    r"^(?:SPDX-FileCopyrightText:|©|\(c\)|copyright(?: \(c\)| ©)?)?"
    r"\s*(?:\d{4}(?:\s*[-–,]\s*\d{4})*,?\s*)?(.*?)\s*(?:<[^>]*>)?\s*(?:\(?https?://\S+)?$",
    re.I,
)
_PRECEDENCE = ("closest", "aggregate", "override")


@dataclass(frozen=True)
class ReuseInfo:
    """Licences and copyright lines, in order of appearance."""

    licences: tuple[str, ...] = ()
    copyrights: tuple[str, ...] = ()

    def __add__(self, other: ReuseInfo) -> ReuseInfo:
        return ReuseInfo(
            tuple(dict.fromkeys(self.licences + other.licences)),
            tuple(dict.fromkeys(self.copyrights + other.copyrights)),
        )

    def or_else(self, other: ReuseInfo) -> ReuseInfo:
        """Licence and copyright each from ``self`` where it has them, as REUSE specifies for ``closest``."""
        return ReuseInfo(self.licences or other.licences, self.copyrights or other.copyrights)

    def __bool__(self) -> bool:
        return bool(self.licences or self.copyrights)


@dataclass(frozen=True)
class Table:
    """One ``[[annotations]]``; its paths are relative to the folder of its REUSE.toml."""

    patterns: tuple[re.Pattern[str], ...]
    precedence: str
    info: ReuseInfo
    title: str = ""
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict, compare=False)


def glob(pattern: str) -> re.Pattern[str]:
    """REUSE's globs: ``*`` within a folder, ``**`` across folders, ``\\*`` the sign itself."""
    regex, i = "", 0
    while i < len(pattern):
        if pattern[i] == "\\" and i + 1 < len(pattern):
            regex, i = regex + re.escape(pattern[i + 1]), i + 2
        elif pattern.startswith("**", i):
            regex, i = regex + ".*", i + 2
            while pattern.startswith("*", i):
                i += 1
        elif pattern[i] == "*":
            regex, i = regex + "[^/]*", i + 1
        else:
            regex, i = regex + re.escape(pattern[i]), i + 1
    return re.compile(regex + r"\Z", re.S)


def _strings(value: Any, path: Path, key: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise BadFile(path=path, why=Phrase("{name} is neither text nor a list of texts", name=key))
    return tuple(values)


def read_toml(raw: bytes, path: Path) -> list[Table]:
    """The annotations of a REUSE.toml. Raises BadFile, NotUtf8."""
    try:
        data = tomllib.loads(decoded(raw, path))
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not TOML ({detail})", detail=str(e))) from e
    if data.get("version") != 1:
        raise BadFile(path=path, why=Phrase("its version is {value!r}, known is 1", value=data.get("version")))
    annotations = data.get("annotations", [])
    if not isinstance(annotations, list) or not all(isinstance(a, dict) for a in annotations):
        raise BadFile(path=path, why=Phrase("annotations is not a list of tables; write [[annotations]]"))
    tables = []
    for a in annotations:
        precedence = a.get("precedence", "closest")
        if precedence not in _PRECEDENCE:
            raise BadFile(
                path=path,
                why=Phrase(
                    "{key} is {value!r}; it is one of {known}",
                    key="precedence",
                    value=precedence,
                    known=", ".join(_PRECEDENCE),
                ),
            )
        info = ReuseInfo(
            _strings(a.get("SPDX-License-Identifier"), path, "SPDX-License-Identifier"),
            _strings(a.get("SPDX-FileCopyrightText"), path, "SPDX-FileCopyrightText"),
        )
        tables.append(
            Table(
                tuple(glob(p) for p in _strings(a.get("path"), path, "path")),
                precedence,
                info,
                str(a.get("title", "")),
                str(a.get("source_url", "")),
            )
        )
    return tables


def read_dep5(raw: bytes, path: Path) -> list[Table]:
    """The stanzas of a ``.reuse/dep5``, Debian's machine-readable copyright format, as tables. Raises NotUtf8."""
    tables = []
    for stanza in re.split(r"\n[ \t]*\n", decoded(raw, path).replace("\r\n", "\n")):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields.get(name, []).append(line.strip())
            elif ":" in line and not line.startswith("#"):
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields.setdefault(name, []).append(value.strip())
        if "files" not in fields:
            continue
        info = ReuseInfo(
            tuple(x for x in fields.get("license", [""])[:1] if x), tuple(x for x in fields.get("copyright", ()) if x)
        )
        patterns = tuple(_dep5_glob(p) for line in fields["files"] for p in line.split())
        tables.append(Table(patterns, "aggregate", info))
    return tables


def _dep5_glob(pattern: str) -> re.Pattern[str]:
    """There ``*`` crosses folders, and ``?`` is any one character."""
    regex = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern.removeprefix("./"))
    return re.compile(regex + r"\Z", re.S)


def side_file(raw: str) -> ReuseInfo:
    """Licences and copyrights in the tags of a ``.license`` file."""
    licences, copyrights = [], []
    for kind, value in _TAG.findall(raw.replace("\r\n", "\n")):
        if kind == "License-Identifier":
            licences.append(value)
        elif kind == "FileCopyrightText":
            copyrights.append(value)
    return ReuseInfo(tuple(licences), tuple(copyrights))


def side_statements(source: str, raw: str) -> list[Statement]:
    """What a ``.license`` file states; one without REUSE's tags is read as a text about rights."""
    info = side_file(raw)
    if info.licences:
        return [statement(source, joined(info.licences))]
    return rights(source, raw) if raw.strip() and not info.copyrights else []


def joined(licences: Iterable[str]) -> str:
    """Combine several licences of one file: all of them apply."""
    every = list(licences)
    return " AND ".join(f"({x})" if " OR " in x.upper() and len(every) > 1 else x for x in every)


def holder(line: str) -> str:
    """The name in a copyright line, without years and addresses."""
    match = _COPYRIGHT.match(line.strip())
    return (match[1] if match else line).strip(" ,;")


@dataclass
class Document:
    """A REUSE.toml or dep5 file.

    ``base`` is its folder in the source; ``lead`` is prepended to names of the source where the document is above it.
    """

    label: str
    tables: list[Table]
    base: str = ""
    lead: str = ""

    def table_for(self, name: str) -> Table | None:
        """The last of its tables that matches the file, as REUSE specifies."""
        if self.base and not name.startswith(self.base + "/"):
            return None
        relative = self.lead + name[len(self.base) + 1 if self.base else 0 :]
        return next((t for t in reversed(self.tables) if any(p.match(relative) for p in t.patterns)), None)


def creators(documents: Iterable[Document], name: str, own: ReuseInfo) -> tuple[str, Table | None]:
    """The copyright holders of a file by REUSE's precedence, and the nearest matching table.

    ``documents`` come from the root inwards. The outermost ``override`` ends the search; the file's own text beats
    ``closest`` and adds to ``aggregate``.
    """
    hits: list[Table] = []
    info = own
    for document in documents:
        if table := document.table_for(name):
            hits.append(table)
            if table.precedence == "override":
                info = table.info
                break
    else:
        for table in reversed(hits):  # the nearest first
            if table.precedence == "closest":
                info = info.or_else(table.info)
    for table in hits:
        if table.precedence == "aggregate":
            info = info + table.info
    return ", ".join(map(holder, info.copyrights)), hits[-1] if hits else None
