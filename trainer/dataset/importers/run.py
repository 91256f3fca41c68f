"""Runs an import: detect the format, copy the images, write the records.

It succeeds completely or leaves the folder unchanged.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, BadPicture, BadValue, Phrase, UnknownImport
from engine.contract.files import make_folder
from trainer.dataset.evidence.embedded import read_embedded, statements
from trainer.dataset.evidence.gather import Evidence
from trainer.dataset.evidence.readings import lenient
from trainer.dataset.evidence.reuse import side_statements
from trainer.dataset.evidence.statement import TABLES as LICENCE_TABLES
from trainer.dataset.evidence.statement import Statement, merged
from trainer.dataset.files import safe_name, sha256_of
from trainer.dataset.images import KINDS, opened
from trainer.dataset.importers import shards
from trainer.dataset.importers.account import Account
from trainer.dataset.importers.copier import ImageCopier
from trainer.dataset.importers.folder import BY_ROW, Reader, Source
from trainer.dataset.importers.merge import Records
from trainer.dataset.importers.source import Item, Options, Skipped
from trainer.dataset.importers.table import TABLES, is_metadata, is_table, set_of
from trainer.dataset.licence_names import from_statement
from trainer.dataset.tree import Tree

FORMATS = (
    "plain",
    "reuse",
    "imagefolder",
    "webdataset",
    "table",
    "commoncatalog",
    "megalith",
    "yfcc100m",
    "smithsonian",
)
Progress = Callable[[int, int], None]


@dataclass
class ImportResult:
    """Outcome of an import; ``account`` counts what was not imported."""

    form: str
    added: int = 0
    already: int = 0
    account: Account = field(default_factory=Account)
    licences: dict[str, int] = field(default_factory=dict)
    undecided: int = 0  # images whose licence the gate will refuse: statements differ, or are not understood

    @property
    def skipped(self) -> Skipped:
        """What was left out."""
        return self.account.skipped

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        reasons = [
            {"why": {"template": p.template, "fields": p.fields}, "count": n, "files": names}
            for p, names, n in self.skipped.reasons.values()
        ]
        return {
            "format": self.form,
            "found": self.account.total,
            "added": self.added,
            "already": self.already,
            "read": self.account.read,
            "skipped": self.skipped.count,
            "reasons": reasons,
            "licences": dict(sorted(self.licences.items())),
            "undecided": self.undecided,
        }


def detect(source: Path, options: Options) -> tuple[Source | Path, str]:
    """The source and how it is written; an archive comes as its path. Raises UnknownImport, BadFile."""
    if not source.exists():
        raise BadFile(path=source, why=Phrase("there is no such file or folder"))
    if source.is_file() and source.name.lower().endswith(shards.ARCHIVES):
        return source, "webdataset"
    if source.is_file() and not (is_table(source.name) or source.suffix.lower() == ".json"):
        raise UnknownImport(
            path=source, why=Phrase("it is neither a table nor a tar archive"), known=", ".join(FORMATS)
        )
    detected = Source(source, options)
    if detected.given:
        return detected, set_of(detected.tree, detected.given, options.encoding)
    form = detected.form()
    if not form:
        raise UnknownImport(
            path=source, why=Phrase("there are no images, tables or tar archives in it"), known=", ".join(FORMATS)
        )
    return detected, form


def _items(detected: Source | Path, options: Options, form: str, account: Account, *, chosen: bool) -> Iterator[Item]:
    """Every image of the source. Raises UnknownImport and what its readers raise."""
    if isinstance(detected, Path):
        account.total += 1
        account.read += 1
        around = Evidence(Tree([detected.name], str(detected.parent)), set(), above=detected.parent / "x")
        beside = detected.with_name(detected.name + ".license")
        stated: list[Statement] = around.for_folder("")
        if beside.is_file():
            stated += side_statements(beside.name, lenient(beside.read_bytes()))
        for item, _ in shards.items(detected, detected.name, options, account):
            yield replace(item, statements=merged(item.statements, stated))
        return
    if form in ("plain", "reuse", "imagefolder") and detected.given:
        raise UnknownImport(
            path=detected.tree.path_of(detected.given), why=Phrase("it is not a folder"), known=", ".join(FORMATS)
        )
    if form == "imagefolder" and not any(map(is_metadata, detected.tables)):
        raise UnknownImport(
            path=detected.tree.root, why=Phrase("it has no metadata.jsonl or metadata.csv"), known=", ".join(FORMATS)
        )
    if form in BY_ROW and not detected.tables:
        raise UnknownImport(path=detected.tree.root, why=Phrase("there is no table in it"), known=", ".join(TABLES))
    yield from Reader(detected, options, form, account, chosen=chosen).items()


def run_import(
    folder: Path,
    source: Path,
    options: Options,
    *,
    form: str = "auto",
    link: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Import everything in ``source`` into ``folder``. Unusable images are skipped with a reason.

    Existing images and records stay; the same image under the same name is not imported twice.

    Raises:
        NoLicence: an image without a complete licence statement, and none was given.
        UnknownImport, UnsafeArchive, BadFile, BadRow, NotUtf8, MissingLibrary, DiskFull, OutputFolder
    """
    _check_options(options)
    detected, detected_form = detect(source, options)
    chosen = form != "auto"
    form = form if chosen else detected_form
    if source.is_dir() and _inside(folder, source):
        raise BadValue(
            name="FOLDER",
            value=str(folder),
            why=Phrase("it lies inside {source}, which is being imported", source=str(source)),
        )
    done = ImportResult(form)
    fresh = not folder.exists()
    make_folder(folder)
    taker = ImageCopier(folder, link)
    try:
        records = Records(folder, options)
        taker.names = {
            r.file_name.casefold(): r.sha256 or sha256_of(folder / r.file_name)
            for r in records.all.values()
            if r.sha256 or (folder / r.file_name).is_file()
        }
        total = len(detected.images) if isinstance(detected, Source) else 0
        for number, item in enumerate(_items(detected, options, form, done.account, chosen=chosen), 1):
            if progress and number % 10 == 0:
                progress(min(number, total or number), total or number)
            try:
                name, sha256, inside = _checked(taker, item)
            except BadPicture as e:
                why = e.fields["why"]
                done.account.skip(item.name, why if isinstance(why, Phrase) else Phrase("it is damaged or cut off"))
                continue
            if records.take(item, name, sha256, inside):
                done.added += 1
            else:
                done.already += 1
        for licence, undecided in records.taken():
            done.licences[licence] = done.licences.get(licence, 0) + 1
            done.undecided += undecided
        records.write()
        if not records.all and fresh:
            taker.undo()
            folder.rmdir()
    except BaseException:
        taker.undo()
        if fresh:
            try:
                folder.rmdir()
            except OSError:
                pass  # it contains something else
        raise
    if progress:
        progress(total or 1, total or 1)
    return done


