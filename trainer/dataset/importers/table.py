"""Tables of records whose pictures lie beside them or in ``--pictures``: CSV, TSV, JSON lines, and Parquet where pyarrow is there."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from engine.contract.errors import BadFile, BadRow, MissingLibrary, Phrase, UnknownImport, system_words
from trainer.dataset.files import decoded, name_problem
from trainer.dataset.importers.columns import GENERIC, SETS, YFCC_COLUMNS, Columns, smithsonian, values_of, which
from trainer.dataset.importers.source import Item, Options, Skip
from trainer.dataset.pictures import ENDINGS, looks_like_picture

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_CELL = 4_000_000  # characters
_NOT_HERE = Phrase("its picture is not at hand; fetch the pictures first and name their folder with --pictures")


def tables_in(source: Path) -> list[Path]:
    """The table, or those of a folder."""
    if source.is_file():
        return [source]
    return sorted(
        p for p in source.iterdir() if p.suffix.lower() in TABLES and p.is_file() and not p.name.startswith(".")
    )


def rows_of(path: Path, encoding: str, *, headerless: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line (or row) number and columns, one at a time.

    Raises:
        BadFile, BadRow, NotUtf8; MissingLibrary: Parquet without pyarrow.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        yield from _parquet(path)
    elif kind in (".jsonl", ".ndjson", ".json", ".txt") and not headerless:
        for number, line in _lines(path, encoding):
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as e:
                    raise BadRow(path=path, line=number, why=Phrase("it is not JSON")) from e
                if not isinstance(row, dict):
                    raise BadRow(path=path, line=number, why=Phrase("a row is a JSON object"))
                yield number, row
    else:
        yield from _csv(path, encoding, headerless)


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as f:
            number = 0
            while raw := f.readline(_CELL + 1):
                number += 1
                if len(raw) > _CELL:
                    raise BadRow(path=path, line=number, why=Phrase("it is longer than {limit} bytes", limit=_CELL))
                yield number, decoded(raw, path, encoding if number == 1 else encoding.replace("-sig", ""))
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e


def _csv(path: Path, encoding: str, headerless: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_CELL)
    lines = (line for _, line in _lines(path, encoding))
    first = next(lines, "")
    delimiter = (
        "\t"
        if headerless or first.count("\t") > max(first.count(","), first.count(";"))
        else max(",;", key=first.count)
    )

    def every() -> Iterator[str]:
        yield first.replace("\0", "")
        for line in lines:
            yield line.replace("\0", "")

    reader = csv.reader(every(), delimiter=delimiter, **({"quoting": csv.QUOTE_NONE} if headerless else {}))
    header: list[str] | None = list(YFCC_COLUMNS) if headerless else None
    try:
        for cells in reader:
            if not any(c.strip() for c in cells):
                continue
            if header is None:
                header = [c.strip() for c in cells]
                if len(set(header)) != len(header):
                    raise BadRow(path=path, line=1, why=Phrase("two columns have the same name"))
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise BadRow(
                    path=path,
                    line=reader.line_num,
                    why=Phrase(
                        "it has {found} cells, the first line has {wanted}", found=len(cells), wanted=len(header)
                    ),
                )
            row = dict(zip(header, cells))
            # YFCC encodes its text columns as addresses do
            yield (
                reader.line_num,
                {
                    k: unquote(v.replace("+", " "))
                    if headerless and k in ("title", "description", "unickname", "usertags")
                    else v
                    for k, v in row.items()
                },
            )
    except csv.Error as e:
        raise BadRow(path=path, line=reader.line_num, why=Phrase("it is not CSV ({detail})", detail=str(e))) from e


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as e:
        raise MissingLibrary(name="pyarrow", command="pip install pyarrow") from e
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError) as e:  # pyarrow's errors are kinds of these
        raise BadFile(path=path, why=Phrase("it is not a whole Parquet file")) from e


class Finder:
    """The picture a row means, among the files of some folders; nothing outside them is ever taken."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._by_name: dict[str, Path] | None = None

    def named(self, value: str) -> Path | None:
        """By a path inside one of the folders, or by the last part of an address or path, or by that without its ending."""
        value = value.strip().replace("\\", "/")
        if "://" in value:
            value = urlsplit(value).path.rsplit("/", 1)[-1]
        value = value.removeprefix("./")
        if name_problem(value) is None:
            for folder in self.folders:
                if looks_like_picture(value) and (folder / value).is_file():
                    return folder / value
        return self._names().get(value.rsplit("/", 1)[-1].casefold())

    def _names(self) -> dict[str, Path]:
        if self._by_name is None:
            self._by_name = {}
            for root in self.folders:
                for place, folders, files in os.walk(root):
                    folders[:] = sorted(d for d in folders if not d.startswith("."))
                    for name in sorted(files):
                        if looks_like_picture(name):
                            self._by_name.setdefault(name.casefold(), Path(place, name))
                            self._by_name.setdefault(Path(name).stem.casefold(), Path(place, name))
        return self._by_name


