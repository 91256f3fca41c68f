"""Hugging Face ImageFolders: ``metadata.jsonl`` or ``metadata.csv`` beside the pictures, with or without our columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.errors import BadRow, Phrase
from trainer.dataset.importers.columns import GENERIC, values_of
from trainer.dataset.importers.source import Item, Options, Skip
from trainer.dataset.importers.table import rows_of
from trainer.dataset.records import KNOWN, from_row

NAMES = ("metadata.jsonl", "metadata.csv")


def metadata_of(source: Path) -> Path | None:
    """The folder's metadata file, if it has one."""
    return next((source / n for n in NAMES if (source / n).is_file()), None)


def items(source: Path, options: Options, skip: Skip) -> Iterator[Item]:
    """Raises NoLicence, BadFile, BadRow, NotUtf8."""
    path = metadata_of(source)
    assert path is not None
    for number, row in rows_of(path, options.encoding):
        translated, _ = values_of(row, GENERIC)  # "caption" and the like, where "text" is missing
        merged: dict[str, Any] = {k: v for k, v in row.items() if k in KNOWN and v not in (None, "")}
        extra = {k: v for k, v in row.items() if k not in KNOWN}
        try:
            record = from_row(
                {
                    **{k: list(v) if isinstance(v, tuple) else v for k, v in translated.items()},
                    **merged,
                    "file_name": row.get("file_name"),
                }
            )
        except ValueError as e:
            raise BadRow(path=path, line=number, why=e.args[0]) from e
        if not (source / record.file_name).is_file():
            skip(record.file_name, Phrase("there is no such file"))
            continue
        known = replace(record, extra={})
        yield Item(
            record.file_name,
            source / record.file_name,
            {k: getattr(known, k) for k in KNOWN if k != "file_name"},
            extra,
        )
