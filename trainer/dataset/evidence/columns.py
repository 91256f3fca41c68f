"""Which columns of a row speak of licences, under any of the names that tables use, and what they state."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.dataset.evidence.statement import Statement, mentioned, rights, statement

_OURS = {"licensestatements"}
# names, letters and digits only: dc:rights and xmpRights:UsageTerms come with their prefix
_LICENCE = re.compile(
    r"licen[cs]|spdx|ライセンス|許諾|利用条件"
    r"|(?:rights|rightsstatement|rightsuri|rightsurl|rightsinfo|accessrights|usageterms|webstatement|termsofuse|termsofservice|usagerights|権利|権利表示)$"
)
_NOT = re.compile(r"(?:holder|holders|owner|owners|author|authors)$")


def speaks_of_licence(column: str) -> bool:
    """By its name: ``license_name``, ``Licence``, ``rights``, ``dc:rights``, ``spdx`` ..."""
    name = _bare(column)
    return bool(_LICENCE.search(name)) and not _NOT.search(name) and name not in _OURS


def _bare(column: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", column).lower() if c.isalnum())


def _leaves(value: Any, depth: int = 0) -> Iterator[str]:
    """Texts and numbers in a cell, which may contain lists and objects. An empty cell yields none."""
    if isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, (int, float)):
        if value == value:  # no NaN: that is how tables without types write an empty cell
            yield str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    elif isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, Mapping):
        for one in value.values() if depth < 5 else [str(value)]:
            yield from _leaves(one, depth + 1)
    elif isinstance(value, (list, tuple)):
        for one in value if depth < 5 else [str(value)]:
            yield from _leaves(one, depth + 1)


def statements_of(row: Mapping[str, Any], where: str, table: str = "") -> list[Statement]:
    """Everything in ``row`` that states a licence. ``where`` locates the row, such as ``metadata.jsonl:3``.

    Any value of a column about licences is a statement; in other columns, any text that reads like a licence is.
    """
    result: list[Statement] = []
    for column, value in row.items():
        if isinstance(column, str) and _bare(column) not in _OURS:
            result += _of_cell(column, value, f"{where} {column}", table)
    return list(dict.fromkeys(result))


def _of_cell(column: str, value: Any, source: str, table: str, depth: int = 0) -> Iterator[Statement]:
    if speaks_of_licence(column):
        for text in _leaves(value):
            if "licen" in _bare(column):
                yield statement(source, text, table)
            else:
                yield from rights(source, text)
    elif isinstance(value, str):
        yield from rights(source, value) if _bare(column).startswith("copyright") else mentioned(source, value)
    elif isinstance(value, Mapping) and depth < 6:  # {"meta": {"license": ...}}
        for key, inner in value.items():
            yield from _of_cell(str(key), inner, f"{source}.{key}", table, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 6:
        for inner in value[:10_000]:
            yield from _of_cell(column, inner, source, table, depth + 1)
