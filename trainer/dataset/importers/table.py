"""Rows of tables, one at a time: CSV, TSV, JSON lines, JSON, and Parquet where pyarrow is there."""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote

from engine.contract.errors import BadFile, BadRow, MissingLibrary, NotUtf8, Phrase, system_words
from engine.contract.python_process import pip_install
from trainer.dataset.files import decoded, load_json
from trainer.dataset.importers.columns import YFCC_COLUMNS, which
from trainer.dataset.tree import Tree

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet", "metadata.tsv", "metadata.json")
_CELL = 4_000_000  # characters
_JSON = 256_000_000  # bytes of a JSON document, which is read as a whole


def is_table(name: str) -> bool:
    """By its ending; a ``.json`` is one only under the name of a metadata file (see ``is_json_table``)."""
    return PurePosixPath(name).suffix.lower() in TABLES


def is_metadata(name: str) -> bool:
    """Whether it is an ImageFolder's metadata file by its name."""
    return PurePosixPath(name).name.lower() in METADATA


def rows_of(tree: Tree, name: str, encoding: str, *, headerless: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line (or row) number and columns, one at a time.

    Raises:
        BadFile, BadRow, NotUtf8; MissingLibrary: Parquet without pyarrow.
    """
    kind, place = PurePosixPath(name).suffix.lower(), tree.place(name)
    if kind == ".parquet":
        yield from _parquet(tree, name)
    elif kind == ".json":
        yield from enumerate(_json_rows(tree, name, encoding) or (), 1)
    elif kind in (".jsonl", ".ndjson") and not headerless:
        for number, line in lines_of(tree, name, encoding):
            if line.strip():
                try:
                    row = load_json(line)
                except (ValueError, RecursionError) as e:
                    why = e.args[0] if e.args and isinstance(e.args[0], Phrase) else Phrase("it is not JSON")
                    raise BadRow(path=place, line=number, why=why) from e
                if not isinstance(row, dict):
                    raise BadRow(path=place, line=number, why=Phrase("a row is a JSON object"))
                yield number, row
    else:
        yield from _csv(tree, name, encoding, headerless)


def lines_of(tree: Tree, name: str, encoding: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line, with its end; a file of any size needs no more memory than its longest line."""
    place = tree.place(name)
    try:
        with tree.open(name) as f:
            if f.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                f.seek(0)
                yield from _utf16(f, place)
                return
            f.seek(0)
            number = 0
            while raw := f.readline(_CELL + 1):
                number += 1
                if len(raw) > _CELL:
                    raise BadRow(path=place, line=number, why=Phrase("it is longer than {limit} bytes", limit=_CELL))
                yield number, decoded(raw, place, encoding if number == 1 else encoding.replace("-sig", ""))
    except OSError as e:
        raise BadFile(path=place, why=system_words(e)) from e


def _utf16(f: IO[bytes], place: Path) -> Iterator[tuple[int, str]]:
    number = 0
    text = io.TextIOWrapper(f, "utf-16", newline="\n")
    try:
        while line := text.readline(_CELL + 1):
            number += 1
            if len(line) > _CELL:
                raise BadRow(path=place, line=number, why=Phrase("it is longer than {limit} bytes", limit=_CELL))
            yield number, line
    except UnicodeError as e:
        raise NotUtf8(path=place, why=Phrase("some bytes in it are no text")) from e
    finally:
        text.detach()


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv(tree: Tree, name: str, encoding: str, headerless: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(_CELL)
    place = tree.place(name)
    lines = (line for _, line in lines_of(tree, name, encoding))
    first = next(lines, "")
    before = 0
    delimiter = ""
    if match := re.fullmatch(r'"?sep=(.)"?\s*', first, re.I):  # how Excel is told the delimiter
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
                    raise BadRow(path=place, line=number, why=Phrase("two columns have the same name"))
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                why = Phrase("it has {found} cells, the first line has {wanted}", found=len(cells), wanted=len(header))
                raise BadRow(path=place, line=number, why=why)
            row = {h or f"column {n}": c for n, (h, c) in enumerate(zip(header, cells, strict=False), 1)}
            if headerless:  # YFCC encodes its text columns as addresses do
                texts = ("title", "description", "unickname", "usertags")
                row |= {k: unquote(row[k].replace("+", " ")) for k in texts if k in row}
            yield number, row
    except csv.Error as e:
        raise BadRow(
            path=place, line=reader.line_num + before, why=Phrase("it is not CSV ({detail})", detail=str(e))
        ) from e


# JSON and Parquet -----------------------------------------------------------------------------------------------------


def is_json_table(tree: Tree, name: str, encoding: str) -> bool:
    """Whether a ``.json`` holds rows about images: a list of objects, an object of them by name, or COCO's three lists."""
    try:
        return _json_rows(tree, name, encoding) is not None
    except (BadFile, BadRow, NotUtf8):
        return is_metadata(name)


_NAMES = ("file_name", "filename", "file", "path", "image", "image_path", "img")


def _json_rows(tree: Tree, name: str, encoding: str) -> list[dict[str, Any]] | None:
    """Rows of a JSON document, or None where it is another kind. Raises BadFile, BadRow, NotUtf8."""
    place = tree.place(name)
    try:
        data = load_json(decoded(tree.read(name, _JSON), place, encoding))
    except (ValueError, RecursionError) as e:
        why = e.args[0] if e.args and isinstance(e.args[0], Phrase) else Phrase("it is not JSON")
        raise BadFile(path=place, why=why) from e
    if isinstance(data, list):
        rows = [r for r in data if isinstance(r, dict)]
        fits = bool(rows) and len(rows) == len(data) and any(k.lower() in _NAMES for r in rows[:5] for k in r)
        return rows if fits else None
    if not isinstance(data, dict) or not data:
        return None
    if isinstance(data.get("images"), list) and all(isinstance(i, dict) and "file_name" in i for i in data["images"]):
        return _coco(data)
    if all(isinstance(v, dict) for v in data.values()) and any(
        k in v for v in data.values() for k in ("caption", "tags", "license")
    ):
        return [{"file_name": k} | v for k, v in data.items()]  # as kohya's tools write them
    return None


def _coco(data: dict[str, Any]) -> list[dict[str, Any]]:
    """COCO's numbers for licences are declared in the same document; one that is not declared stays a number."""
    licences = {x["id"]: {k: v for k, v in x.items() if k != "id"} for x in _objects(data, "licenses") if "id" in x}
    captions: dict[Any, list[str]] = {}
    for note in _objects(data, "annotations"):
        if isinstance(note.get("caption"), str):
            captions.setdefault(note.get("image_id"), []).append(note["caption"])
    rows = []
    for image in data["images"]:
        row = dict(image)
        if isinstance(row.get("license"), int) and row["license"] in licences:
            row["license"] = licences[row["license"]]
        if told := captions.get(image.get("id")):
            row["caption"] = told
        row.pop("id", None)
        rows.append(row)
    return rows


def _objects(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = data.get(key)
    return [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []


def _parquet(tree: Tree, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    place = tree.place(name)
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as e:
        raise MissingLibrary(name="pyarrow", command=pip_install("commonart-desktop[parquet]")) from e
    try:
        with tree.open(name) as f, parquet.ParquetFile(f) as file:
            names = file.schema_arrow.names
            if len(set(names)) != len(names):
                raise BadRow(path=place, line=0, why=Phrase("two columns have the same name"))
            number = 0
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError) as e:  # pyarrow's errors are kinds of these
        raise BadFile(path=place, why=Phrase("it is not a whole Parquet file")) from e


# which set ------------------------------------------------------------------------------------------------------------


def has_header(tree: Tree, name: str, encoding: str) -> bool:
    """False for YFCC100M's table, which begins with its first row."""
    if PurePosixPath(name).suffix.lower() not in (".csv", ".tsv"):
        return True
    _, line = next(lines_of(tree, name, encoding), (0, ""))
    cells = next(csv.reader(io.StringIO(line), delimiter="\t" if "\t" in line else ","), [])
    return "photoid" in {c.strip().lower() for c in cells}


def set_of(tree: Tree, name: str, encoding: str) -> str:
    """Which set a table is by its columns, or ``table``. Raises as ``rows_of``."""
    kind = PurePosixPath(name).suffix.lower()
    if kind in (".csv", ".tsv"):
        _, line = next(lines_of(tree, name, encoding), (0, ""))
        if line.count("\t") == len(YFCC_COLUMNS) - 1 and "photoid" not in line:
            return "yfcc100m"
    row = next((r for _, r in rows_of(tree, name, encoding)), None)
    if row is None:
        return "table"
    if isinstance(row.get("content"), dict) and "descriptiveNonRepeating" in row["content"]:
        return "smithsonian"
    return which(set(row))
