"""A source of images: a folder in whatever form, or a table with its images. Everything in it is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from engine.contract.errors import Phrase
from trainer.dataset.evidence import reuse
from trainer.dataset.evidence.gather import Evidence
from trainer.dataset.evidence.statement import Statement, merged
from trainer.dataset.images import is_image_name
from trainer.dataset.importers import shards
from trainer.dataset.importers.account import Account, why_left_out
from trainer.dataset.importers.captions import read_captions
from trainer.dataset.importers.columns import GENERIC, SETS, fill_in, which
from trainer.dataset.importers.match import ImageIndex
from trainer.dataset.importers.rows import NOT_HERE, RowData, Rows, embedded_in
from trainer.dataset.importers.source import Item, Options
from trainer.dataset.importers.table import is_json_table, is_metadata, is_table
from trainer.dataset.tree import Folder

BY_ROW = ("imagefolder", "table", *SETS, "smithsonian")  # forms that import only images named by a row


class Source:
    """``images``, ``tables`` and ``archives`` are names in ``tree``; ``given`` is the one requested table, or empty."""

    def __init__(self, source: Path, options: Options) -> None:
        self.options = options
        self.given = source.name if source.is_file() else ""
        root = source.parent if self.given else source
        self.tree = Folder(root)
        # images may lie elsewhere than the tables that name them
        self.elsewhere = options.pictures is not None and options.pictures.resolve() != root.resolve()
        self.images_tree = Folder(options.pictures) if self.elsewhere and options.pictures else self.tree
        if self.given and self.given not in self.tree:  # a hidden one
            self.tree = Folder(root, also=self.given)
            self.images_tree = self.images_tree if self.elsewhere else self.tree
        self.images = [n for n in self.images_tree.names if is_image_name(n)]
        images = set(self.images)
        self.archives = [] if self.given else [n for n in self.tree.names if n.lower().endswith(shards.ARCHIVES)]
        self.tables = [n for n in self.tree.names if is_table(n)]
        beside = {self._stem(i) for i in images} | {i.casefold() for i in images}
        for name in self.tree.names:  # JSON beside an image is about that image
            if not name.lower().endswith(".json") or self._stem(name) in beside:
                continue
            if is_metadata(name) or is_json_table(self.tree, name, options.encoding):
                self.tables.append(name)

    @staticmethod
    def _stem(name: str) -> str:
        return name.rpartition(".")[0].casefold()

    def form(self) -> str:
        """How it is written; empty where there is nothing to import."""
        from trainer.dataset.importers.table import set_of

        if any(map(is_metadata, self.tables)):
            return "imagefolder"
        parts = [PurePosixPath(n) for n in (*self.tree.names, *self.tree.hidden)]
        if self.images and any(
            p.name == "REUSE.toml" or p.suffix == ".license" or p.as_posix().endswith(".reuse/dep5") for p in parts
        ):
            return "reuse"
        if self.archives:
            return "webdataset"
        if self.tables:
            return set_of(self.tree, self.tables[0], self.options.encoding)
        return "plain" if self.images else ""


class Reader:
    """Reads a source: ``items`` yields every image to import; afterwards ``account`` is complete."""

    def __init__(
        self, source: Source, options: Options, form: str, account: Account, *, chosen: bool, above: bool = True
    ) -> None:
        self.source, self.options, self.form, self.account = source, options, form, account
        self.used: set[str] = set()  # of the source's tree: read as records
        self.seen: set[str] = set()  # of the tree of images: given out, or counted as left out
        tree, images = source.images_tree, set(source.images)
        main = [source.given] if source.given else source.tables
        if any(map(is_metadata, main)) and not (chosen and form in (*SETS, "table", "smithsonian")):
            main = [n for n in main if is_metadata(n)]
        self._tables = [*main, *(n for n in source.tables if n not in main)]
        skip = {*source.tables, *source.archives}
        self.evidence = Evidence(
            tree, images, skip=skip, above=tree.root if above else None, table=options.license_table
        )
        self.table_evidence = (
            Evidence(source.tree, set(), skip=skip, above=source.tree.root if above else None)
            if source.elsewhere
            else self.evidence
        )
        self.rows = Rows(source.tree, ImageIndex(tree, images), options, form, archives=bool(source.archives))
        # evidence beside the tables applies to the images they name, also where those are elsewhere
        self._around = self.table_evidence.for_folder("") if source.elsewhere else ()
        self._chosen = chosen
        self._main = set(main)

    def items(self) -> Iterator[Item]:
        """Raises BadFile, BadRow, NotUtf8, MissingLibrary, UnsafeArchive."""
        source, form = self.source, self.form
        for name in self._tables:
            if self.rows.read(name, self.account, must=name in self._main):
                self.used.add(name)
        by_row = form in BY_ROW and (self._chosen or bool(source.given) or bool(self.rows.named or self.rows.embedded))
        if form == "imagefolder":
            by_row = True
        for image in source.images:
            if by_row and image not in self.rows.named:
                continue
            if form == "webdataset" and self._chosen:
                continue
            self.seen.add(image)
            yield self._item(image)
        for table, its_form in self.rows.embedded.items():
            yield from self._embedded(table, its_form)
        if form not in BY_ROW or not self._chosen:
            for archive in source.archives:
                yield from self._archive(archive)
        self._close(by_row)

    # one image --------------------------------------------------------------------------------------------------------

    def _item(self, image: str) -> Item:
        row_data = self.rows.of.get(image) or RowData()
        values, extra = dict(row_data.values), dict(row_data.extra)
        captions, files = read_captions(self.source.images_tree, image, self.options.encoding)
        self.used |= files
        for column, texts in captions.items():
            values[column] = tuple(dict.fromkeys((*values.get(column, ()), *texts)))
        fill_in(values, extra, self.evidence.row_of(image))
        creator, table = self.evidence.creators(image)
        self._complete(values, creator, table)
        statements = merged(row_data.statements, self.evidence.of(image), self._around if row_data.rows else ())
        return Item(image, self.source.images_tree.root / image, values, extra, statements)

    @staticmethod
    def _complete(values: dict[str, Any], creator: str, table: reuse.Table | None) -> None:
        if creator:
            values.setdefault("creator", creator)
        if table is not None:
            for name, value in (("title", table.title), ("source_url", table.source)):
                if value:
                    values.setdefault(name, value)

    def _embedded(self, table: str, form: str) -> Iterator[Item]:
        """Images inside a table, in a second reading of it."""
        table_path = PurePosixPath(table)
        around = merged(self.table_evidence.of(table))
        for label, row in self.rows.rows(table, form):
            columns = SETS.get(which(set(row)) if form == "table" else form, GENERIC)
            match = embedded_in(row, columns)
            if match is None:
                continue
            name, data = match
            values, extra, statements = self.rows.parse_row(label, row, columns)
            key = next((str(row[k]) for k in columns.keys if row.get(k)), "") if not name else ""
            number = label.rpartition(":")[2]
            self.account.total += 1
            inside = f"{table_path.stem}/{name or key or number.zfill(8)}"
            yield Item(inside, data, values, extra, merged(statements, around))

    def _archive(self, archive: str) -> Iterator[Item]:
        around = merged(self.evidence.of(archive) if not self.source.elsewhere else self.table_evidence.of(archive))
        self.used.add(archive)
        for item, key in shards.items(self.source.tree.root / archive, archive, self.options, self.account):
            row_data = self.rows.pending.pop(key, None)
            if row_data is not None:
                values = row_data.values | item.values
                item = replace(item, values=values, extra=row_data.extra | item.extra)
            statements: tuple[Statement, ...] = merged(item.statements, row_data.statements if row_data else (), around)
            yield replace(item, statements=statements)

    # everything else --------------------------------------------------------------------------------------------------

    def _close(self, by_row: bool) -> None:
        """Count every file that was not given out."""
        for stem, row_data in self.rows.pending.items():
            for _ in range(row_data.rows):
                self.account.lost_row(stem, NOT_HERE)
        used = self.used | self.evidence.used | self.table_evidence.used
        trees = [self.source.tree] if not self.source.elsewhere else [self.source.tree, self.source.images_tree]
        for tree in trees:
            images = set(self.source.images) if tree is self.source.images_tree else set()
            for name in (*tree.names, *tree.hidden):
                if self.source.given and name != self.source.given and name not in self.seen and name not in used:
                    continue  # the table was requested, not its folder
                self.account.total += 1
                if name in images and name in self.seen:
                    continue  # counted by the caller
                if name in images and by_row:
                    self.account.skip(name, Phrase("no row of a table names it"))
                elif name in images:
                    self.account.skip(name, Phrase("only archives were asked for"))
                elif name in used:
                    self.account.read += 1
                elif name in self.source.tables:
                    self.account.skip(name, Phrase("no row of it names an image that is here"))
                elif is_image_name(name):
                    hidden = any(p.startswith(".") for p in name.split("/"))
                    self.account.skip(name, why_left_out(name) if hidden else Phrase("the images lie elsewhere"))
                else:
                    self.account.skip(name, why_left_out(name))
