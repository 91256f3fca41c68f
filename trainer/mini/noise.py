"""Words that mean nothing here, put between and around those of a caption's template: people say more than training's
templates do.

The caption encoder learns to read past them. Without them a caption by a template that it was never shown told it next
to nothing: every template it knew ends in one of a dozen ways, and the last token is what tells of the whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import lru_cache

from trainer.mini.things import things

#: words that say nothing of the picture: now and then another stands in their place
NEUTRAL = {
    "en": ("picture", "icon", "drawing", "image", "draw", "want", "the", "one"),
    "ja": ("の絵", "のイラスト", "のアイコン", "の画像", "描いて", "です", "ください", "が欲しい"),
}
REPLACED, PARTICLE = 0.3, 0.5
SHARE = 0.3  # of captions that have made-up words in them, in the caption encoder's training and in the denoiser's
_HIRAGANA = tuple(chr(c) for c in range(0x3042, 0x3094) if chr(c) not in "ぁぃぅぇぉっゃゅょゎゐゑ")
_KATAKANA = tuple(chr(c) for c in range(0x30A2, 0x30F3) if chr(c) not in "ァィゥェォッャュョヮヰヱ")
_CONSONANTS = "bcdfghjklmnprstvwyz"
_ATOMS = re.compile(r"\{\w+\}|[\u4e00-\u9fff]+|[\u30a0-\u30ff]+|.")


def nonsense(lang: str, rng: random.Random) -> str:
    """A made-up word, "rusta" or へもくり.

    One of rare kanji teaches that what the tokenizer has only bytes for says nothing either.
    """
    if lang == "en":
        return "".join(
            rng.choice(_CONSONANTS) + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "s", "t"))
            for _ in range(rng.choice((1, 2, 2, 3)))
        )
    kind = rng.random()
    if kind < 0.25:
        return "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(rng.choice((1, 1, 2))))
    letters = _HIRAGANA if kind < 0.85 else _KATAKANA
    return "".join(rng.choice(letters) for _ in range(rng.choice((1, 2, 2, 3, 4, 5))))


def stand_ins(letters: Iterable[str]) -> dict[str, str]:
    """Of ``letters`` those that no made-up word has -> one that made-up words have, spread evenly: kanji of names, q,
    x, small kana.
    """
    said = {*_HIRAGANA, *_KATAKANA, *_CONSONANTS, *"aeiou"}
    rest = sorted(set(letters) - said)
    return {
        c: (_CONSONANTS if c.isascii() else _HIRAGANA)[n % (len(_CONSONANTS) if c.isascii() else len(_HIRAGANA))]
        for n, c in enumerate(rest)
    }


@lru_cache(maxsize=1)
def _taken() -> frozenset[str]:
    return frozenset(name for t in things() for name in (*t.en, *t.ja))


def unknown(lang: str, rng: random.Random) -> str:
    """A made-up word that happens to be no thing's name."""
    while (word := nonsense(lang, rng)) in _taken():
        pass
    return word


def disturbed(template: str, lang: str, rng: random.Random) -> str:
    """The template with one or two made-up words in it, before, between or behind its own.

    Its places stay, in their order.
    """
    if lang == "en":
        words = [
            nonsense(lang, rng) if w in NEUTRAL["en"] and rng.random() < REPLACED else w for w in template.split(" ")
        ]
        for _ in range(rng.choice((1, 1, 2))):
            words.insert(rng.randint(0, len(words)), nonsense(lang, rng))
        return " ".join(words)
    for neutral in NEUTRAL["ja"]:
        if neutral in template and rng.random() < REPLACED:
            template = template.replace(neutral, nonsense(lang, rng))
    atoms = _ATOMS.findall(template)
    for _ in range(rng.choice((1, 1, 2))):
        word, place = nonsense(lang, rng), rng.choice((0, len(atoms), len(atoms), rng.randint(0, len(atoms))))
        if place and rng.random() < PARTICLE:
            word = rng.choice("をのにがはとでも") + word
        atoms.insert(place, word + ("の" if place == 0 and rng.random() < PARTICLE else ""))
    return "".join(atoms)
