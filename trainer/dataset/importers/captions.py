"""Captions in text files beside an image: ``x.txt``, ``x.caption``, ``x.png.txt``.

``x.en.txt`` and ``x.ja.txt`` by language.
"""

from __future__ import annotations

from trainer.dataset.files import CHUNK, decoded
from trainer.dataset.language import by_language
from trainer.dataset.tree import Tree

# ending -> column; without one the language is seen from the text
ENDINGS = {
    ".txt": "",
    ".caption": "",
    ".en.txt": "text",
    ".en.caption": "text",
    ".ja.txt": "text_ja",
    ".ja.caption": "text_ja",
}


def caption_files(tree: Tree, image: str) -> dict[str, str]:
    """Name of each caption file of ``image`` -> column."""
    result: dict[str, str] = {}
    for ending, column in ENDINGS.items():
        for start in (image.rpartition(".")[0], image):
            if name := tree.find(start + ending):
                result.setdefault(name, column)
    return result


def read_captions(tree: Tree, image: str, encoding: str) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Column -> captions (each line that is not empty is one), and the files read. Raises NotUtf8, BadFile."""
    result: dict[str, dict[str, None]] = {"text": {}, "text_ja": {}}
    files = caption_files(tree, image)
    for name, column in files.items():
        text = decoded(tree.read(name, CHUNK), tree.path_of(name), encoding)
        lines = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        for where, captions in ({column: lines} if column else by_language(lines)).items():
            result[where].update(dict.fromkeys(captions))
    return {k: tuple(v) for k, v in result.items() if v}, set(files)
