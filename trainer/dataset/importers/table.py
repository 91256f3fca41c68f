"""Rows of tables, one at a time: CSV, TSV, JSON lines, JSON, and Parquet where pyarrow is there."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from engine.contract.errors import BadFile, BadRow, MissingLibrary, NotUtf8, Phrase
from engine.contract.python_process import pip_install
from trainer.dataset.files import decoded, load_json
from trainer.dataset.importers.columns import YFCC_COLUMNS, which
from trainer.dataset.importers.csv_rows import csv_rows, lines_of
from trainer.dataset.tree import Tree

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet", "metadata.tsv", "metadata.json")
_JSON = 256_000_000  # bytes of a JSON document, which is loaded into memory


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
    kind, path = PurePosixPath(name).suffix.lower(), tree.path_of(name)
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
                    raise BadRow(path=path, line=number, why=why) from e
                if not isinstance(row, dict):
                    raise BadRow(path=path, line=number, why=Phrase("a row is a JSON object"))
                yield number, row
    else:
        yield from csv_rows(tree, name, encoding, headerless)


# JSON and Parquet -----------------------------------------------------------------------------------------------------


def is_json_table(tree: Tree, name: str, encoding: str) -> bool:
    """Whether a ``.json`` has rows about images: a list of objects, objects by file name, or COCO's three lists."""
    try:
        return _json_rows(tree, name, encoding) is not None
    except (BadFile, BadRow, NotUtf8):
        return is_metadata(name)


_NAMES = ("file_name", "filename", "file", "path", "image", "image_path", "img")


def _json_rows(tree: Tree, name: str, encoding: str) -> list[dict[str, Any]] | None:
    """Rows of a JSON document, or None where it is another kind. Raises BadFile, BadRow, NotUtf8."""
    path = tree.path_of(name)
    try:
        data = load_json(decoded(tree.read(name, _JSON), path, encoding))
    except (ValueError, RecursionError) as e:
        why = e.args[0] if e.args and isinstance(e.args[0], Phrase) else Phrase("it is not JSON")
        raise BadFile(path=path, why=why) from e
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
    """COCO's numbers for licences are declared in the same document; an undeclared one stays a number."""
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
        if texts := captions.get(image.get("id")):
            row["caption"] = texts
        row.pop("id", None)
        rows.append(row)
    return rows


def _objects(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = data.get(key)
    return [x for x in value if isinstance(x, dict)] if isinstance(value, list) else []


def _parquet(tree: Tree, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    path = tree.path_of(name)
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as e:
        raise MissingLibrary(name="pyarrow", command=pip_install("commonart-desktop[parquet]")) from e
    try:
        with tree.open(name) as f, parquet.ParquetFile(f) as file:
            names = file.schema_arrow.names
            if len(set(names)) != len(names):
                raise BadRow(path=path, line=0, why=Phrase("two columns have the same name"))
            number = 0
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ValueError) as e:  # base classes of pyarrow's errors
        raise BadFile(path=path, why=Phrase("it is not a whole Parquet file")) from e


# which set ------------------------------------------------------------------------------------------------------------


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
