"""Manual edits of records: all changes are applied or none, and ``metadata.jsonl`` is replaced atomically."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, BadRow, BadValue, Phrase, system_words
from trainer.dataset.evidence.statement import EDIT, Statement
from trainer.dataset.files import name_problem, sha256_of
from trainer.dataset.records import LANGUAGES, Record, scan, write_records
from trainer.dataset.tree import FileLocator

LIMIT = 200_000_000  # bytes of a list of changes
TEXTS = ("license", "license_url", "creator", "title", "source_url", "modified", "evidence", "training_permission")
_COLUMNS = {column: language for language, column in LANGUAGES.items()}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of the rows of ``files``, or of the one on ``line``.

    ``set`` has columns and their new values (captions: text or a list of texts); an image that has no row yet gets
    one. ``rehash`` records the hash of the file as it is now; ``remove`` takes the row out, the image stays.
    """

    files: tuple[str, ...] = ()
    line: int = 0
    set: Mapping[str, Any] = field(default_factory=dict)
    rehash: bool = False
    remove: bool = False


def read_changes(path: Path) -> list[Change]:
    """A JSON list of objects with the names of ``Change``. Raises BadFile, BadValue."""
    try:
        if path.stat().st_size > LIMIT:
            raise BadFile(path=path, why=Phrase("it is larger than {limit} bytes", limit=LIMIT))
        data = json.loads(path.read_bytes())
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not JSON")) from e
    if not isinstance(data, list):
        raise BadFile(path=path, why=Phrase("it is not a list of changes"))
    return [_change(one, path) for one in data]


def _change(one: Any, path: Path) -> Change:
    kinds = {"files": list, "line": int, "set": dict, "rehash": bool, "remove": bool}
    if not isinstance(one, dict) or not all(k in kinds and type(v) is kinds[k] for k, v in one.items()):
        raise BadFile(path=path, why=Phrase("it is not a list of changes"))
    files = one.get("files", [])
    for name in files:
        if not isinstance(name, str) or name_problem(name):
            raise BadValue(
                name="file_name", value=repr(name), why=Phrase("it is not the name of an image in the folder")
            )
    return Change(**one | {"files": tuple(files), "set": _values(one.get("set", {}))})


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values: texts stripped, captions as tuples. Raises BadValue naming the column."""
    from trainer.dataset.spdx import parse

    values: dict[str, Any] = {}
    for name, value in given.items():
        if name in _COLUMNS:
            captions = [value] if isinstance(value, str) else value
            if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
                raise BadValue(name=name, value=repr(value), why=Phrase("it is neither text nor a list of texts"))
            values[name] = tuple(c.strip() for c in captions if c.strip())
        elif name not in TEXTS:
            raise BadValue(name=name, value=repr(value), why=Phrase("it cannot be changed here"))
        elif not isinstance(value, str) or any(ord(c) < 32 for c in value):
            raise BadValue(name=name, value=repr(value), why=Phrase("it is not one line of text"))
        else:
            values[name] = value.strip()
    if values.get("license"):
        try:
            values["license"] = parse(values["license"]).text
        except ValueError as e:
            raise BadValue(name="license", value=values["license"], why=e.args[0]) from e
    for name in ("license_url", "source_url"):
        if values.get(name) and not values[name].startswith(("https://", "http://")):
            raise BadValue(name=name, value=values[name], why=Phrase("an address begins with https:// or http://"))
    try:
        json.dumps(values, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as e:
        raise BadValue(name="text", value="…", why=Phrase("half of a surrogate pair stands alone in it")) from e
    return values


def edit(folder: Path, changes: Sequence[Change]) -> dict[str, int]:
    """Apply the changes and return how many rows were ``changed``, ``added`` and ``removed``.

    Nothing is written if one of them cannot be applied.

    Raises:
        BadFile, NoRecords, NotUtf8, BadRow, BadValue, DiskFull, OutputFolder
    """
    by_file: dict[str, list[Change]] = {}
    for change in changes:
        for name in change.files:
            by_file.setdefault(name, []).append(change)
    by_line = {c.line: c for c in changes if c.line}
    counts = {"changed": 0, "added": 0, "removed": 0}
    kept: list[Record] = []
    seen: set[str] = set()
    for line, record in scan(folder):
        here = by_line.get(line)
        if isinstance(record, BadRow):
            if here is None or not here.remove:
                raise record
            counts["removed"] += 1
            continue
        seen.add(record.file_name)
        now: Record | None = record
        for change in [*([here] if here else []), *by_file.get(record.file_name, ())]:
            now = None if change.remove or now is None else _changed(now, change, folder)
        if now is None:
            counts["removed"] += 1
            continue
        counts["changed"] += now != record
        kept.append(now)
    fresh = list(_added(folder, by_file, seen))
    counts["added"] = len(fresh)
    if any(counts.values()):
        write_records(folder, [*kept, *fresh])
    return counts


def _added(folder: Path, by_file: Mapping[str, list[Change]], seen: set[str]) -> Iterator[Record]:
    """Rows for images that had none. Raises BadFile where there is no such image either."""
    for name, changes in by_file.items():
        if name in seen or all(c.remove for c in changes):
            continue
        record = Record(file_name=name, sha256=sha256_of(FileLocator(folder).path(name)))
        for change in changes:
            record = _changed(record, change, folder)
        yield record


def _changed(record: Record, change: Change, folder: Path) -> Record:
    record = replace(record, **{k: v for k, v in change.set.items() if k in TEXTS})
    if "license" in change.set:  # statements of the sources stay; the decision is stored beside them
        kept = tuple(s for s in record.license_statements if s.source != EDIT)
        decided = (Statement(EDIT, record.license, record.license),) if record.license else ()
        record = replace(record, license_statements=kept + decided if kept else ())
    for column, language in _COLUMNS.items():
        if column in change.set and change.set[column] != record.captions(language):
            record = record.with_captions(language, change.set[column], "human" if change.set[column] else "")
    return replace(record, sha256=sha256_of(FileLocator(folder).path(record.file_name))) if change.rehash else record
