"""An evaluation's ``result.json``, or the program's answer.

It may come from anywhere: sizes are limited and every value is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.i18n import catalogue, language
from commonart_desktop.core.untrusted_json import (
    as_count,
    as_dict,
    as_dicts,
    as_number,
    as_text,
    read_json,
)

NAME, PAGE = "result.json", "report.html"
MAX_BYTES = 16 << 20  # some fifty thousand images; parsing more would block the window
MAX_ROWS, MAX_NOTES, MAX_TEXT = 200, 50, 400
LANGS = ("ja", "en", "both")
MEASURES = ("top1", "top5", "clipscore", "cosine", "kid", "cmmd", "fid")
_IMAGE_NAME = re.compile(r"pictures/[\w-]{1,80}\.png")
_FIELD = re.compile(r"\{(\w{1,40})\}")


@dataclass(frozen=True)
class Figure:
    """One measure in one language, or why there is none. ``reference`` is how many images it was compared with."""

    measure: str
    encoder: str
    lang: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    reference: int
    refused: str = ""


@dataclass(frozen=True)
class Difference:
    """This model less the other, in one measure and language."""

    measure: str
    encoder: str
    lang: str
    value: float
    low: float | None
    high: float | None
    p: float
    n: int


@dataclass(frozen=True)
class Sample:
    """One image; the name of a file that cannot be used is empty. ``rank``: how many concepts it resembles more than its own."""

    lang: str
    index: int
    copy: int
    prompt: str
    seed: int
    file: str
    rank: int | None
    cosines: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Pair:
    """The same prompt number and seed in both languages."""

    ja: Sample | None
    en: Sample | None


@dataclass(frozen=True)
class Report:
    """What is known of an evaluation. ``page`` is its report for a browser, empty where there is none."""

    model: str
    folder: str = ""
    page: str = ""
    figures: tuple[Figure, ...] = ()
    against: str = ""
    differences: tuple[Difference, ...] = ()
    pairs: tuple[Pair, ...] = ()
    recipe: tuple[tuple[str, str], ...] = ()
    encoders: tuple[str, ...] = ()
    reference: tuple[str, int] | None = None
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    missed: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def valid(self) -> bool:
        """Whether there is anything of an evaluation in it."""
        return bool(self.figures or self.pairs)

    def langs(self) -> tuple[str, ...]:
        """Its columns."""
        used = {f.lang for f in self.figures}
        return tuple(x for x in LANGS if x in used)


def read_report(path: str, answer: dict[str, Any] | None = None) -> Report:
    """A ``result.json``. ``answer`` is what the program that wrote it printed: everything but the images.

    Raises:
        BadFile: it is missing, not JSON, or, without ``answer``, too large.
    """
    file = Path(path)
    if answer is not None and file.is_file() and file.stat().st_size > MAX_BYTES:
        return parse(answer, file.parent)
    return parse(read_json(file, MAX_BYTES), file.parent)


def parse(data: Any, folder: Path) -> Report:
    """What can be understood of a result; the rest is left out."""
    data = as_dict(data)
    model, recipe, reference, against = (as_dict(data.get(k)) for k in ("model", "recipe", "reference", "against"))
    page = folder / PAGE
    samples = [d for d in (_sample(row, folder) for row in as_dicts(data.get("items"), 1_000_000)) if d]
    by: dict[tuple[int, int], dict[str, Sample]] = {}
    for one in samples:
        by.setdefault((one.index, one.copy), {})[one.lang] = one
    settings = [
        (k, recipe[k])
        for k in ("steps", "guidance", "sampler", "seed", "copies", "width", "height", "dtype", "negative")
        if k in recipe
    ]
    return Report(
        model=_with_loras(_text(model.get("name")), model.get("loras")),
        folder=str(folder),
        page=str(page) if page.is_file() and not page.is_symlink() else "",
        figures=tuple(f for f in (_figure(row) for row in as_dicts(data.get("table"), MAX_ROWS)) if f),
        against=_with_loras(_text(against.get("model")), against.get("loras")),
        differences=tuple(d for d in (_difference(row) for row in as_dicts(against.get("differences"), MAX_ROWS)) if d),
        pairs=tuple(Pair(both.get("ja"), both.get("en")) for _, both in sorted(by.items())),
        recipe=tuple(
            (k, _text(v) if isinstance(v, str) else f"{n:g}")
            for k, v in settings
            if isinstance(v, str) or (n := as_number(v)) is not None
        ),
        encoders=tuple(_text(e.get("name")) for e in as_dicts(data.get("encoders"), 32)),
        reference=(_text(reference.get("name")), as_count(reference.get("n"))) if reference else None,
        notes=tuple(filter(None, map(phrase_text, data["notes"][:MAX_NOTES])))
        if isinstance(data.get("notes"), list)
        else (),
        skipped=tuple(_text(s.get("file")) for s in as_dicts(data.get("skipped"), 100_000)),
        missed=tuple(
            (lang, tuple(_text(p) for p in data[f"missed_{lang}"][:1000]))
            for lang in ("ja", "en")
            if isinstance(data.get(f"missed_{lang}"), list) and data[f"missed_{lang}"]
        ),
    )


def _text(value: Any) -> str:
    return as_text(value, MAX_TEXT)


def phrase_text(phrase: Any) -> str:
    """A sentence of a result in the user's language. Not by ``str.format``: the template is untrusted."""
    if isinstance(phrase, str):
        return _text(phrase)
    phrase = as_dict(phrase)
    template, given = _text(phrase.get("template")), as_dict(phrase.get("fields"))
    return _FIELD.sub(
        lambda m: _text(str(given[m[1]])) if isinstance(given.get(m[1]), (str, int, float)) else m[0],
        catalogue(language()).get(template, template),
    )


