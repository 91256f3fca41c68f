"""Files of a folder or an archive, and lookup by name across Unicode forms and case."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from engine.contract.errors import BadFile, Phrase, system_words


def key_of(name: str) -> str:
    """A key that is equal for names that Windows and macOS treat as equal: composed (NFC), without case."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def plain_path(name: str) -> str:
    """Normalize a foreign path to ``/`` and no ``.`` parts: ``.\\a\\b.png`` is ``a/b.png``.

    ``..`` stays, so that it is refused later.
    """
    parts = name.strip().replace("\\", "/").split("/")
    kept = [p for n, p in enumerate(parts) if p not in (".",) and not (p == "" and 0 < n < len(parts))]
    return "/".join(kept)


def named_alike(name: str, names: Iterable[str]) -> str | None:
    """The only one of ``names`` equivalent to ``name``; None where there is none, or several."""
    alike = list(names)
    if len(alike) > 1:  # on a case-sensitive system: equal but for the Unicode form
        composed = unicodedata.normalize("NFC", name)
        alike = [a for a in alike if unicodedata.normalize("NFC", a) == composed]
    return alike[0] if len(alike) == 1 else None


class FileLocator:
    """Finds the files that records name, also where the disk has another Unicode form or case of the name.

    The rule is that of ``Tree.find``, so that an image and its side files are found in the same
    way: a record written on Linux
    has ``ü`` as one character (NFC), a folder copied from macOS has it as two (NFD).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def path(self, name: str) -> Path:
        """The file of that name; ``root / name`` itself where there is no such file."""
        exact = self.root / name
        if os.path.lexists(exact):
            return exact
        directory = self.root
        for part in name.split("/"):
            if os.path.lexists(directory / part):
                directory /= part
                continue
            found = named_alike(part, self._listing(directory).get(key_of(part), ()))
            if found is None:
                return exact
            directory /= found
        return directory

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            try:
                for entry in os.scandir(folder):
                    names.setdefault(key_of(entry.name), []).append(entry.name)
            except OSError:
                pass  # not a folder, or not readable
            self._listings[folder] = names
        return self._listings[folder]


class Tree:
    """File names relative to a root, with ``/``, spelled as stored."""

    def __init__(self, names: Iterable[str], label: str = "") -> None:
        self.names = list(names)
        self.label = label  # of the root, in messages
        self._there = set(self.names)
        self._by_key: dict[str, list[str]] = {}
        for name in self.names:
            self._by_key.setdefault(key_of(name), []).append(name)

    def __contains__(self, name: object) -> bool:
        return name in self._there

    def find(self, name: str) -> str | None:
        """The file of exactly that name, else the only equivalent one."""
        if name in self._there:
            return name
        return named_alike(name, self._by_key.get(key_of(name), ()))

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a small file. Raises BadFile: unreadable, or larger than ``limit`` bytes."""
        raise NotImplementedError

    def copies(self, name: str, limit: int) -> list[bytes]:
        """The bytes of every file of that name: an archive may contain several. Raises BadFile."""
        return [self.read(name, limit)]

    def open(self, name: str) -> IO[bytes]:
        """The file's bytes as a stream. Raises BadFile."""
        raise NotImplementedError

    def shown(self, name: str) -> str:
        """The name as evidence and messages give it."""
        return name

    def path_of(self, name: str) -> Path:
        """For messages."""
        return Path(self.label, name)


class Folder(Tree):
    """All files below ``root``, sorted by folder.

    ``hidden`` are those whose name, or whose folder's, begins with a dot; ``also`` is one of them that counts as the
    others do.
    """

    def __init__(self, root: Path, *, also: str = "") -> None:
        self.root = root
        self.hidden: list[str] = []
        found: list[str] = []
        for directory, folders, files in os.walk(root):
            folders.sort()
            inside = Path(directory).relative_to(root)
            below = any(p.startswith(".") for p in inside.parts)
            for name in sorted(files):
                relative = (inside / name).as_posix()
                hidden = (below or name.startswith(".")) and relative != also
                (self.hidden if hidden else found).append(relative)
        super().__init__(found, str(root))

    def read(self, name: str, limit: int) -> bytes:
        path = self.root / name
        try:
            with path.open("rb") as f:
                data = f.read(limit + 1)
        except OSError as e:
            raise BadFile(path=path, why=system_words(e)) from e
        if len(data) > limit:
            raise BadFile(path=path, why=Phrase("it is larger than {limit} bytes", limit=limit))
        return data

    def open(self, name: str) -> IO[bytes]:
        try:
            return (self.root / name).open("rb")
        except OSError as e:
            raise BadFile(path=self.root / name, why=system_words(e)) from e


class Members(Tree):
    """The small files of an archive, in memory. A repeated name has the texts of both."""

    def __init__(self, texts: Mapping[str, list[bytes]], names: Iterable[str], label: str) -> None:
        super().__init__(dict.fromkeys(names), label)
        self._texts = texts

    def shown(self, name: str) -> str:
        return f"{self.label}/{name}"

    def copies(self, name: str, limit: int) -> list[bytes]:
        return [one for one in self._texts[name] if len(one) <= limit] or [self.read(name, limit)]

    def read(self, name: str, limit: int) -> bytes:
        data = b"\n".join(self._texts[name])
        if len(data) > limit:
            raise BadFile(path=self.path_of(name), why=Phrase("it is larger than {limit} bytes", limit=limit))
        return data

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(b"\n".join(self._texts[name]))
