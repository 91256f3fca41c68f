"""An import from start to end: tell the format, take the pictures in, write the records. It succeeds whole or leaves the folder as it was."""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, BadPicture, BadValue, OutputFolder, Phrase, UnknownImport, system_words
from engine.system.atomic import PART, as_our_error, discard, make_folder
from trainer.dataset.files import CHUNK, safe_name, sha256_of
from trainer.dataset.importers import imagefolder, plain, reuse, shards, table
from trainer.dataset.importers.source import Item, Options, Skipped
from trainer.dataset.pictures import opened
from trainer.dataset.records import FILE, Record, read_records, write_records

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
    """What an import did."""

    form: str
    added: int = 0
    already: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    licences: dict[str, int] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        reasons = [
            {"why": {"template": p.template, "fields": p.fields}, "count": n, "files": names}
            for p, names, n in self.skipped.reasons.values()
        ]
        return {
            "format": self.form,
            "added": self.added,
            "already": self.already,
            "skipped": self.skipped.count,
            "reasons": reasons,
            "licences": dict(sorted(self.licences.items())),
        }


def detect(source: Path, encoding: str) -> str:
    """How ``source`` is written. Raises UnknownImport, BadFile."""
    if not source.exists():
        raise BadFile(path=source, why=Phrase("there is no such file or folder"))
    if source.is_file():
        if source.name.lower().endswith(shards.ARCHIVES):
            return "webdataset"
        if source.suffix.lower() in table.TABLES:
            return table.looks_like(source, encoding) or "table"
        raise UnknownImport(
            path=source, why=Phrase("it is neither a table nor a tar archive"), known=", ".join(FORMATS)
        )
    if imagefolder.metadata_of(source):
        return "imagefolder"
    if next(source.rglob("REUSE.toml"), None) or any(p.with_suffix("").is_file() for p in source.rglob("*.license")):
        return "reuse"
    if shards.shards_in(source):
        return "webdataset"
    if tables := table.tables_in(source):
        return table.looks_like(tables[0], encoding) or "table"
    if next(plain.pictures_in(source), None):
        return "plain"
    raise UnknownImport(
        path=source,
        why=Phrase("there are no PNG, JPEG or WebP pictures, tables or tar archives in it"),
        known=", ".join(FORMATS),
    )


def _items(form: str, source: Path, options: Options, skipped: Skipped) -> Iterator[Item]:
    if form in ("plain", "reuse", "imagefolder") and not source.is_dir():
        raise UnknownImport(path=source, why=Phrase("it is not a folder"), known=", ".join(FORMATS))
    if form == "imagefolder" and imagefolder.metadata_of(source) is None:
        raise UnknownImport(
            path=source, why=Phrase("it has no metadata.jsonl or metadata.csv"), known=", ".join(FORMATS)
        )
    simple = {"plain": plain.items, "reuse": reuse.items, "imagefolder": imagefolder.items, "webdataset": shards.items}
    if form in simple:
        return simple[form](source, options, skipped.add)
    return table.items(source, options, skipped.add, form)


class _Taker:
    """Puts pictures into the folder and knows which ones, so that they can be taken out again."""

    def __init__(self, folder: Path, link: bool) -> None:
        self.folder, self.link = folder, link
        self.made: list[Path] = []
        self.folders: list[Path] = []
        self.names: dict[str, str] = {}  # casefolded name -> sha256 of what stands there

    def take(self, item: Item) -> tuple[str, str, bool]:
        """Name, SHA-256, and whether the same picture stood under that name already. Raises BadPicture, BadFile, DiskFull, OutputFolder."""
        sha256 = hashlib.sha256(item.where).hexdigest() if isinstance(item.where, bytes) else sha256_of(item.where)
        wanted = safe_name(item.name)
        stem, dot, ending = wanted.rpartition(".")
        if not dot or "/" in ending:
            stem, ending = wanted, ""
        number = 1
        while True:
            name = f"{stem}{'' if number == 1 else f'-{number}'}{'.' + ending if ending else ''}"
            there = self.names.get(name.casefold())
            if there is None and os.path.lexists(self.folder / name):
                there = sha256_of(self.folder / name)  # left by an import that was killed, or put there by hand
                self.names[name.casefold()] = there
                if there == sha256:
                    return name, sha256, False
            if there is None:
                break
            if there == sha256:
                return name, sha256, True
            number += 1
        self._write(item, self.folder / name)
        self.names[name.casefold()] = sha256
        return name, sha256, False

    def _write(self, item: Item, final: Path) -> None:
        missing = [p for p in (final.parent, *final.parents) if self.folder in p.parents and not p.exists()]
        make_folder(final.parent)
        self.folders += reversed(missing)
        if self.link and isinstance(item.where, Path):
            self._link(item.where.resolve(), final)
        else:
            part = final.with_name(f".{final.name}{PART}")
            try:
                with part.open("wb") as out:
                    if isinstance(item.where, bytes):
                        out.write(item.where)
                    else:
                        with item.where.open("rb") as f:
                            while piece := f.read(CHUNK):
                                out.write(piece)
                os.replace(part, final)
            except OSError as e:
                discard(part)
                raise as_our_error(e, final) from e
        self.made.append(final)

    def _link(self, target: Path, final: Path) -> None:
        try:
            final.symlink_to(target)
        except OSError:
            try:  # Windows lets only some people make symbolic links
                os.link(target, final)
            except OSError as e:
                raise OutputFolder(
                    path=final.parent,
                    why=Phrase(
                        "no link to {path} can be made there ({detail}); import without --link",
                        path=str(target),
                        detail=system_words(e),
                    ),
                ) from e

    def undo(self) -> None:
        """Take out what this import put in."""
        for path in reversed(self.made):
            discard(path)
        for folder in reversed(self.folders):
            try:
                folder.rmdir()
            except OSError:
                pass  # something else came to lie there