def _with_loras(name: str, loras: Any) -> str:
    names = [
        f"{_text(x.get('name'))}:{scale:g}"
        for x in as_dicts(loras, 16)
        if (scale := as_number(x.get("scale"))) is not None
    ]
    return " + ".join([name, *names])


def _figure(row: dict[str, Any]) -> Figure | None:
    measure, lang = row.get("measure"), row.get("lang")
    if measure not in MEASURES or lang not in LANGS:
        return None
    value = as_number(row.get("value"))
    refused = phrase_text(row.get("refused"))
    return Figure(
        str(measure),
        _text(row.get("encoder")),
        str(lang),
        None if refused else value,
        as_number(row.get("low")),
        as_number(row.get("high")),
        as_count(row.get("n")),
        as_count(row.get("reference")),
        refused,
    )


def _difference(row: dict[str, Any]) -> Difference | None:
    measure, lang, value, p = row.get("measure"), row.get("lang"), as_number(row.get("value")), as_number(row.get("p"))
    if measure not in MEASURES or lang not in LANGS or value is None or p is None:
        return None
    return Difference(
        str(measure),
        _text(row.get("encoder")),
        str(lang),
        value,
        as_number(row.get("low")),
        as_number(row.get("high")),
        p,
        as_count(row.get("n")),
    )


def _sample(row: dict[str, Any], folder: Path) -> Sample | None:
    lang, rank = row.get("lang"), row.get("place")
    if lang not in ("ja", "en"):
        return None
    name = row.get("file")
    # by our own names only; whether a link leads elsewhere is checked when it is read
    file = str(folder / name) if isinstance(name, str) and _IMAGE_NAME.fullmatch(name) else ""
    cosines = tuple(
        (_text(k), n) for k, v in list(as_dict(row.get("cosines")).items())[:8] if (n := as_number(v)) is not None
    )
    return Sample(
        str(lang),
        as_count(row.get("index")),
        as_count(row.get("copy")),
        _text(row.get("prompt")),
        as_count(row.get("seed")),
        file,
        as_count(rank) if isinstance(rank, int) else None,
        cosines,
    )
