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
        self._japanese = sorted({part for w in fold for part in _JAPANESE.findall(w)}, key=len, reverse=True)

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that are not known, in order, once each. Japanese is read by longest match."""
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
        left, at, rest = "", 0, []
        while at < len(run):
            hit = next((w for w in self._japanese if run.startswith(w, at)), None)
            # a lone particle inside an unknown word is part of that word: はさみ is not は + さみ
            if hit and not (left and len(hit) == 1 and "\u3040" <= hit <= "\u309f" and at + 1 < len(run)):
                if left:
                    rest.append(left)
                left, at = "", at + len(hit)
            else:
                left, at = left + run[at], at + 1
        return [*rest, left] if left else rest


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


@lru_cache(maxsize=4)
def vocabulary_of(root: Path) -> Vocabulary | None:
    """The list in a model's folder, or None."""
    try:
        data = json.loads((root / "vocabulary.json").read_text(encoding="utf-8"))
        return Vocabulary(list(data["known"]), list(data["small"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
