"""WebDataset shards, as img2dataset writes them: ``key.jpg``, ``key.txt``, ``key.json`` in tar files.

Nothing is extracted under a name of the archive's choosing: members are read in turn, within limits, and written by us.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase, UnsafeArchive, system_words
from trainer.dataset.files import decoded
from trainer.dataset.importers.columns import GENERIC, SETS, values_of, which
from trainer.dataset.importers.source import Item, Options, Skip, captions
from trainer.dataset.pictures import ENDINGS

ARCHIVES = (".tar", ".tar.gz", ".tgz")
MAX_PICTURE, MAX_TEXT = 200_000_000, 4_000_000  # bytes of one member
MAX_RATIO = 100  # unpacked bytes for each packed one
_OF_TEXT = (".txt", ".json", ".ja.txt", ".caption")


def shards_in(source: Path) -> list[Path]:
    """The shard, or those of a folder."""
    if source.is_file():
        return [source]
    return sorted(p for p in source.iterdir() if p.is_file() and p.name.lower().endswith(ARCHIVES))


def _split(name: str) -> tuple[str, str]:
    """Key and ending, as WebDataset splits: at the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    return f"{folder}{slash}{stem}", (dot + ending).lower()


def samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members by ending; those of one key stand together.

    Raises:
        BadFile: no whole tar. UnsafeArchive: names that lead out of it, or sizes beyond the limits.
    """
    packed = max(path.stat().st_size, 1)
    unpacked = 0
    key, members = "", {}
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                unpacked += member.size
                if unpacked > packed * MAX_RATIO + 10_000_000:
                    raise UnsafeArchive(
                        path=path, why=Phrase("it unpacks to more than {ratio} times its size", ratio=MAX_RATIO)
                    )
                parts = member.name.replace("\\", "/").split("/")
                if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
                    raise UnsafeArchive(
                        path=path, why=Phrase("its member {name!r} leads out of it", name=member.name[:200])
                    )
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise UnsafeArchive(
                        path=path, why=Phrase("its member {name!r} is a link or a device", name=member.name[:200])
                    )
                this, ending = _split(member.name.removeprefix("./"))
                if ending not in ENDINGS and ending not in _OF_TEXT:
                    continue
                if member.size > (MAX_PICTURE if ending in ENDINGS else MAX_TEXT):
                    raise UnsafeArchive(
                        path=path,
                        why=Phrase("its member {name!r} is larger than any picture should be", name=member.name[:200]),
                    )
                if this != key:
                    if members:
                        yield key, members
                    key, members = this, {}
                file = tar.extractfile(member)
                assert file is not None
                members[ending] = file.read()
                if len(members[ending]) != member.size:
                    raise BadFile(path=path, why=Phrase("it is damaged or cut off"))
        if members:
            yield key, members
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as e:
        raise BadFile(path=path, why=Phrase("it is not a whole tar archive")) from e
    except OSError as e:
        raise BadFile(path=path, why=system_words(e) if e.errno else Phrase("it is not a whole tar archive")) from e


def items(source: Path, options: Options, skip: Skip) -> Iterator[Item]:
    """Raises NoLicence, BadFile, UnsafeArchive, NotUtf8."""
    for path in shards_in(source):
        for key, members in samples(path):
            label = f"{path.stem.removesuffix('.tar')}/{key}"
            ending = next((e for e in ENDINGS if e in members), None)
            if ending is None:
                skip(label, Phrase("there is no picture in it that can be read (PNG, JPEG or WebP)"))
                continue
            row: dict[str, Any] = {}
            if ".json" in members:
                try:
                    row = json.loads(members[".json"])
                except (ValueError, RecursionError):
                    row = {}
                if not isinstance(row, dict):
                    row = {}
            if str(row.get("status", "success")) != "success":
                skip(label, Phrase("img2dataset could not fetch it"))
                continue
            values, extra = values_of(row, SETS.get(which(set(row)), GENERIC))
            for column, name in (("text", ".txt"), ("text_ja", ".ja.txt")):
                if name in members and (told := captions(decoded(members[name], path, options.encoding))):
                    values[column] = told
            yield Item(label + ending, members[ending], values, extra)
