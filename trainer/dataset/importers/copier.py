"""Copies or links images into a dataset folder, so that a failed import can take them out again."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from engine.contract.errors import OutputFolder, Phrase, system_words
from engine.contract.files import discard, make_folder, replacing
from trainer.dataset.files import CHUNK, safe_name, sha256_of
from trainer.dataset.importers.source import Item


class ImageCopier:
    """Copies or links images into the folder; ``undo`` removes them again."""

    def __init__(self, folder: Path, link: bool) -> None:
        self.folder, self.link = folder, link
        self.written: list[Path] = []
        self.folders: list[Path] = []
        self.names: dict[str, str] = {}  # casefolded name -> sha256 of the file of that name

    def take(self, item: Item) -> tuple[str, str]:
        """Name and SHA-256 in the folder. Raises BadFile, DiskFull, OutputFolder."""
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
                there = sha256_of(self.folder / name)  # left by a killed import, or added by the user
                self.names[name.casefold()] = there
            if there is None:
                break
            if there == sha256:
                return name, sha256
            number += 1
        self._write(item, self.folder / name)
        self.names[name.casefold()] = sha256
        return name, sha256

    def _write(self, item: Item, final: Path) -> None:
        missing = [p for p in (final.parent, *final.parents) if self.folder in p.parents and not p.exists()]
        make_folder(final.parent)
        self.folders += reversed(missing)
        if self.link and isinstance(item.where, Path):
            self._link(item.where.resolve(), final)
        else:
            with replacing(final, durable=False) as out:
                if isinstance(item.where, bytes):
                    out.write(item.where)
                else:
                    with item.where.open("rb") as f:
                        shutil.copyfileobj(f, out, CHUNK)
        self.written.append(final)

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
        """Remove what this import added."""
        for path in reversed(self.written):
            discard(path)
        for folder in reversed(self.folders):
            try:
                folder.rmdir()
            except OSError:
                pass  # something else came to lie there
