"""Gathers licence statements from side files, REUSE documents, licence texts and readme files.

Shared by the import and the gate, for folders and archives.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from tempfile import gettempdir
from typing import Any

from engine.contract.errors import BadFile
from trainer.dataset.evidence import readings, reuse
from trainer.dataset.evidence.columns import statements_of
from trainer.dataset.evidence.embedded import Embedded, statements, xmp_properties
from trainer.dataset.evidence.statement import Statement, mentioned, statement
from trainer.dataset.files import load_json
from trainer.dataset.tree import Folder, Tree

MAX_SIDE = 4_000_000  # bytes of a side file
MAX_TEXT = 20_000_000  # bytes of a text that speaks for a folder
ABOVE = 3  # parent folders that are searched too
_CARDS = ("readme",)
# endings of files beside an image; those of captions are read for what they mention
SIDE = (".license", ".json", ".xmp", ".txt", ".caption", ".en.txt", ".ja.txt", ".en.caption", ".ja.caption")


class Evidence:
    """Licence evidence about the images of a tree; ``used`` are the files that were read as evidence.

    ``skip`` are files that are read elsewhere; ``above``, the folder whose parents are searched too; ``table``, the
    list of licence numbers that the source is declared to use; ``beside`` gives the side files of an image, where they
    are not found by name.
    """

    def __init__(
        self,
        tree: Tree,
        images: set[str],
        *,
        skip: set[str] | None = None,
        above: Path | None = None,
        table: str = "",
        beside: Callable[[str], list[str]] | None = None,
    ) -> None:
        self.tree = tree
        self.used: set[str] = set()
        skip = skip or set()
        self._images = images
        self._table = table
        self._beside = beside or self.side_files
        self.documents: list[reuse.Document] = []
        self._folders: dict[str, list[Statement]] = {}  # folder ("" is the root) -> what its texts state
        self._above: list[Statement] = []
        if above is not None:
            self._ask_above(above)
        hidden = (
            tree.hidden if isinstance(tree, Folder) else [n for n in tree.names if n.rpartition("/")[0] == ".reuse"]
        )
        for name in hidden:
            if name.endswith(".reuse/dep5"):
                base = name.removesuffix(".reuse/dep5").rstrip("/")
                self._document(reuse.read_dep5, name, base)
        for name in tree.names:
            if PurePosixPath(name).name == "REUSE.toml":
                self._document(reuse.read_toml, name, name.rpartition("/")[0])
        self.documents.sort(key=lambda d: (bool(not d.lead), d.base.count("/") + bool(d.base)))
        sides = self._side_names()
        for name in tree.names:
            if name in images or name in skip or name in sides or name in self.used:
                continue
            if "LICENSES" in name.split("/")[:-1]:  # REUSE's texts of the licences that its documents name
                self.used.add(name)
            elif readings.is_licence_file(name):
                self._read_for_folder(name, licence=True)
            elif readings.is_text(name):
                self._read_for_folder(name, licence=False)

    # what speaks for folders ------------------------------------------------------------------------------------------

    def _document(self, read: Any, name: str, base: str) -> None:
        self.documents.append(
            reuse.Document(self.tree.shown(name), read(self.tree.read(name, MAX_SIDE), self.tree.path_of(name)), base)
        )
        self.used.add(name)

    def _read_for_folder(self, name: str, *, licence: bool) -> None:
        try:
            data = self.tree.read(name, MAX_TEXT)
        except BadFile:
            if not licence:
                return  # it stays unread, and is counted as left out
            data = b""
        of = readings.of_licence_file if licence else readings.of_text
        if result := of(self.tree.shown(name), data):
            self._folders.setdefault(name.rpartition("/")[0], []).extend(result)
        if result or licence or PurePosixPath(name).stem.lower() in _CARDS:
            self.used.add(name)

    def _ask_above(self, root: Path) -> None:
        """Licence texts, cards and REUSE documents of the folders above, up to the home, a project's root or the
        drive's.
        """
        lead, directory = "", root.resolve()
        stops = {Path.home().resolve(), Path(gettempdir()).resolve()}
        for _ in range(ABOVE):
            if (directory / ".git").exists() or directory.parent == directory:
                return
            lead, directory = f"{directory.name}/{lead}", directory.parent
            if directory in stops or directory.parent == directory:
                return
            try:
                names = sorted(p.name for p in directory.iterdir() if p.is_file())
                dep5 = directory / ".reuse" / "dep5"
                if dep5.is_file():
                    self.documents.append(
                        reuse.Document(str(dep5), reuse.read_dep5(dep5.read_bytes(), dep5), lead=lead)
                    )
            except OSError:
                return
            for name in names:
                path = directory / name
                if not (readings.is_licence_file(name) or name == "REUSE.toml" or name.lower() == "readme.md"):
                    continue
                try:
                    data = path.read_bytes() if path.stat().st_size <= MAX_TEXT else b""
                except OSError:
                    data = b""
                if name == "REUSE.toml":
                    self.documents.append(reuse.Document(str(path), reuse.read_toml(data, path), lead=lead))
                elif readings.is_licence_file(name):
                    self._above += readings.of_licence_file(str(path), data)
                else:
                    self._above += readings.of_text(str(path), data)

    def for_folder(self, folder: str) -> list[Statement]:
        """What the texts of ``folder`` and of the folders above it state."""
        result = list(self._above) + self._folders.get("", [])
        parts = folder.split("/") if folder else []
        for n in range(len(parts)):
            result += self._folders.get("/".join(parts[: n + 1]), [])
        return result

    # what speaks for one image ----------------------------------------------------------------------------------------

    def _side_names(self) -> set[str]:
        """Files that belong to one image and are read together with it."""
        result: set[str] = set()
        for image in self._images:
            result.update(self._beside(image))
        return result

    def side_files(self, image: str) -> list[str]:
        """Files beside ``image``: ``x.png.license``, ``x.json``, ``x.txt`` ..."""
        names = (self.tree.find(start + ending) for ending in SIDE for start in (image, image.rpartition(".")[0]))
        return list(dict.fromkeys(n for n in names if n))

    def of(self, image: str) -> list[Statement]:
        """Every statement about ``image``, the nearest first."""
        result: list[Statement] = []
        for name in self._beside(image):
            shown, kind = self.tree.shown(name), PurePosixPath(name).suffix.lower()
            try:
                copies = self.tree.copies(name, MAX_SIDE)
            except BadFile:
                # too large for a caption: the caption reader reports it; any other file could state anything
                result += [] if kind in (".txt", ".caption") else [Statement(shown, PurePosixPath(name).name)]
                continue
            self.used.add(name)
            for data in copies:
                if kind == ".license":
                    result += reuse.side_statements(shown, readings.lenient(data))
                elif kind == ".json":
                    result += _of_json(shown, data, self._table)
                elif kind == ".xmp":
                    result += of_xmp(shown, data)
                else:
                    result += mentioned(shown, readings.lenient(data))
        for document in self.documents:
            if (table := document.table_for(image)) and table.info.licences:
                result.append(statement(document.label, reuse.joined(table.info.licences)))
        return result + self.for_folder(image.rpartition("/")[0])

    def creators(self, image: str) -> tuple[str, reuse.Table | None]:
        """The copyright holder by REUSE, and the table that names it."""
        side = self.tree.find(image + ".license")
        own = reuse.side_file(readings.lenient(self.tree.read(side, MAX_SIDE))) if side else reuse.ReuseInfo()
        return reuse.creators(self.documents, image, own)

    def row_of(self, image: str) -> dict[str, Any]:
        """The JSON objects beside the image, merged; empty where none can be read."""
        row: dict[str, Any] = {}
        for name in self._beside(image):
            if not name.lower().endswith(".json"):
                continue
            try:
                for data in self.tree.copies(name, MAX_SIDE):
                    value = load_json(readings.lenient(data), keep_both=True)
                    row = (value if isinstance(value, dict) else {}) | row
            except (BadFile, ValueError, RecursionError):
                continue
        return row


def _of_json(name: str, data: bytes, table: str) -> list[Statement]:
    try:
        value = load_json(readings.lenient(data), keep_both=True)
    except (ValueError, RecursionError):
        return mentioned(name, readings.lenient(data))
    return statements_of(value if isinstance(value, dict) else {"": value}, name, table)


def of_xmp(name: str, data: bytes) -> list[Statement]:
    """What an XMP side file states; one that cannot be read could state anything."""
    properties = xmp_properties(readings.lenient(data))
    if properties is None:
        return [Statement(name, PurePosixPath(name).name)]
    result = statements(Embedded(xmp=properties))
    return [Statement(s.source.replace("image file:", name), s.text, s.license, s.mention) for s in result]
