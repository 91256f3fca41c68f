"""The records of a dataset folder during an import: one for each image, from all its sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.contract.errors import NoLicence
from trainer.dataset.evidence.statement import EDIT, OPTION, Statement, conclude, merged, statement
from trainer.dataset.importers.columns import FORBIDDEN
from trainer.dataset.importers.source import Item, Options
from trainer.dataset.licence_names import from_statement, url_of
from trainer.dataset.records import FILE, Record, read_records, write_records

_STRINGS = (
    "license_url",
    "creator",
    "title",
    "source_url",
    "modified",
    "evidence",
    "caption_origin",
    "training_permission",
)
_EARLIER = "record of an earlier import"


class Records:
    """``all`` are the records by their names without case, old ones first."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        there = (folder / FILE).is_file()
        self.all: dict[str, Record] = {}
        for record in read_records(folder) if there else ():
            # two rows for one file are for the gate to refuse; an import leaves them as they are
            key = record.file_name.casefold()
            self.all[key if key not in self.all else f"{key}\0{len(self.all)}"] = record
        self._new: dict[str, None] = {}
        self._changed = False

    def take(self, item: Item, name: str, sha256: str, inside: tuple[Statement, ...]) -> bool:
        """Add an image that is now in the folder; False where it was there already, with new values merged in.

        Raises:
            NoLicence: no complete licence is stated, and none was given.
        """
        stated = merged(item.statements, inside)
        old = self.all.get(name.casefold())
        if old is None:
            where = item.where if isinstance(item.where, Path) else item.name
            self.all[name.casefold()] = self._record(item, name, sha256, stated, where)
            self._new[name.casefold()] = None
            return True
        if (now := self._more(old, item, stated)) != old:
            self.all[name.casefold()] = now
            self._changed = True
        return False

    def _record(self, item: Item, name: str, sha256: str, stated: tuple[Statement, ...], where: object) -> Record:
        values = dict(item.values)
        if all(s.mention for s in stated):
            # mentions in running text may contradict the given licence; they cannot replace it
            if not self.options.license:
                raise NoLicence(path=where)
            stated = merged(stated, [statement(OPTION, self.options.license)])
            values.setdefault("license_url", self.options.license_url)
        license = conclude(stated).license
        values["license_url"] = values.get("license_url") or url_of(license)
        for column in ("creator", "source_url", "caption_origin"):
            values[column] = values.get(column) or getattr(self.options, column)
        captions: dict[str, Any] = {k: tuple(values.get(k) or ()) for k in ("text", "text_ja")}
        if not any(captions.values()):
            values["caption_origin"] = ""
        strings: dict[str, Any] = {k: _plain(values.get(k)) for k in _STRINGS}
        kept = {k: v for k, v in item.extra.items() if isinstance(k, str) and k != "file_name"}
        return Record(
            file_name=name,
            sha256=sha256,
            license=license,
            license_statements=stated,
            extra=kept,
            **captions,
            **strings,
        )

    def _more(self, old: Record, item: Item, stated: tuple[Statement, ...]) -> Record:
        """The existing record with the captions and statements it lacks."""
        added: dict[str, Any] = {}
        for column in ("text", "text_ja"):
            captions = tuple(dict.fromkeys((*getattr(old, column), *(item.values.get(column) or ()))))
            if captions != getattr(old, column):
                added[column] = captions
        if str(item.values.get("training_permission", "")).lower() in FORBIDDEN:
            added["training_permission"] = _plain(item.values["training_permission"])
        fresh = [s for s in stated if s not in old.license_statements]
        if fresh:
            before = old.license_statements or (_earlier(old),)
            if any(not s.mention for s in fresh):
                before = tuple(s for s in before if s.source != OPTION)  # it was given for lack of any statement
            every = merged(before, fresh)
            added["license_statements"] = every
            if not any(s.source == EDIT for s in every):
                added["license"] = conclude(every).license
        return replace(old, **added) if added else old

    def taken(self) -> Iterator[tuple[str, bool]]:
        """Licence of each new image, and whether the gate will refuse it for its statements."""
        for key in self._new:
            record = self.all[key]
            conclusion = conclude(record.license_statements)
            yield record.license, bool(conclusion.differing or conclusion.unknown)

    def write(self) -> None:
        """Write them, if there is anything to write. Raises DiskFull, OutputFolder."""
        if self._new or self._changed:
            write_records(self.folder, self.all.values())


def _earlier(record: Record) -> Statement:
    """The licence in a record without evidence, as version 0.1.0 wrote it: one statement among others."""
    return Statement(_EARLIER, record.license, from_statement(record.license) or "")


def _plain(value: Any) -> str:
    return "".join(c for c in str(value or "") if c == "\t" or ord(c) >= 32).strip()
