"""Archives of samples, as WebDataset and img2dataset write them: ``key.jpg``, ``key.txt``, ``key.json`` in tar files.

Nothing is extracted under a name that the archive chooses: members are read one by one, within limits.
Members of one key need not be adjacent: an archive is read twice, for its texts and for its images.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from engine.contract.errors import BadFile, Phrase, UnsafeArchive, system_words
from trainer.dataset.evidence.gather import Evidence
from trainer.dataset.evidence.readings import is_licence_file, is_text
from trainer.dataset.evidence.statement import merged
from trainer.dataset.files import decoded
from trainer.dataset.images import ENDINGS
from trainer.dataset.importers.account import Account, why_left_out
from trainer.dataset.importers.captions import ENDINGS as CAPTIONS
from trainer.dataset.importers.columns import fill_in
from trainer.dataset.importers.match import ImageIndex
from trainer.dataset.importers.rows import RowData, Rows
from trainer.dataset.importers.source import Item, Options, captions
from trainer.dataset.importers.table import TABLES, is_json_table, is_metadata
from trainer.dataset.language import by_language
from trainer.dataset.tree import Members, key_of

ARCHIVES = (".tar", ".tar.gz", ".tgz")
MAX_PICTURE, MAX_TEXT = 200_000_000, 4_000_000  # bytes of one member
MAX_TEXTS = 1_000_000_000  # bytes of all texts of one archive, which are loaded into memory
MAX_RATIO = 100  # unpacked bytes for each packed one
_SIDE = (*CAPTIONS, ".json", ".license", ".xmp")


def _members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, Callable[[], bytes]]]:
    """Name, head and reader of each member.

    Raises:
        BadFile: not a complete tar. UnsafeArchive: names that lead out of it, or sizes beyond the limits.
    """
    packed = max(path.stat().st_size, 1)
    unpacked = 0
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
                name = "/".join(p for p in parts if p not in ("", "."))
                if not name:
                    continue
                yield name, member, partial(_bytes, tar, member, path)
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as e:
        raise BadFile(path=path, why=Phrase("it is not a whole tar archive")) from e
    except OSError as e:
        raise BadFile(path=path, why=system_words(e) if e.errno else Phrase("it is not a whole tar archive")) from e


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    """A member's bytes. Raises BadFile."""
    try:
        file = tar.extractfile(member)
        data = file.read() if file is not None else b""
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as e:
        raise BadFile(path=path, why=Phrase("it is not a whole tar archive")) from e
    if len(data) != member.size:
        raise BadFile(path=path, why=Phrase("it is damaged or cut off"))
    return data