def run_import(
    folder: Path,
    source: Path,
    options: Options,
    *,
    form: str = "auto",
    link: bool = False,
    progress: Progress | None = None,
) -> ImportResult:
    """Take everything in ``source`` into ``folder``. Pictures that cannot be used are left out with their reason.

    Pictures already there are kept with their records; the same one under the same name is not taken twice.

    Raises:
        NoLicence, UnknownImport, UnsafeArchive, BadFile, BadRow, NotUtf8, MissingLibrary, DiskFull, OutputFolder
    """
    _check_options(options)
    form = detect(source, options.encoding) if form == "auto" else form
    if not source.exists():
        raise BadFile(path=source, why=Phrase("there is no such file or folder"))
    if source.is_dir() and _inside(folder, source):
        raise BadValue(
            name="FOLDER",
            value=str(folder),
            why=Phrase("it lies inside {source}, which is being imported", source=str(source)),
        )
    done = ImportResult(form)
    fresh = not folder.exists()
    make_folder(folder)
    taker = _Taker(folder, link)
    try:
        old = list(read_records(folder)) if (folder / FILE).is_file() else []
        taker.names = {
            r.file_name.casefold(): r.sha256 or sha256_of(folder / r.file_name)
            for r in old
            if r.sha256 or (folder / r.file_name).is_file()
        }
        known = {(r.file_name.casefold()) for r in old}
        new: list[Record] = []
        total = _count(form, source)
        for number, item in enumerate(_items(form, source, options, done.skipped), 1):
            if progress and number % 10 == 0:
                progress(min(number, total or number), total or number)
            values = options.fill(item.values, item.where if isinstance(item.where, Path) else f"{source}: {item.name}")
            try:
                name, sha256, there = _checked(taker, item)
            except BadPicture as e:
                done.skipped.add(
                    item.name,
                    e.fields["why"] if isinstance(e.fields["why"], Phrase) else Phrase("it is damaged or cut off"),
                )
                continue
            if there and name.casefold() in known:
                done.already += 1
                continue
            known.add(name.casefold())
            new.append(_record(name, sha256, values, item.extra))
            done.licences[values["license"]] = done.licences.get(values["license"], 0) + 1
        done.added = len(new)
        if new or not old:
            write_records(folder, [*old, *new])
    except BaseException:
        taker.undo()
        if fresh:
            try:
                folder.rmdir()
            except OSError:
                pass  # it holds something that is not ours
        raise
    if progress:
        progress(total or 1, total or 1)
    return done


def _checked(taker: _Taker, item: Item) -> tuple[str, str, bool]:
    """Only what opens as a picture is taken in; under its right ending. Raises BadPicture."""
    given = {"path": item.where} if isinstance(item.where, Path) else {"path": Path(item.name), "data": item.where}
    with opened(**given) as image:
        kind = image.format
    endings = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",)}[kind or "PNG"]
    name = item.name if item.name.lower().endswith(endings) else safe_name(item.name, endings[0])
    return taker.take(Item(name, item.where, item.values, item.extra))


def _record(name: str, sha256: str, values: dict[str, Any], extra: dict[str, Any]) -> Record:
    texts = {k: tuple(values.get(k) or ()) for k in ("text", "text_ja")}
    plain_columns = (
        "license",
        "license_url",
        "creator",
        "title",
        "source_url",
        "modified",
        "evidence",
        "caption_origin",
        "training_permission",
    )
    strings = {
        k: "".join(c for c in str(values.get(k) or "") if c == "\t" or ord(c) >= 32).strip() for k in plain_columns
    }
    if not any(texts.values()):
        strings["caption_origin"] = ""
    kept = {k: v for k, v in extra.items() if isinstance(k, str) and k != "file_name"}
    return Record(file_name=name, sha256=sha256, extra=kept, **texts, **strings)  # type: ignore[arg-type]


def _check_options(options: Options) -> None:
    from trainer.dataset.spdx import from_statement

    if options.license and from_statement(options.license) is None:
        raise BadValue(
            name="license",
            value=repr(options.license),
            why=Phrase("it is not an SPDX licence expression; a licence of your own is called LicenseRef-..."),
        )
    try:
        codecs.lookup(options.encoding)
    except LookupError as e:
        raise BadValue(
            name="encoding",
            value=options.encoding,
            why=Phrase("there is no encoding called {name!r}", name=options.encoding),
        ) from e


def _inside(folder: Path, source: Path) -> bool:
    a, b = folder.resolve(), source.resolve()
    return a == b or b in a.parents


def _count(form: str, source: Path) -> int:
    """How many pictures to expect, where that is quick to know; else 0."""
    return sum(1 for _ in plain.pictures_in(source)) if form in ("plain", "reuse") else 0
