"""A settings file line by line: what can still be read where it is not TOML as a whole, and where its errors stand."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from engine.contract.errors import BackslashInSettings, BadFile, BadSettings, Phrase

_TABLE = re.compile(r"\s*\[\s*([\w.-]+)\s*\]\s*(?:#.*)?")


class Line(NamedTuple):
    """An entry that stands on a line of its own."""

    number: int  # from 1
    column: int  # from 1
    table: str  # "" above the first table
    key: str
    value: Any


def entries(text: str) -> Iterator[Line]:
    """Every line that is one whole entry; the others are passed over."""
    table: str | None = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            found = _TABLE.fullmatch(line)
            table = found[1] if found else None  # an array of tables, or damaged: what follows belongs to nobody
            continue
        try:
            data = tomllib.loads(line)
        except (ValueError, RecursionError):
            continue
        if table is not None and len(data) == 1:
            key, value = data.popitem()
            yield Line(number, len(line) - len(line.lstrip()) + 1, table, key, value)


def what_can_be_read(text: str) -> dict[str, Any]:
    """The whole lines of a damaged file, as ``tomllib.loads`` would give them."""
    data: dict[str, Any] = {}
    for line in entries(text):
        place = data.setdefault(line.table, {}) if line.table else data
        if isinstance(place, dict):
            place.setdefault(line.key, line.value)
    return data


def position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows ``before``."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def not_toml(path: Path, text: str, error: Exception) -> BadFile:
    """What ``tomllib`` complained of, at the place with which its complaint ends."""
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
    if found is None:
        return BadFile(path=path, why=Phrase("it is not TOML ({reason})", reason=error))
    line, column = (int(found[2]), int(found[3])) if found[2] else position(text.rstrip("\n"))
    return error_at(path, line, column, Phrase("it is not TOML ({reason})", reason=found[1]), text)


def error_at(path: Path, line: int, column: int, why: Phrase, text: str = "") -> BadSettings:
    """An error at a place; where a backslash in the line of ``text`` may be to blame, how that line is written."""
    lines = text.splitlines()
    here = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    quoted = re.search(r'"([^"]*\\[^"]*)"', here)
    if quoted is None:
        return BadSettings(path=path, line=line, column=column, why=why)
    meant = quoted[1]
    plain = f"'{meant}'" if "'" not in meant else '"' + meant.replace("\\", "/") + '"'
    return BackslashInSettings(
        path=path,
        line=line,
        column=column,
        why=Phrase("in double quotes a backslash stands for something else"),
        example=here.replace(quoted[0], plain, 1),
    )