def _is_image(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _is_read(name: str) -> bool:
    """A member with text that could speak of images."""
    low = name.lower()
    return low.endswith((*_SIDE, *TABLES, "dep5")) or is_text(name) or is_licence_file(name)


def key_of_member(name: str) -> str:
    """Without the known endings: ``a/000.en.txt`` is of ``a/000``, ``photo.2020.jpg`` of ``photo.2020``."""
    low = name.lower()
    ending = max((e for e in (*_SIDE, *ENDINGS) if low.endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)] if ending else name


class _Texts:
    """Everything in an archive but its images."""

    def __init__(self, path: Path, label: str, options: Options, account: Account) -> None:
        self.path, self.options = path, options
        self.images: list[str] = []
        texts: dict[str, list[bytes]] = {}
        others: list[str] = []
        total = 0
        for name, member, read in _members(path):
            account.total += 1
            if member.size > (MAX_PICTURE if _is_image(name) else MAX_TEXT) and (_is_image(name) or _is_read(name)):
                raise UnsafeArchive(
                    path=path, why=Phrase("its member {name!r} is larger than any image should be", name=name[:200])
                )
            if _is_image(name):
                self.images.append(name)
            elif _is_read(name):
                total += member.size
                if total > MAX_TEXTS:
                    raise UnsafeArchive(
                        path=path, why=Phrase("its texts have more than {limit} bytes together", limit=MAX_TEXTS)
                    )
                texts.setdefault(name, []).append(read())
            else:
                others.append(name)
        self._texts = texts
        self.tree = Members(texts, (*self.images, *texts), label)
        self._by_key: dict[str, list[str]] = {}
        for name in texts:
            if name.lower().endswith(_SIDE):
                self._by_key.setdefault(key_of(key_of_member(name)), []).append(name)
        images = set(self.images)
        keys = {k for image in images for k in self._keys(image)}
        sides = {n for key, names in self._by_key.items() if key in keys for n in names}
        tables = {n for n in texts if n not in sides and n.lower().endswith(TABLES)}
        tables |= {
            n
            for n in texts
            if n not in sides
            and n.lower().endswith(".json")
            and (is_metadata(n) or is_json_table(self.tree, n, options.encoding))
        }
        self.evidence = Evidence(
            self.tree, images, skip=sides | tables, table=options.license_table, beside=self._side_files
        )
        self.rows = Rows(self.tree, ImageIndex(self.tree, images), options, "table")
        used = sides | self.evidence.used
        for name in sorted(tables):
            if self.rows.read(name, account, must=is_metadata(name)):
                used |= {name}
        for name in texts:
            times = len(texts[name])
            for _ in range(times):
                if name in used:
                    account.read += 1
                else:
                    account.skip(f"{label}/{name}", why_left_out(name))
        for name in others:
            account.skip(f"{label}/{name}", why_left_out(name))

    def _keys(self, image: str) -> list[str]:
        """Keys whose texts are about ``image``, the nearest first: its own, and those that WebDataset splits off at a
        dot.
        """
        folder, slash, last = image.rpartition("/")
        stem = last.rpartition(".")[0]
        keys = [image, f"{folder}{slash}{stem}"]
        while "." in stem:
            stem = stem.rpartition(".")[0]
            if stem:
                keys.append(f"{folder}{slash}{stem}")
        return [key_of(k) for k in keys]

    def _side_files(self, image: str) -> list[str]:
        return [name for key in self._keys(image) for name in self._by_key.get(key, ())]

    def item(self, image: str, data: bytes, label: str) -> Item | Phrase:
        """The image with all its data in the archive, or why it is skipped."""
        row = self.evidence.row_of(image)
        if str(row.get("status", "success")) != "success":
            return Phrase("img2dataset could not fetch it")
        row_data = self.rows.of.get(image) or RowData()
        values, extra = dict(row_data.values), dict(row_data.extra)
        for column, texts in self._captions(image).items():
            values[column] = tuple(dict.fromkeys((*values.get(column, ()), *texts)))
        fill_in(values, extra, row)
        creator, _ = self.evidence.creators(image)
        if creator:
            values.setdefault("creator", creator)
        return Item(label, data, values, extra, merged(row_data.statements, self.evidence.of(image)))

    def _captions(self, image: str) -> dict[str, tuple[str, ...]]:
        """Captions of the nearest key that has any. Raises NotUtf8."""
        for key in self._keys(image):
            result: dict[str, tuple[str, ...]] = {}
            for name in self._by_key.get(key, ()):
                ending = max((e for e in _SIDE if name.lower().endswith(e)), key=len)
                for data in self._texts[name] if ending in CAPTIONS else ():
                    parsed = captions(decoded(data, self.tree.path_of(name), self.options.encoding))
                    column = CAPTIONS[ending]
                    for where, texts in ({column: parsed} if column else by_language(parsed)).items():
                        result[where] = tuple(dict.fromkeys((*result.get(where, ()), *texts)))
            if result := {k: v for k, v in result.items() if v}:
                return result
        return {}


def items(path: Path, name: str, options: Options, account: Account) -> Iterator[tuple[Item, str]]:
    """Images of an archive, and for each the key by which tables outside may name it.

    Raises:
        BadFile, UnsafeArchive, NotUtf8
    """
    stem = PurePosixPath(name).name
    for ending in ARCHIVES:
        stem = stem.removesuffix(ending) if stem.lower().endswith(ending) else stem
    folder = name.rpartition("/")[0]
    label = f"{folder}/{stem}" if folder else stem
    texts = _Texts(path, label, options, account)
    for member_name, _, read in _members(path):
        if not _is_image(member_name):
            continue
        inside = f"{label}/{member_name}"
        item = texts.item(member_name, read(), inside)
        if isinstance(item, Phrase):
            account.skip(inside, item)
        else:
            last = PurePosixPath(member_name).name
            yield item, key_of(last.rpartition(".")[0])
