"""An evaluation's ``result.json``, or the program's answer. It may come from anywhere: sizes are limited and every value is looked at."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.i18n import catalogue, language
from engine.contract.errors import BadFile, Phrase, system_words

NAME, PAGE = "result.json", "report.html"
MOST_BYTES = 16 << 20  # some fifty thousand pictures; reading more would hold the window up
MOST_ROWS, MOST_NOTES, MOST_TEXT = 200, 50, 400
LANGS = ("ja", "en", "both")
MEASURES = ("top1", "top5", "clipscore", "cosine", "kid", "cmmd", "fid")
_PICTURE = re.compile(r"pictures/[\w-]{1,80}\.png")
_FIELD = re.compile(r"\{(\w{1,40})\}")


@dataclass(frozen=True)
class Figure:
    """One measure in one language, or why there is none. ``reference`` is how many pictures it was compared with."""

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
class Drawn:
    """One picture; a file that cannot be used is empty. ``place`` counts from 0: how many known things it resembles more than the one asked for."""

    lang: str
    index: int
    copy: int
    prompt: str
    seed: int
    file: str
    place: int | None
    cosines: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Pair:
    """The same prompt number and seed in both languages."""

    ja: Drawn | None
    en: Drawn | None


@dataclass(frozen=True)
class Result:
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
    def known(self) -> bool:
        """Whether anything of an evaluation was found in it."""
        return bool(self.figures or self.pairs)

    def langs(self) -> tuple[str, ...]:
        """Its columns."""
        there = {f.lang for f in self.figures}
        return tuple(x for x in LANGS if x in there)


def read_result(path: str, answer: dict[str, Any] | None = None) -> Result:
    """A ``result.json``. ``answer`` is what the program that wrote it told, which will do for all but the pictures.

    Raises:
        BadFile: it is not there, too large, or no JSON (unless there is ``answer``).
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            text = opened.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise BadFile(path=file, why=Phrase("it is larger than {n} MB", n=MOST_BYTES >> 20))
        data = json.loads(text)
    except OSError as e:
        raise BadFile(path=file, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=file, why=Phrase("it is not JSON")) from e
    except BadFile:
        if answer is None:
            raise
        data = answer
    return parse(data, file.parent)


def parse(data: Any, folder: Path) -> Result:
    """What can be understood of a result; what cannot is left out."""
    data = data if isinstance(data, dict) else {}
    model, recipe, reference, against = (_dict(data.get(k)) for k in ("model", "recipe", "reference", "against"))
    page = folder / PAGE
    drawn = [d for d in (_drawn(row, folder) for row in _dicts(data.get("items"), 1_000_000)) if d]
    by: dict[tuple[int, int], dict[str, Drawn]] = {}
    for one in drawn:
        by.setdefault((one.index, one.copy), {})[one.lang] = one
    told = [
        (k, recipe[k])
        for k in ("steps", "guidance", "sampler", "seed", "copies", "width", "height", "dtype", "negative")
        if k in recipe
    ]
    return Result(
        model=_with_loras(_text(model.get("name")), model.get("loras")),
        folder=str(folder),
        page=str(page) if page.is_file() and not page.is_symlink() else "",
        figures=tuple(f for f in (_figure(row) for row in _dicts(data.get("table"), MOST_ROWS)) if f),
        against=_with_loras(_text(against.get("model")), against.get("loras")),
        differences=tuple(d for d in (_difference(row) for row in _dicts(against.get("differences"), MOST_ROWS)) if d),
        pairs=tuple(Pair(both.get("ja"), both.get("en")) for _, both in sorted(by.items())),
        recipe=tuple(
            (k, _text(v) if isinstance(v, str) else f"{n:g}")
            for k, v in told
            if isinstance(v, str) or (n := _number(v)) is not None
        ),
        encoders=tuple(_text(e.get("name")) for e in _dicts(data.get("encoders"), 32)),
        reference=(_text(reference.get("name")), _count(reference.get("n"))) if reference else None,
        notes=tuple(filter(None, map(told_by, data["notes"][:MOST_NOTES])))
        if isinstance(data.get("notes"), list)
        else (),
        skipped=tuple(_text(s.get("file")) for s in _dicts(data.get("skipped"), 100_000)),
        missed=tuple(
            (lang, tuple(_text(p) for p in data[f"missed_{lang}"][:1000]))
            for lang in ("ja", "en")
            if isinstance(data.get(f"missed_{lang}"), list) and data[f"missed_{lang}"]
        ),
    )


def told_by(phrase: Any) -> str:
    """A sentence of a result in the user's language. Its fields are put in here, since its template may be anybody's."""
    if isinstance(phrase, str):
        return _text(phrase)
    phrase = _dict(phrase)
    template, given = _text(phrase.get("template")), _dict(phrase.get("fields"))
    return _FIELD.sub(
        lambda m: _text(str(given[m[1]])) if isinstance(given.get(m[1]), (str, int, float)) else m[0],
        catalogue(language()).get(template, template),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any, most: int) -> list[dict[str, Any]]:
    return [one for one in value[:most] if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in value[:MOST_TEXT]) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        return (
            float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            else None
        )
    except OverflowError:
        return None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0


def _with_loras(name: str, loras: Any) -> str:
    told = [
        f"{_text(x.get('name'))}:{scale:g}" for x in _dicts(loras, 16) if (scale := _number(x.get("scale"))) is not None
    ]
    return " + ".join([name, *told])


def _figure(row: dict[str, Any]) -> Figure | None:
    measure, lang = row.get("measure"), row.get("lang")
    if measure not in MEASURES or lang not in LANGS:
        return None
    value = _number(row.get("value"))
    refused = told_by(row.get("refused"))
    return Figure(
        str(measure),
        _text(row.get("encoder")),
        str(lang),
        None if refused else value,
        _number(row.get("low")),
        _number(row.get("high")),
        _count(row.get("n")),
        _count(row.get("reference")),
        refused,
    )


def _difference(row: dict[str, Any]) -> Difference | None:
    measure, lang, value, p = row.get("measure"), row.get("lang"), _number(row.get("value")), _number(row.get("p"))
    if measure not in MEASURES or lang not in LANGS or value is None or p is None:
        return None
    return Difference(
        str(measure),
        _text(row.get("encoder")),
        str(lang),
        value,
        _number(row.get("low")),
        _number(row.get("high")),
        p,
        _count(row.get("n")),
    )


def _drawn(row: dict[str, Any], folder: Path) -> Drawn | None:
    lang, place = row.get("lang"), row.get("place")
    if lang not in ("ja", "en"):
        return None
    name = row.get("file")
    # by our own names only; whether a link leads elsewhere is seen when it is read
    file = str(folder / name) if isinstance(name, str) and _PICTURE.fullmatch(name) else ""
    cosines = tuple(
        (_text(k), n) for k, v in list(_dict(row.get("cosines")).items())[:8] if (n := _number(v)) is not None
    )
    return Drawn(
        str(lang),
        _count(row.get("index")),
        _count(row.get("copy")),
        _text(row.get("prompt")),
        _count(row.get("seed")),
        file,
        _count(place) if isinstance(place, int) else None,
        cosines,
    )
