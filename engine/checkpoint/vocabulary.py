"""The words of a prompt that a small model was not trained on, by the list in its folder (``vocabulary.json``).

A model without a list, as every large one, has no unknown words.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_LATIN = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uff66-\uff9f々〆ー]+")
_ANY = re.compile(f"{_LATIN.pattern}|{_JAPANESE.pattern}")


class Vocabulary:
    """Known phrases (concepts, styles, colours, numbers, relations) and function words."""

    def __init__(self, known: list[str], small: list[str]) -> None:
        fold = [_fold(w) for w in (*known, *small)]
        # a name may mix scripts (Tシャツ): each of its runs counts by itself
        self._phrases: dict[str, list[tuple[str, ...]]] = {}  # known English phrases by their last word
        for phrase in {tuple(_LATIN.findall(w)) for w in fold} - {()}:
            self._phrases.setdefault(phrase[-1], []).append(phrase)
        self._ending: dict[str, list[str]] = {}  # known Japanese words by their last letter
        for word in {part for w in fold for part in _JAPANESE.findall(w)}:
            self._ending.setdefault(word[-1], []).append(word)

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that are not known, in order, once each, divided so that the least is left over.

        English: a word is known as the last of a known name (panda of "red panda"), or together with the rest of the
        name; "ice" alone is not known for being a part of "ice cream". Plurals are known with their singulars.
        """
        unknown: list[str] = []
        folded = _fold(text)
        words: list[str] = []
        for match in _ANY.finditer(folded):
            if _LATIN.fullmatch(match[0]):
                words.append(match[0])
                continue
            unknown += self._unknown_english(words)
            words = []
            unknown += self._unknown_japanese(match[0])
        return list(dict.fromkeys(unknown + self._unknown_english(words)))

    def _unknown_english(self, words: list[str]) -> list[str]:
        """The words that no known phrase covers."""
        # by position: the cost up to there, where the last phrase begins, whether it is known
        best: list[tuple[float, int, bool]] = [(0.0, 0, False)]
        for end in range(1, len(words) + 1):
            options = [(best[end - 1][0] + 1, end - 1, False)]
            for last in _singulars(words[end - 1]):
                if last in self._phrases:
                    options.append((best[end - 1][0] + 0.1, end - 1, True))
                for phrase in self._phrases.get(last, ()):
                    start = end - len(phrase)
                    if start >= 0 and all(
                        p in _singulars(w) for p, w in zip(phrase[:-1], words[start : end - 1], strict=True)
                    ):
                        options.append((best[start][0] + 0.1, start, True))
            best.append(min(options, key=lambda o: o[0]))
        rest, end = [], len(words)
        while end > 0:
            _, start, known = best[end]
            if not known:
                rest.append(words[start])
            end = start
        return rest[::-1]

    def _unknown_japanese(self, run: str) -> list[str]:
        """The parts of a Japanese run that no known word covers, by the division that leaves the fewest letters.

        Longest match alone would read とりんご as とり + んご; a lone kana costs a little, as it may be part of a word.
        """
        # by position: the cost up to there, where the last word begins, the word
        best: list[tuple[float, int, str | None]] = [(0.0, 0, None)]
        for end in range(1, len(run) + 1):
            options: list[tuple[float, int, str | None]] = [(best[end - 1][0] + 1, end - 1, None)]
            for word in self._ending.get(run[end - 1], ()):
                if run.startswith(word, end - len(word)) and end >= len(word):
                    cost = best[end - len(word)][0] + (0.4 if len(word) == 1 else 0.1)
                    options.append((cost, end - len(word), word))
            best.append(min(options, key=lambda o: o[0]))
        rest, end, left = [], len(run), ""
        while end > 0:
            _, start, covering = best[end]
            if covering is None:
                left = run[start] + left
            elif left:
                rest.append(left)
                left = ""
            end = start
        return [*reversed([*rest, left])] if left else rest[::-1]


def _singulars(word: str) -> Iterator[str]:
    """The word, and the words that it may be the plural of."""
    yield word
    if word.endswith("s"):
        yield word[:-1]
        if word.endswith("es"):
            yield word[:-2]
        if word.endswith("ies"):
            yield word[:-3] + "y"
        if word.endswith("ves"):
            yield word[:-3] + "f"
            yield word[:-3] + "fe"


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().replace("’", "'")


@lru_cache(maxsize=4)
def vocabulary_of(root: Path) -> Vocabulary | None:
    """The list in a model's folder, or None."""
    try:
        if (root / "vocabulary.json").stat().st_size > 8_000_000:
            return None
        data = json.loads((root / "vocabulary.json").read_text(encoding="utf-8"))
        return Vocabulary(list(data["known"]), list(data["small"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
