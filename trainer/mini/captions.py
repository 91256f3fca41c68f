"""Captions made by templates from known facts, in Japanese and English; never guessed.

``Facts`` is what a picture shows; ``caption`` says it, or the part of it that the templates leave room for. The last
template of each list is held out: it is never trained on and asks, in the evaluation, whether words or templates were
learned.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.mini.noise import disturbed
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS
from trainer.mini.things import Thing

LANGS = ("en", "ja")
RELATIONS = ("left", "above")  # of the first thing to the second; right and below are told with the two exchanged

#: Places: {a} thing with article, {n} thing, {s} style, {g} ground colour (Japanese: attributive; {gn}: the noun).
PLAIN = {
    "en": (
        "{n}",
        "{a}",
        "a picture of {a}",
        "an icon of {a}",
        "{a} icon",
        "a drawing of {a}",
        "the {n}",
        "one {n}",
        "draw {a}",
        "an image of {a}",
        "I want {a}",
        "please draw {a}",
        "an illustration of {a}",
    ),
    "ja": (
        "{n}",
        "{n}の絵",
        "{n}のイラスト",
        "{n}のアイコン",
        "{n}を描いて",
        "一つの{n}",
        "{n}です",
        "{n}を描いてください",
        "{n}の画像",
        "{n}が欲しい",
        "{n}をお願いします",
    ),
}
STYLED = {
    "en": (
        "{n}, {s}",
        "{a}, {s}",
        "{a} in {s}",
        "{s}, {n}",
        "{n} in {s}",
        "a picture of {a} in {s}",
        "{s} {n}",
        "draw {a} in {s}",
        "an icon of {a}, {s}",
    ),
    "ja": (
        "{n}、{s}",
        "{s}の{n}",
        "{s}で{n}",
        "{n}の絵、{s}",
        "{s}、{n}",
        "{n} {s}",
        "{n}を{s}で描いて",
        "{s}で描いた{n}",
        "{n}のイラスト、{s}",
    ),
}
GROUNDED = {
    "en": (
        "{n}, {g} background",
        "{a} on a {g} background",
        "{n} on {g}",
        "{g} background, {n}",
        "{a} with a {g} background",
        "{a} in front of {g}",
        "a picture of {a} on {g}",
    ),
    "ja": (
        "{n}、{g}背景",
        "{g}背景の{n}",
        "{g}背景に{n}",
        "{n}、背景は{gn}",
        "{n}の絵、{g}背景",
        "背景が{gn}の{n}",
        "{g}背景で{n}を描いて",
    ),
}
BOTH = {
    "en": (
        "{n}, {s}, {g} background",
        "{a} in {s} on a {g} background",
        "{s} {n} on a {g} background",
        "{a}, {g} background, {s}",
        "{n} on {g}, {s}",
        "draw {a} in {s} on {g}",
    ),
    "ja": (
        "{n}、{s}、{g}背景",
        "{s}の{n}、{g}背景",
        "{g}背景の{n}、{s}",
        "{s}で{g}背景の{n}",
        "{g}背景に{s}の{n}",
        "{g}背景で{s}の{n}を描いて",
    ),
}
#: Two things: {a}, {n} the first and {b}, {m} the second; {tail} is style and ground, or nothing.
PAIRS: dict[str, dict[str, tuple[str, ...]]] = {
    "left": {
        "en": (
            "{a} to the left of {b}{tail}",
            "{a} on the left and {b} on the right{tail}",
            "{n} left, {m} right{tail}",
            "{b} to the right of {a}{tail}",
            "{a} left of {b}{tail}",
            "{b} on the right of {a}{tail}",
        ),
        "ja": (
            "{m}の左に{n}{tail}",
            "左に{n}、右に{m}{tail}",
            "{n}の右に{m}{tail}",
            "左が{n}で右が{m}{tail}",
            "{m}の左にある{n}{tail}",
            "{n}の右側に{m}{tail}",
        ),
    },
    "above": {
        "en": (
            "{a} above {b}{tail}",
            "{a} at the top and {b} at the bottom{tail}",
            "{b} below {a}{tail}",
            "{a} over {b}{tail}",
            "{b} under {a}{tail}",
            "{b} at the bottom and {a} at the top{tail}",
        ),
        "ja": (
            "{m}の上に{n}{tail}",
            "上に{n}、下に{m}{tail}",
            "{n}の下に{m}{tail}",
            "上が{n}で下が{m}{tail}",
            "{n}の下にある{m}{tail}",
        ),
    },
}
#: How many: {k} the number in words or figures, {ns} the plural.
COUNTED = {
    "en": ("{k} {ns}{tail}", "a picture of {k} {ns}{tail}", "{k} {ns} together{tail}", "there are {k} {ns}{tail}"),
    "ja": ("{k}つの{n}{tail}", "{n}を{k}つ{tail}", "{n}が{k}つ{tail}", "{n}{k}つの絵{tail}"),
}
#: A thing in a colour that is not, or not only, its own: {c} attributive, {cn} the noun.
TINTED = {
    "en": ("{ac} {n}{tail}", "{c} {n}{tail}", "a picture of {ac} {n}{tail}", "{a} in {c}{tail}"),
    "ja": ("{c}{n}{tail}", "{c}{n}の絵{tail}", "{cn}色の{n}{tail}", "{n}、色は{cn}{tail}"),
}
TAILS = {
    "en": {"s": ", {s}", "g": ", {g} background", "sg": ", {s}, {g} background"},
    "ja": {"s": "、{s}", "g": "、{g}背景", "sg": "、{s}、{g}背景"},
}
NUMBERS: dict[str, dict[int, tuple[str, ...]]] = {
    "en": {1: ("one", "1"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")},
    "ja": {1: ("一", "1", "ひと"), 2: ("二", "2", "ふた"), 3: ("三", "3", "みっ"), 4: ("四", "4", "よっ")},
}
TABLES: tuple[Mapping[str, tuple[str, ...]], ...] = (PLAIN, STYLED, GROUNDED, BOTH, *PAIRS.values(), COUNTED, TINTED)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a picture shows. ``names`` holds the first thing's and, in a pair, the second's: language -> spellings."""

    names: tuple[Mapping[str, Sequence[str]], ...]
    style: int | None = None  # index into STYLES
    ground: str | None = None  # key of GROUNDS
    relation: str | None = None  # of RELATIONS
    count: int = 1
    colour: str | None = None  # key of COLOURS


