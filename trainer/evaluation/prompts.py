"""The prompts of an evaluation: a model's concepts, a prompt file, COCO captions or a dataset folder's captions."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, BadRow, NothingToEvaluate, Phrase, system_words
from engine.contract.promptfile import MAX_LETTERS, read
from trainer.dataset.records import read_records
from trainer.evaluation.truth import ConceptTable

LANGS = ("ja", "en")
MAX_JSON = 1_000_000_000  # bytes: COCO's and STAIR's files have some hundred million
_JAPANESE = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uff66-\uff9f々〆]")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image to generate: ``index`` counts the prompts of its language, ``copy`` the images of one prompt."""

    lang: str
    index: int
    copy: int
    prompt: str
    thing: int | None = None  # index of the concept that the prompt names
    task: int | None = None  # index of the task in the model's suite

    @property
    def file(self) -> str:
        return f"{self.lang}-{self.index:05}-{self.copy:02}.png"


def language_of(text: str) -> str:
    """``ja`` if there is a kana or a Chinese character, else ``en``."""
    return "ja" if _JAPANESE.search(text) else "en"


def of_things(truth: ConceptTable, langs: Sequence[str], most: int | None = None) -> list[tuple[str, str]]:
    """(language, prompt) of every concept by its most common name; at most ``most``, spread over the table."""
    things = (
        range(len(truth.known))
        if most is None or most >= len(truth.known)
        else [n * len(truth.known) // most for n in range(most)]
    )
    return [(lang, truth.names[lang][n][0]) for lang in langs for n in things]


def from_file(path: Path, langs: Sequence[str], limit: int | None = None) -> list[tuple[str, str]]:
    """(language, prompt) in the file's order, at most ``limit`` of each language; other languages are skipped.

    Raises:
        BadFile, BadRow, NoRecords, NotUtf8; NothingToEvaluate: no prompt in these languages.
    """
    if path.is_dir():
        found: Iterable[tuple[str, str]] = _dataset(path)
    elif path.suffix.lower() == ".json":
        found = _captions(path)
    else:
        found = _rows(path)
    taken: list[tuple[str, str]] = []
    counts = dict.fromkeys(langs, 0)
    for lang, prompt in found:
        if lang in counts and (limit is None or counts[lang] < limit):
            counts[lang] += 1
            taken.append((lang, prompt))
    if not taken:
        raise NothingToEvaluate(why=Phrase("{path} has no prompt in {langs}", path=path, langs=", ".join(langs)))
    return taken


def items_of(
    pairs: Sequence[tuple[str, str]], copies: int, truth: ConceptTable | None, tasks: Sequence[int] = ()
) -> list[Item]:
    """Items numbered by language.

    Prompts that name a concept and nothing else get its index; the first of each language get their index in ``tasks``.
    """
    counts: dict[str, int] = {}
    found = []
    for lang, prompt in pairs:
        index = counts.setdefault(lang, 0)
        counts[lang] += 1
        task = tasks[index] if index < len(tasks) else None
        thing = truth.thing(prompt) if truth and task is None else None
        found += [
            Item(lang=lang, index=index, copy=copy, prompt=prompt, thing=thing, task=task) for copy in range(copies)
        ]
    return found


def hash_of_prompts(pairs: Sequence[tuple[str, str]]) -> str:
    """SHA-256 of all prompts in order."""
    return hashlib.sha256(json.dumps([list(p) for p in pairs], ensure_ascii=False).encode("utf-8")).hexdigest()


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Rows of a prompt file; the column ``lang`` gives the language, else the script does."""
    for row in read(path):
        extra = row.settings.get("extra", {})
        settings = [k for k in row.settings if k != "extra"]
        if settings:
            raise BadRow(
                path=str(path),
                line=row.line,
                why=Phrase(
                    "an evaluation draws all prompts by one recipe, so {name} cannot be set for one of them",
                    name=settings[0],
                ),
            )
        lang = extra.get("lang") or extra.get("language") or language_of(row.prompt)
        yield lang[:2].lower(), row.prompt


def _dataset(folder: Path) -> Iterator[tuple[str, str]]:
    """The first caption of each image in each language."""
    for record in read_records(folder):
        for lang in LANGS:
            for caption in record.captions(lang)[:1]:
                if text := _clean(caption):
                    yield lang, text


def _captions(path: Path) -> Iterator[tuple[str, str]]:
    """COCO and STAIR Captions: the first caption of each image, sorted by image.

    ``{"annotations": [{"image_id": 1, "id": 1, "caption": "..."}]}``; a caption's script gives its language.
    """
    try:
        if path.stat().st_size > MAX_JSON:
            raise BadFile(path=path, why=Phrase("it is larger than {n} MB", n=MAX_JSON // 1_000_000))
        data: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not JSON: {error}", error=str(e)[:100])) from e
    rows = data.get("annotations") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(
        isinstance(r, dict) and isinstance(r.get("caption"), str) and "image_id" in r for r in rows
    ):
        raise BadFile(path=path, why=Phrase("it has no annotations of COCO's form: a list with image_id and caption"))
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for n, row in enumerate(rows):
        lang, number = language_of(row["caption"]), row.get("id", n)
        number = number if isinstance(number, int) else n
        key = (str(row["image_id"]), lang)
        if key not in first or number < first[key][0]:
            first[key] = number, row["caption"]
    for (_, lang), (_, caption) in sorted(first.items(), key=lambda kv: (len(kv[0][0]), kv[0])):
        if text := _clean(caption):
            yield lang, text


def _clean(text: str) -> str:
    """NFC, one line, without control characters; empty if it is too long for a prompt."""
    text = unicodedata.normalize("NFC", " ".join(_CONTROL.sub("", text).split()))
    return text if len(text) <= MAX_LETTERS else ""
