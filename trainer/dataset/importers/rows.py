"""Merges what the tables of a source state about each image: captions of all rows and every licence statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from engine.contract.errors import BadFile, BadRow, NotUtf8, Phrase
from trainer.dataset.evidence.columns import statements_of
from trainer.dataset.evidence.statement import OPTION, Statement, from_data, statement
from trainer.dataset.files import name_problem
from trainer.dataset.images import ENDINGS
from trainer.dataset.importers.account import Account
from trainer.dataset.importers.columns import FORBIDDEN, GENERIC, SETS, Columns, smithsonian, values_of, which
from trainer.dataset.importers.csv_rows import has_header
from trainer.dataset.importers.match import SEVERAL, ImageIndex
from trainer.dataset.importers.source import Options
from trainer.dataset.importers.table import rows_of, set_of
from trainer.dataset.records import STATEMENTS
from trainer.dataset.tree import Tree, key_of, plain_path

NOT_HERE = Phrase("its image is not at hand; fetch the images first and name their folder with --pictures")


@dataclass
class RowData:
    """Merged data of all rows about one image."""

    values: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    statements: dict[Statement, None] = field(default_factory=dict)
    rows: int = 0

    def add(self, values: dict[str, Any], extra: dict[str, Any], statements: list[Statement]) -> None:
        """Merge another row: captions and statements of all rows count, of other columns the first value."""
        for name, value in values.items():
            if name in ("text", "text_ja"):
                self.values[name] = tuple(dict.fromkeys((*self.values.get(name, ()), *value)))
            elif name == "training_permission" and str(value).lower() in FORBIDDEN:
                self.values[name] = value
            else:
                self.values.setdefault(name, value)
        for name, value in extra.items():
            self.extra.setdefault(name, value)
        self.statements.update(dict.fromkeys(statements))
        self.rows += 1


class Rows:
    """Data of table rows by image.

    ``of`` has the rows of each image of the index; ``pending``, those of images in archives not opened yet, by the last
    part of their name without its ending; ``embedded`` maps tables with images inside to their dataset.
    """

    def __init__(self, tree: Tree, index: ImageIndex, options: Options, form: str, *, archives: bool = False) -> None:
        self.tree, self.index, self.options, self.form = tree, index, options, form
        self.archives = archives
        self.of: dict[str, RowData] = {}
        self.pending: dict[str, RowData] = {}
        self.embedded: dict[str, str] = {}
        self.named: set[str] = set()  # images that a row of a table read with ``must`` names

    def read(self, name: str, account: Account, *, must: bool) -> bool:
        """Read one table. With ``must`` its rows are what is imported; otherwise a table unrelated to the
        images is no error and returns False.

        Raises:
            BadFile, BadRow, NotUtf8, MissingLibrary
        """
        lost, before = Account(), len(self.of) + len(self.pending)
        named: set[str] = set()
        try:
            form = self.form if self.form in (*SETS, "smithsonian") else set_of(self.tree, name, self.options.encoding)
            for label, row in self.rows(name, form):
                named.update(self._take(label, row, form, name, lost))
        except (BadFile, BadRow, NotUtf8):
            if must or len(self.of) + len(self.pending) > before:
                raise
            return False
        if not must and not named and len(self.pending) == before and name not in self.embedded:
            return False
        if must:
            self.named |= named
        account.add(lost)
        return True

    def rows(self, name: str, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each row with its location, such as ``train/metadata.jsonl:3``."""
        headerless = form == "yfcc100m" and not has_header(self.tree, name, self.options.encoding)
        for number, row in rows_of(self.tree, name, self.options.encoding, headerless=headerless):
            yield f"{name}:{number}", row

    def _take(self, label: str, row: dict[str, Any], form: str, table: str, lost: Account) -> list[str]:
        """Store a row's data and return the images it names."""
        if form == "smithsonian":
            return self._smithsonian(label, row, lost)
        columns = SETS.get(which(set(row)) if form == "table" else form, GENERIC)
        if embedded_in(row, columns) is not None:
            self.embedded[table] = form
            return []
        base = table.rpartition("/")[0]
        why = NOT_HERE
        pending = ""
        for value in references(row, columns):
            image = self.index.named(value, base)
            if image is SEVERAL:
                why = Phrase("several images here are called so; write their paths in the table")
            elif image is not None:
                # only now: most rows of a large table may name images that are not here
                self.of.setdefault(image, RowData()).add(*self.parse_row(label, row, columns))
                return [image]
            elif "://" not in value and (problem := name_problem(plain_path(value))) and why is NOT_HERE:
                why = problem
            pending = pending or key_of(PurePosixPath(plain_path(value)).name)
        if self.archives and pending:
            stem = pending.rpartition(".")[0] if pending.endswith(ENDINGS) else pending
            self.pending.setdefault(stem, RowData()).add(*self.parse_row(label, row, columns))
        else:
            lost.lost_row(label, why)
        return []

    def parse_row(
        self, label: str, row: dict[str, Any], columns: Columns
    ) -> tuple[dict[str, Any], dict[str, Any], list[Statement]]:
        """Our columns, other columns, and statements of a licence in a row."""
        values, extra = values_of(row, columns)
        table = self.options.license_table or ("flickr" if self.form in SETS else "")
        try:
            before = from_data(row.get(STATEMENTS))
        except ValueError:
            before = (Statement(f"{label} {STATEMENTS}", str(row.get(STATEMENTS))[:200]),)
        # what a person gave for lack of any statement is no statement of the source
        return values, extra, [s for s in before if s.source != OPTION] + statements_of(row, label, table)

    def _smithsonian(self, label: str, row: dict[str, Any], lost: Account) -> list[str]:
        every = smithsonian(row)
        if not every:
            lost.lost_row(label, Phrase("the record has no image"))
        images = []
        for values, names, media in every:
            candidates = (self.index.named(n + ending) for n in names for ending in ("", *ENDINGS))
            image = next((c for c in candidates if c is not None and c is not SEVERAL), None)
            if image is None:
                lost.lost_row(label, NOT_HERE)
                continue
            access = statement(f"{label} usage.access", values.pop("license", ""))
            self.of.setdefault(image, RowData()).add(values, {}, [access, *statements_of(media, label)])
            images.append(image)
        return images


def references(row: dict[str, Any], columns: Columns) -> Iterator[str]:
    """What may name the row's image, the likeliest first."""
    low = {k.lower().strip(): k for k in reversed(row) if isinstance(k, str)}
    for name in (*columns.image_columns, *columns.keys):
        value = row.get(low.get(name, ""))
        if isinstance(value, dict) and isinstance(value.get("path"), str):  # as the datasets library stores images
            value = value["path"]
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            yield str(value)


def embedded_in(row: dict[str, Any], columns: Columns) -> tuple[str, bytes] | None:
    """The name (may be empty) and bytes of an image inside the row."""
    low = {k.lower().strip(): k for k in reversed(row) if isinstance(k, str)}
    for name in columns.image_columns:
        value = row.get(low.get(name, ""))
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes) and value["bytes"]:
            return str(value.get("path") or ""), value["bytes"]
        if isinstance(value, bytes) and value:
            return "", value
    return None