def _checked(taker: ImageCopier, item: Item) -> tuple[str, str, tuple[Statement, ...]]:
    """Name, hash, and licence statements of the file itself.

    Only files that open as images are imported, with the ending of their format.

    Raises:
        BadPicture, BadFile, DiskFull, OutputFolder
    """
    path, data = (item.where, None) if isinstance(item.where, Path) else (None, item.where)
    with opened(path or Path(item.name), data) as image:
        endings = KINDS[image.format or "PNG"]
        inside = statements(read_embedded(image, path, data))
    name = item.name if item.name.lower().endswith(endings) else safe_name(item.name, endings[0])
    return *taker.take(Item(name, item.where)), inside


def _inside(folder: Path, source: Path) -> bool:
    a, b = folder.resolve(), source.resolve()
    return a == b or b in a.parents


def _check_options(options: Options) -> None:
    if options.license and from_statement(options.license) is None:
        raise BadValue(
            name="license",
            value=repr(options.license),
            why=Phrase("it is not an SPDX licence expression; a licence of your own is called LicenseRef-..."),
        )
    if options.license_table and options.license_table not in LICENCE_TABLES:
        raise BadValue(
            name="license-table",
            value=repr(options.license_table),
            why=Phrase("it is one of {known}", known=", ".join(LICENCE_TABLES)),
        )
    try:
        codecs.lookup(options.encoding)
    except LookupError as e:
        raise BadValue(
            name="encoding",
            value=options.encoding,
            why=Phrase("there is no encoding called {name!r}", name=options.encoding),
        ) from e
