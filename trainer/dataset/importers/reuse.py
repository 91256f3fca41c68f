"""Folders under the REUSE specification 3.3: ``REUSE.toml`` and ``.license`` files beside pictures."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, NoLicence, Phrase
from trainer.dataset.files import text_of
from trainer.dataset.importers.plain import pictures_in, read_captions
from trainer.dataset.importers.source import Item, Options, Skip

_TAG = re.compile(
    r"SPDX-(License-Identifier|FileCopyrightText|FileContributor):[ \t]*(.*?)[ \t]*(?:\*/|-->)?[ \t]*$", re.M
)
_COPYRIGHT = re.compile(
    r"^(?:SPDX-FileCopyrightText:|©|\(c\)|copyright(?: \(c\)| ©)?)?\s*(?:\d{4}(?:\s*[-–,]\s*\d{4})*,?\s*)?(.*?)\s*(?:<[^>]*>)?\s*(?:\(?https?://\S+)?$",
    re.I,
)
_PRECEDENCE = ("closest", "aggregate", "override")


@dataclass(frozen=True)
class ReuseStatement:
    """Licences and copyright lines, in the order they were found."""

    licences: tuple[str, ...] = ()
    copyrights: tuple[str, ...] = ()

    def __add__(self, other: ReuseStatement) -> ReuseStatement:
        return ReuseStatement(
            tuple(dict.fromkeys(self.licences + other.licences)),
            tuple(dict.fromkeys(self.copyrights + other.copyrights)),
        )

    def or_else(self, other: ReuseStatement) -> ReuseStatement:
        """Licence and copyright each from ``self`` where it has them, as REUSE asks for ``closest``."""
        return ReuseStatement(self.licences or other.licences, self.copyrights or other.copyrights)

    def __bool__(self) -> bool:
        return bool(self.licences or self.copyrights)


@dataclass(frozen=True)
class Table:
    """One ``[[annotations]]``; its paths are relative to the folder of its REUSE.toml."""

    patterns: tuple[re.Pattern[str], ...]
    precedence: str
    said: ReuseStatement
    title: str = ""
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict, compare=False)


def glob(pattern: str) -> re.Pattern[str]:
    """REUSE's globs: ``*`` within a folder, ``**`` across folders, ``\\*`` the sign itself."""
    made, i = "", 0
    while i < len(pattern):
        if pattern[i] == "\\" and i + 1 < len(pattern):
            made, i = made + re.escape(pattern[i + 1]), i + 2
        elif pattern.startswith("**", i):
            made, i = made + ".*", i + 2
            while pattern.startswith("*", i):
                i += 1
        elif pattern[i] == "*":
            made, i = made + "[^/]*", i + 1
        else:
            made, i = made + re.escape(pattern[i]), i + 1
    return re.compile(made + r"\Z", re.S)


def _strings(value: Any, path: Path, key: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise BadFile(path=path, why=Phrase("{name} is neither text nor a list of texts", name=key))
    return tuple(values)


def read_toml(path: Path) -> list[Table]:
    """Raises BadFile, NotUtf8."""
    try:
        data = tomllib.loads(text_of(path))
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
        said = ReuseStatement(
            _strings(a.get("SPDX-License-Identifier"), path, "SPDX-License-Identifier"),
            _strings(a.get("SPDX-FileCopyrightText"), path, "SPDX-FileCopyrightText"),
        )
        tables.append(
            Table(
                tuple(glob(p) for p in _strings(a.get("path"), path, "path")),
                precedence,
                said,
                str(a.get("title", "")),
                str(a.get("source_url", "")),
            )
        )
    return tables


def sidecar(picture: Path) -> ReuseStatement | None:
    """What ``picture.license`` says; None where there is none. Raises BadFile, NotUtf8."""
    path = picture.with_name(picture.name + ".license")
    if not path.is_file():
        return None
    licences, copyrights = [], []
    for kind, value in _TAG.findall(text_of(path).replace("\r\n", "\n")):
        if kind == "License-Identifier":
            licences.append(value)
        elif kind == "FileCopyrightText":
            copyrights.append(value)
    return ReuseStatement(tuple(licences), tuple(copyrights))


def holder(line: str) -> str:
    """The name in a copyright line, without years and addresses."""
    match = _COPYRIGHT.match(line.strip())
    return (match[1] if match else line).strip(" ,;")


class Tree:
    """All REUSE.toml files of a folder, and what holds for a file."""

    def __init__(self, root: Path) -> None:
        self.tables: dict[Path, list[Table]] = {}
        for place, folders, files in os.walk(root):
            folders[:] = [d for d in folders if not d.startswith(".")]
            if "REUSE.toml" in files:
                self.tables[Path(place)] = read_toml(Path(place, "REUSE.toml"))
        self.root = root

    def of(self, picture: Path) -> tuple[ReuseStatement, Table | None]:
        """What holds for a picture. The outermost ``override`` ends the search; the file's own word beats ``closest`` and adds to ``aggregate``."""
        hits: list[Table] = []  # from the root inwards: in each REUSE.toml the last table that fits
        place = picture.parent
        places = [place, *[p for p in place.parents if p == self.root or self.root in p.parents]]
        for folder in reversed(places):
            relative = picture.relative_to(folder).as_posix()
            fit = [t for t in self.tables.get(folder, ()) if any(p.match(relative) for p in t.patterns)]
            if fit:
                hits.append(fit[-1])
                if fit[-1].precedence == "override":
                    return fit[-1].said + _aggregated(hits[:-1]), fit[-1]
        own = sidecar(picture)
        said = own or ReuseStatement()
        for table in reversed(hits):  # the nearest first
            if table.precedence == "closest":
                said = said.or_else(table.said)
        return said + _aggregated(hits), hits[-1] if hits else None


def _aggregated(tables: list[Table]) -> ReuseStatement:
    said = ReuseStatement()
    for table in tables:
        if table.precedence == "aggregate":
            said = said + table.said
    return said


def items(source: Path, options: Options, skip: Skip) -> Iterator[Item]:
    """Raises NoLicence, BadFile, NotUtf8."""
    tree = Tree(source)
    for path in pictures_in(source):
        said, table = tree.of(path)
        relative = path.relative_to(source).as_posix()
        if not said.licences and not options.license:
            raise NoLicence(path=path)
        # several licences in one place all hold
        licence = " AND ".join(f"({x})" if " OR " in x.upper() and len(said.licences) > 1 else x for x in said.licences)
        values: dict[str, Any] = {
            **read_captions(path, options.encoding),
            "license": licence,
            "creator": ", ".join(map(holder, said.copyrights)),
            "evidence": "REUSE" if said else "",
        }
        if table is not None:
            values |= {"title": table.title, "source_url": table.source}
        yield Item(relative, path, values)