def _picture(row: dict[str, Any], columns: Columns, finder: Finder) -> tuple[str, Path | bytes] | None:
    """Name and place of a row's picture: bytes in the row, a path, an address, or an id."""
    low = {k.lower().strip(): k for k in row}
    for name in (*columns.picture, *columns.keys):
        value = row.get(low.get(name, ""))
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):  # as the datasets library stores pictures
            return str(value.get("path") or ""), value["bytes"]
        if isinstance(value, bytes) and value:
            return "", value
        if isinstance(value, (str, int)) and str(value).strip() and (path := finder.named(str(value))) is not None:
            return path.name, path
    return None


def items(source: Path, options: Options, skip: Skip, form: str = "table") -> Iterator[Item]:
    """Rows of one table or of all tables of a folder. ``form``: table, commoncatalog, megalith, yfcc100m or smithsonian.

    Raises:
        NoLicence, BadFile, BadRow, NotUtf8, MissingLibrary, UnknownImport
    """
    tables = tables_in(source)
    if not tables:
        raise UnknownImport(path=source, why=Phrase("there is no table in it"), known=", ".join(TABLES))
    root = source if source.is_dir() else source.parent
    finder = Finder([options.pictures] if options.pictures else [root])
    for path in tables:
        for number, row in rows_of(
            path, options.encoding, headerless=form == "yfcc100m" and not _has_header(path, options.encoding)
        ):
            if form == "smithsonian":
                yield from _smithsonian(row, finder, skip, f"{path.name}:{number}")
                continue
            columns = SETS.get(which(set(row)) if form == "table" else form, GENERIC)
            found = _picture(row, columns, finder)
            if found is None:
                skip(f"{path.name}:{number}", _NOT_HERE)
                continue
            name, where = found
            values, extra = values_of(row, columns)
            if isinstance(where, bytes):
                label = name or str(next((row[k] for k in columns.keys if row.get(k)), f"{path.stem}-{number:08d}"))
                yield Item(label, where, values, extra)
            else:
                yield Item(
                    where.relative_to(next(f for f in finder.folders if f in where.parents)).as_posix(),
                    where,
                    values,
                    extra,
                )


def _smithsonian(row: dict[str, Any], finder: Finder, skip: Skip, label: str) -> Iterator[Item]:
    every = smithsonian(row)
    if not every:
        skip(label, Phrase("the record has no picture"))
    for values, names in every:
        path = next(
            (p for n in names for ending in ("", *ENDINGS) if (p := finder.named(n + ending)) is not None), None
        )
        if path is None:
            skip(label, _NOT_HERE)
        else:
            yield Item(path.name, path, values)


def _has_header(path: Path, encoding: str) -> bool:
    if path.suffix.lower() in (".parquet", ".jsonl", ".ndjson"):
        return True
    _, line = next(_lines(path, encoding), (0, ""))
    cells = next(csv.reader(io.StringIO(line), delimiter="\t" if "\t" in line else ","), [])
    return "photoid" in {c.strip().lower() for c in cells}


def looks_like(path: Path, encoding: str) -> str | None:
    """Which set a table is by its columns, ``table`` where it names pictures at all, None where it does not."""
    if path.suffix.lower() == ".parquet":
        return "table"
    if path.suffix.lower() in (".csv", ".tsv"):
        _, line = next(_lines(path, encoding), (0, ""))
        if line.count("\t") == len(YFCC_COLUMNS) - 1 and "photoid" not in line:
            return "yfcc100m"
    row = next((r for _, r in rows_of(path, encoding)), None)
    if row is None:
        return "table"
    if isinstance(row.get("content"), dict) and "descriptiveNonRepeating" in row["content"]:
        return "smithsonian"
    return which(set(row))
