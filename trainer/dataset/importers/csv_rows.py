"""Lines of text files of any size, and rows of CSV and TSV files."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote

from engine.contract.errors import BadFile, BadRow, NotUtf8, Phrase, system_words
from trainer.dataset.files import decoded
from trainer.dataset.importers.columns import YFCC_COLUMNS
from trainer.dataset.tree import Tree

_CELL = 4_000_000  # characters


def lines_of(tree: Tree, name: str, encoding: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, with its line end; memory is bounded by the longest line."""
    path = tree.path_of(name)
    try:
        with tree.open(name) as f:
            if f.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                f.seek(0)
                yield from _utf16(f, path)
                return
            f.seek(0)
            number = 0
            while raw := f.readline(_CELL + 1):
                number += 1
                if len(raw) > _CELL:
                    raise BadRow(path=path, line=number, why=Phrase("it is longer than {limit} bytes", limit=_CELL))
                yield number, decoded(raw, path, encoding if number == 1 else encoding.replace("-sig", ""))
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e


def _utf16(f: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    text = io.TextIOWrapper(f, "utf-16", newline="\n")
    try:
        while line := text.readline(_CELL + 1):
            number += 1
            if len(line) > _CELL:
                raise BadRow(path=path, line=number, why=Phrase("it is longer than {limit} bytes", limit=_CELL))
            yield number, line
    except UnicodeError as e:
        raise NotUtf8(path=path, why=Phrase("some bytes in it are no text")) from e
    finally:
        text.detach()


def csv_rows(tree: Tree, name: str, encoding: str, headerless: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_CELL)
    path = tree.path_of(name)
    lines = (line for _, line in lines_of(tree, name, encoding))
    first = next(lines, "")
    before = 0
    delimiter = ""
    if match := re.fullmatch(r'"?sep=(.)"?\s*', first, re.I):  # declares the delimiter to Excel
        delimiter, before = match[1], 1
        first = next(lines, "")
    elif first.strip().lower() in ("sep=", '"sep=\t"'):
        delimiter, before = "\t", 1
        first = next(lines, "")
    if not delimiter:
        tabs = headerless or first.count("\t") > max(first.count(","), first.count(";"))
        delimiter = "\t" if tabs else max(",;", key=first.count)

    def every() -> Iterator[str]:
        yield first.replace("\0", "")
        for line in lines:
            yield line.replace("\0", "")

    options: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if headerless else {"skipinitialspace": delimiter != "\t"}
    reader = csv.reader(every(), delimiter=delimiter, **options)
    header: list[str] | None = list(YFCC_COLUMNS) if headerless else None
    try:
        for cells in reader:
            number = reader.line_num + before
            if not any(c.strip() for c in cells):
                continue
            if header is None:
                header = [c.strip() for c in cells]
                named = [c for c in header if c]
                if len(set(named)) != len(named):
                    raise BadRow(path=path, line=number, why=Phrase("two columns have the same name"))
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                why = Phrase("it has {found} cells, the first line has {wanted}", found=len(cells), wanted=len(header))
                raise BadRow(path=path, line=number, why=why)
            row = {h or f"column {n}": c for n, (h, c) in enumerate(zip(header, cells, strict=False), 1)}
            if headerless:  # YFCC encodes its text columns as addresses do
                texts = ("title", "description", "unickname", "usertags")
                row |= {k: unquote(row[k].replace("+", " ")) for k in texts if k in row}
            yield number, row
    except csv.Error as e:
        raise BadRow(
            path=path, line=reader.line_num + before, why=Phrase("it is not CSV ({detail})", detail=str(e))
        ) from e


def has_header(tree: Tree, name: str, encoding: str) -> bool:
    """False for YFCC100M's table, which begins with its first row."""
    if PurePosixPath(name).suffix.lower() not in (".csv", ".tsv"):
        return True
    _, line = next(lines_of(tree, name, encoding), (0, ""))
    cells = next(csv.reader(io.StringIO(line), delimiter="\t" if "\t" in line else ","), [])
    return "photoid" in {c.strip().lower() for c in cells}
