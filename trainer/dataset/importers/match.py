"""Which image a row of a table means, among those that are there. A name that could mean two means none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from trainer.dataset.tree import Tree, key_of, plain_path

SEVERAL = "\0several"  # no file can be called so


class ImageIndex:
    """Images of a tree by path, by the last part of their path, and by that without its ending."""

    def __init__(self, tree: Tree, images: Iterable[str]) -> None:
        self.tree = tree
        self.images = set(images)
        self._by_last: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for image in sorted(self.images):
            last = PurePosixPath(image).name
            self._by_last.setdefault(key_of(last), []).append(image)
            self._by_stem.setdefault(key_of(last.rpartition(".")[0]), []).append(image)

    def named(self, value: str, base: str = "") -> str | None:
        """The image that ``value`` names, seen from the folder ``base``; None for none, SEVERAL where it is not clear.

        ``value`` is a path inside, a longer or shorter path with the same end, an address, or a name without its
        ending.
        """
        value = value.strip()
        if "://" in value:
            value = unquote(urlsplit(value).path)
        value = plain_path(value)
        if not value or ".." in value.split("/"):
            return None
        for start in dict.fromkeys((f"{base}/{value}" if base else value, value)):
            if (name := self.tree.find(start)) in self.images:
                return name
        wanted = key_of(value.strip("/"))
        alike = [
            image
            for image in self._by_last.get(wanted.rpartition("/")[2], ())
            if ("/" + key_of(image)).endswith("/" + wanted) or ("/" + wanted).endswith("/" + key_of(image))
        ]
        if not alike and "/" not in wanted:
            alike = self._by_stem.get(wanted, [])
        return alike[0] if len(alike) == 1 else SEVERAL if alike else None
