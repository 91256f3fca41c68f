"""Which words of a prompt a small model has never seen, by the list in its folder (``vocabulary.json``).

A model without a list, as every real one is, knows all words.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from pathlib import Path

_LATIN = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*")
_JAPANESE = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uff66-\uff9f々〆ー]+")


class Vocabulary:
    """Known phrases (things, styles, colours) and small words that mean nothing by themselves."""

    def __init__(self, known: list[str], small: list[str]) -> None:
        fold = [_fold(w) for w in (*known, *small)]
        # a name may mix scripts (Tシャツ): its runs count each for itself
        self._latin_words = {part for w in fold for part in _LATIN.findall(w)}
        self._ending: dict[str, list[str]] = {}  # known Japanese words by their last letter
        for word in {part for w in fold for part in _JAPANESE.findall(w)}:
            self._ending.setdefault(word[-1], []).append(word)

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that are not known, in order, once each. Japanese is divided so that the least is left over."""
        found: list[str] = []
        folded = _fold(text)
        for match in re.finditer(f"{_LATIN.pattern}|{_JAPANESE.pattern}", folded):
            word = match[0]
            if _LATIN.fullmatch(word):
                singular = word[:-1] if word.endswith("s") else word
                if not {word, singular, word.removesuffix("es")} & self._latin_words:
                    found.append(word)
            else:
                found += self._unread(word)
        return list(dict.fromkeys(found))

    def _unread(self, run: str) -> list[str]:
        """The parts of a Japanese run that no known word covers, by the division that leaves the fewest letters over.

        Longest match alone would read とりんご as とり + んご; a lone kana costs a little, since it may be part of a word.
        """
        best: list[tuple[float, int, str | None]] = [(0.0, 0, None)]  # cost up to here, where the last word begins, the word
        for end in range(1, len(run) + 1):
            cost, start, word = best[end - 1]
            options = [(cost + 1, end - 1, None)]
            for word in self._ending.get(run[end - 1], ()):
                if run.startswith(word, end - len(word)) and end >= len(word):
                    options.append((best[end - len(word)][0] + (0.4 if len(word) == 1 else 0.1), end - len(word), word))
            best.append(min(options, key=lambda o: o[0]))
        rest, end, left = [], len(run), ""
        while end > 0:
            _, start, word = best[end]
            if word is None:
                left = run[start] + left
            elif left:
                rest.append(left)
                left = ""
            end = start
        return [*reversed([*rest, left])] if left else rest[::-1]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


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