def names_of(thing: Thing) -> dict[str, Sequence[str]]:
    """For ``Facts.names``."""
    return {lang: thing.names(lang) for lang in LANGS}


def plural(name: str) -> str:
    """English: of the last word, or of the head before "of", "with", "in" and the like."""
    for joint in (" of ", " with ", " in ", " on ", " and "):
        head, found, rest = name.partition(joint)
        if found:
            return plural(head) + joint + rest
    if name.endswith(("s", "sh", "ch", "x", "z")):
        return name if name.endswith("s") and not name.endswith("ss") else name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


def article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def templates(facts: Facts, lang: str) -> tuple[str, ...]:
    """All that fit; the last is held out from training."""
    if facts.relation:
        return PAIRS[facts.relation][lang]
    if facts.count > 1:
        return COUNTED[lang]
    if facts.colour:
        return TINTED[lang]
    table = (BOTH if facts.ground else STYLED) if facts.style is not None else (GROUNDED if facts.ground else PLAIN)
    return table[lang]


def caption(facts: Facts, lang: str, rng: random.Random, *, heldout: bool = False, noise: bool = False) -> str:
    """One caption of all the facts.

    ``heldout`` takes the template that training never shows, ``noise`` puts made-up words into it.
    """
    known = templates(facts, lang)
    template = known[-1] if heldout else rng.choice(known[:-1])
    if noise:
        template = disturbed(template, lang, rng)
    names = [_name(n[lang], rng) for n in facts.names]
    words: dict[str, Any] = {"n": names[0], "a": article(names[0]), "ns": plural(names[0]), "tail": ""}
    if facts.relation:
        words |= {"m": names[1], "b": article(names[1])}
    if facts.count > 1:
        words["k"] = rng.choice(NUMBERS[lang][facts.count])
    if facts.colour:
        _, english, japanese = COLOURS[facts.colour]
        forms = english if lang == "en" else japanese
        words |= {"c": forms[0], "cn": forms[-1].removesuffix("色"), "ac": article(forms[0])}
    key = ("s" if facts.style is not None else "") + ("g" if facts.ground else "")
    if facts.style is not None:
        words["s"] = rng.choice(getattr(STYLES[facts.style], lang))
    if facts.ground:
        _, english, japanese = GROUNDS[facts.ground]
        forms = english if lang == "en" else japanese
        words |= {"g": forms[0], "gn": forms[-1]}
    if key and "{tail}" in template:
        words["tail"] = TAILS[lang][key].format(**words)
    text = template.format(**words)
    return text[0].upper() + text[1:] if lang == "en" and rng.random() < 0.2 else text


def _name(names: Sequence[str], rng: random.Random) -> str:
    return names[0] if rng.random() < 0.4 else rng.choice(names)
