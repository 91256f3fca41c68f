"""Which of the two languages a caption is written in."""

from __future__ import annotations

import re

_JAPANESE = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f々〆]")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")


def is_japanese(text: str) -> bool:
    """Whether most of ``text`` is Japanese; one character counts as two letters.

    "A sign that reads 寿司" is English.
    """
    signs = len(_JAPANESE.findall(text))
    return signs > 0 and 2 * signs >= len(_LATIN.findall(text))


def by_language(captions: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Captions of unknown language as ``text`` (English and all others) and ``text_ja``."""
    japanese = tuple(c for c in captions if is_japanese(c))
    return {"text": tuple(c for c in captions if c not in japanese), "text_ja": japanese}
