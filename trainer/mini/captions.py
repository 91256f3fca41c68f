"""Captions made by templates from known facts (thing, style, ground), in Japanese and English; never guessed."""

from __future__ import annotations

import random

from trainer.mini.packages import STYLES
from trainer.mini.pictures import GROUNDS, Concept

#: Places: {a} thing with article, {n} thing, {s} style, {g} ground colour (Japanese: its attributive form).
PLAIN = {
    "en": ("{n}", "{a}", "a picture of {a}", "an icon of {a}", "{a} icon", "a drawing of {a}", "the {n}", "one {n}"),
    "ja": ("{n}", "{n}の絵", "{n}のイラスト", "{n}のアイコン", "{n}を描いて", "一つの{n}", "{n}です"),
}
STYLED = {
    "en": ("{n}, {s}", "{a}, {s}", "{a} in {s}", "{s}, {n}", "{n} in {s}", "a picture of {a} in {s}", "{s} {n}"),
    "ja": ("{n}、{s}", "{s}の{n}", "{s}で{n}", "{n}の絵、{s}", "{s}、{n}", "{n} {s}", "{n}を{s}で描いて"),
}
GROUNDED = {
    "en": ("{n}, {g} background", "{a} on a {g} background", "{n} on {g}", "{g} background, {n}", "{a} with a {g} background"),
    "ja": ("{n}、{g}背景", "{g}背景の{n}", "{g}背景に{n}", "{n}、背景は{gn}", "{n}の絵、{g}背景"),
}
BOTH = {
    "en": ("{n}, {s}, {g} background", "{a} in {s} on a {g} background", "{s} {n} on a {g} background",
           "{a}, {g} background, {s}", "{n} on {g}, {s}"),
    "ja": ("{n}、{s}、{g}背景", "{s}の{n}、{g}背景", "{g}背景の{n}、{s}", "{s}で{g}背景の{n}", "{g}背景に{s}の{n}"),
}


def caption(concept: Concept, style: int | None, ground: str | None, lang: str, rng: random.Random) -> str:
    """One caption that names the thing, and the style (index into ``STYLES``) and ground where given."""
    names = getattr(concept, lang)
    name = names[0] if rng.random() < 0.4 else rng.choice(names)
    templates = (BOTH if ground else STYLED) if style is not None else (GROUNDED if ground else PLAIN)
    words = {"n": name, "a": f"{'an' if name[0] in 'aeiou' else 'a'} {name}"}
    if style is not None:
        words["s"] = rng.choice(getattr(STYLES[style], lang))
    if ground:
        forms = GROUNDS[ground][1 if lang == "en" else 2]
        words |= {"g": forms[0], "gn": forms[-1]}
    text = rng.choice(templates[lang]).format(**words)
    return text[0].upper() + text[1:] if lang == "en" and rng.random() < 0.2 else text
