"""A folder of pictures with captions in text files beside them: ``x.png``, ``x.txt`` (English), ``x.ja.txt`` (Japanese)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import NoLicence
from trainer.dataset.files import text_of
from trainer.dataset.importers.source import Item, Options, Skip
from trainer.dataset.pictures import looks_like_picture


def pictures_in(folder: Path) -> Iterator[Path]:
    """Every picture by its ending, sorted; hidden folders are left alone."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith("."))
        for name in sorted(files):
            if looks_like_picture(name) and not name.startswith("."):
                yield Path(place, name)


def caption_files(picture: Path) -> dict[str, list[Path]]:
    """Column -> text files beside a picture."""
    stem = picture.with_suffix("")
    found: dict[str, list[Path]] = {}
    for column, endings in (("text", (".txt", ".caption", ".en.txt")), ("text_ja", (".ja.txt",))):
        found[column] = [p for ending in endings if (p := stem.with_name(stem.name + ending)).is_file()]
    return found


def read_captions(picture: Path, encoding: str) -> dict[str, tuple[str, ...]]:
    """Column -> captions; each line that is not empty is one. Raises NotUtf8, BadFile."""
    values: dict[str, tuple[str, ...]] = {}
    for column, files in caption_files(picture).items():
        lines = [line.strip() for file in files for line in text_of(file, encoding).splitlines()]
        if told := tuple(dict.fromkeys(line for line in lines if line)):
            values[column] = told
    return values


def items(source: Path, options: Options, skip: Skip) -> Iterator[Item]:
    """Raises NoLicence, NotUtf8, BadFile."""
    if not options.license:
        raise NoLicence(path=source)
    for path in pictures_in(source):
        values = {**read_captions(path, options.encoding), "title": ""}
        yield Item(path.relative_to(source).as_posix(), path, values)
