"""One record per image: ``metadata.jsonl`` of Hugging Face's ImageFolder, with licence and origin."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, BadRow, NoRecords, NotUtf8, Phrase, system_words
from engine.contract.files import replacing
from trainer.dataset.evidence.statement import Statement, from_data
from trainer.dataset.files import decoded, load_json, name_problem

FILE = "metadata.jsonl"
STATEMENTS = "license_statements"
MAX_LINE = 4_000_000  # bytes: no caption list needs more
LANGUAGES = {"en": "text", "ja": "text_ja"}
_STRINGS = (
    "license",
    "license_url",
    "creator",
    "title",
    "source_url",
    "modified",
    "sha256",
    "evidence",
    "caption_origin",
    "training_permission",
)


@dataclass(frozen=True, kw_only=True)
class Record:
    """Metadata of one image. Empty text means unknown."""

    file_name: str  # inside the folder, with /
    text: tuple[str, ...] = ()  # English captions, any number
    text_ja: tuple[str, ...] = ()
    license: str = ""  # SPDX expression
    license_url: str = ""
    creator: str = ""
    title: str = ""
    source_url: str = ""
    modified: str = ""  # what was changed since the creator's version
    sha256: str = ""  # of the file's bytes, lower-case hex
    evidence: str = ""  # proof of the licence: a contract's number, an archived page, a letter
    caption_origin: str = ""  # human, machine:MODEL@HASH, or en=...; ja=...
    training_permission: str = ""  # allowed, notAllowed or constrained, where the creator declared it
    license_statements: tuple[Statement, ...] = ()  # every licence statement, as evidence
    extra: Mapping[str, Any] = field(default_factory=dict)  # foreign columns, unchanged

    def captions(self, language: str) -> tuple[str, ...]:
        """Captions in ``en`` or ``ja``."""
        return tuple(getattr(self, LANGUAGES[language]))

    def origin(self, language: str) -> str:
        """Origin of the captions in that language; empty where unknown."""
        if "=" not in self.caption_origin.split(":", 1)[0]:
            return self.caption_origin
        parts = dict(p.strip().split("=", 1) for p in self.caption_origin.split(";") if "=" in p)
        return parts.get(language, "")

    def with_captions(self, language: str, captions: Iterable[str], origin: str) -> Record:
        """The record with other captions in one language, and where they come from."""
        kept = {other: self.origin(other) for other in LANGUAGES if other != language and self.captions(other)}
        origins = kept | {language: origin}
        same = len(set(origins.values())) == 1
        text = origin if same else "; ".join(f"{k}={origins[k]}" for k in sorted(origins) if origins[k])
        changes: dict[str, Any] = {LANGUAGES[language]: tuple(captions), "caption_origin": text}
        return replace(self, **changes)


KNOWN = tuple(f.name for f in fields(Record) if f.name != "extra")


def to_row(record: Record) -> dict[str, Any]:
    """JSON-ready; one caption is a string, several are a list."""
    row: dict[str, Any] = {}
    for name in KNOWN:
        if name == STATEMENTS:
            if record.license_statements:
                row[name] = [s.as_data() for s in record.license_statements]
            continue
        value = getattr(record, name)
        row[name] = (
            (value[0] if len(value) == 1 else list(value) if value else "") if isinstance(value, tuple) else value
        )
    return row | {k: v for k, v in record.extra.items() if k not in row}


def from_row(row: Any) -> Record:
    """A record from a JSON object.

    Raises:
        ValueError: with a Phrase of what is wrong.
    """
    if not isinstance(row, dict):
        raise ValueError(Phrase("a row is a JSON object"))
    name = row.get("file_name")
    if not isinstance(name, str):
        raise ValueError(Phrase("file_name is missing"))
    if problem := name_problem(name):
        raise ValueError(problem)
    values: dict[str, Any] = {"file_name": name}
    for column in ("text", "text_ja"):
        value = row.get(column)
        captions = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
            raise ValueError(Phrase("{name} is neither text nor a list of texts", name=column))
        # one empty text means none; an empty one among others stays, so that the check can report it
        values[column] = () if captions == [""] else tuple(captions)
    for column in _STRINGS:
        value = row.get(column)
        if isinstance(value, bool) and column == "modified":
            value = "yes" if value else ""
        if value is not None and not isinstance(value, str):
            raise ValueError(Phrase("{name} is not text", name=column))
        values[column] = (value or "").strip()
    values["sha256"] = values["sha256"].lower()
    values[STATEMENTS] = from_data(row.get(STATEMENTS))
    _check_encodable(row)
    return Record(**values, extra={k: v for k, v in row.items() if k not in KNOWN})


def _check_encodable(row: dict[str, Any]) -> None:
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError as e:
        raise ValueError(Phrase("half of a surrogate pair stands alone in it")) from e
    except (ValueError, RecursionError) as e:
        raise ValueError(Phrase("it is not JSON")) from e


def parse(line: str) -> Record:
    """One line. Raises ValueError with a Phrase."""
    try:
        row = load_json(line)
    except (ValueError, RecursionError) as e:
        why = e.args[0] if e.args and isinstance(e.args[0], Phrase) else Phrase("it is not JSON")
        raise ValueError(why) from e
    return from_row(row)


def file_of(folder: Path) -> Path:
    """The folder's ``metadata.jsonl``. Raises BadFile, NoRecords."""
    if not folder.is_dir():
        raise BadFile(path=folder, why=Phrase("there is no such folder"))
    if not (folder / FILE).is_file():
        raise NoRecords(path=folder)
    return folder / FILE


def scan(folder: Path) -> Iterator[tuple[int, Record | BadRow]]:
    """Line number and record, line by line; an unreadable line yields its error, and reading goes on.

    Raises:
        BadFile, NoRecords: there is none. NotUtf8: the file has another encoding.
    """
    path = file_of(folder)
    try:
        with path.open("rb") as f:
            number = 0
            while raw := f.readline(MAX_LINE + 1):
                number += 1
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if len(raw) > MAX_LINE:
                    yield (
                        number,
                        BadRow(path=path, line=number, why=Phrase("it is longer than {limit} bytes", limit=MAX_LINE)),
                    )
                    while raw and not raw.endswith(b"\n"):
                        raw = f.readline(MAX_LINE)
                    continue
                try:
                    line = decoded(raw, path, "utf-8").strip()
                except NotUtf8 as e:
                    raise NotUtf8(path=f"{path}:{number}", why=e.fields["why"]) from e
                if not line:
                    continue
                try:
                    yield number, parse(line)
                except ValueError as e:
                    yield number, BadRow(path=path, line=number, why=e.args[0])
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e


def read_records(folder: Path) -> Iterator[Record]:
    """Every record, line by line, in constant memory.

    Raises:
        BadFile, NoRecords, NotUtf8, BadRow
    """
    for _, record in scan(folder):
        if isinstance(record, BadRow):
            raise record
        yield record


def write_records(folder: Path, records: Iterable[Record]) -> int:
    """Replace ``metadata.jsonl`` atomically and return the number of records.

    ``records`` may read the old file meanwhile.

    Raises:
        DiskFull, OutputFolder
    """
    count = 0
    with replacing(folder / FILE) as f:
        for record in records:
            f.write(json.dumps(to_row(record), ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n")
            count += 1
    return count
