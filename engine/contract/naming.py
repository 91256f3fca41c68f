"""File names from templates such as ``{date}/{prompt:40}-{seed}``: known fields only, safe on every system.

``{prompt:40}`` is at most 40 characters of a text; ``{seed:08}`` a number with zeros before it, never cut. A column of
a prompt file is either, as far as its values allow.
"""

from __future__ import annotations

import difflib
import re
import string
import time
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from engine.contract.errors import BadTemplate, Phrase
from engine.contract.request import ImageRequest

DEFAULT = "{date}/{prompt:40}-{seed}"
FIELDS = (
    "date",
    "time",
    "job",
    "id",
    "prompt",
    "negative",
    "seed",
    "width",
    "height",
    "steps",
    "guidance",
    "sampler",
    "model",
)
_NUMBERS = ("id", "seed", "width", "height", "steps", "guidance")
_LENGTH = re.compile(r"[1-9][0-9]{0,2}")
_PADDED = re.compile(r"0([1-9][0-9]?)d?")
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
_LONGEST = 180  # bytes per path part: leaves room for "-2" and the extension below the usual limit of 255


def parts_of(template: str) -> list[tuple[str, str | None, str]]:
    """(literal, field, format) triples.

    Raises:
        BadTemplate: not a template, or one that leads out of the folder.
    """
    try:
        parts = [(lit, field, spec or "") for lit, field, spec, conversion in string.Formatter().parse(template)]
    except ValueError as e:
        raise BadTemplate(template=template, why=Phrase("a brace is not closed; write {{ for one brace")) from e
    literal = "".join(lit for lit, _, _ in parts)
    if not template.strip() or template.endswith(("/", "\\")):
        raise BadTemplate(template=template, why=Phrase("it names no file"))
    if "\\" in literal:
        raise BadTemplate(template=template, why=Phrase("folders are separated by /"))
    if template.startswith("/") or ":" in literal or any(p.strip() in ("..", ".", "~") for p in template.split("/")):
        raise BadTemplate(template=template, why=Phrase("it must stay inside the output folder"))
    return parts


def check(template: str, extra: Mapping[str, str] = {}) -> None:
    """Check a template before it is used.

    Raises:
        BadTemplate: see ``parts_of``; or an unknown field; the message suggests the closest one.
    """
    known = [*FIELDS, *extra]
    for _, field, spec in parts_of(template):
        if field is None:
            continue
        if field not in known:
            near = difflib.get_close_matches(field, known, 1)
            raise BadTemplate(
                template=template,
                why=Phrase(
                    "there is no field {field}; known are {known}",
                    field="{" + field + "}",
                    known=", ".join(near or known),
                ),
            )
        if not spec:
            continue
        if field in _NUMBERS and not _PADDED.fullmatch(spec):
            raise BadTemplate(
                template=template,
                why=Phrase(
                    "{field} is a number: after its colon stand a zero and how many digits, as in {example}",
                    field="{" + field + "}",
                    example="{" + field + ":08}",
                ),
            )
        if field in extra and _PADDED.fullmatch(spec) and not re.fullmatch(r"-?[0-9]+", extra[field]):
            raise BadTemplate(
                template=template,
                why=Phrase(
                    "{field} is not a number that zeros can stand before: {value}", field=field, value=extra[field]
                ),
            )
        if field not in _NUMBERS and not _LENGTH.fullmatch(spec) and not (field in extra and _PADDED.fullmatch(spec)):
            raise BadTemplate(
                template=template, why=Phrase("after the colon stands a length, as in {example}", example="{prompt:40}")
            )


def _clean(text: str) -> str:
    """Text as a piece of a file name: NFC, no separators, nothing invisible."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(
        c if c.isprintable() else " " for c in text
    )  # control and direction marks, unassigned and private characters
    return re.sub(r"\s+", " ", _UNSAFE.sub("_", text)).strip()


def _component(text: str) -> str:
    """One folder or file name that is valid on Windows, macOS and Linux."""
    text = _clean(text).strip(".").strip() or "_"
    if text.split(".")[0].rstrip().lower() in _RESERVED:
        text = "_" + text
    while len(text.encode("utf-8")) > _LONGEST:
        text = text[:-1]
    return text.rstrip(" .") or "_"


def render(
    template: str, request: ImageRequest, *, job: str = "", image: int | str = "", when: float | None = None
) -> PurePosixPath:
    """The relative path, without extension, of an image.

    Raises:
        BadTemplate: see ``check``.
    """
    check(template, request.extra)
    now = time.localtime(when)
    values = {
        **request.extra,
        "date": time.strftime("%Y-%m-%d", now),
        "time": time.strftime("%H%M%S", now),
        "job": job,
        "id": str(image),
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": str(request.seed),
        "width": str(request.width or ""),
        "height": str(request.height or ""),
        "steps": str(request.steps),
        "guidance": f"{request.guidance:g}",
        "sampler": request.sampler,
        "model": request.model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
    }
    text = ""
    for literal, field, spec in parts_of(template):
        text += literal
        if field is not None:
            value = _clean(values[field])
            padded = _PADDED.fullmatch(spec)
            if padded:
                value = value.zfill(int(padded[1])) if value else ""
            text += value[: int(spec)].strip() if spec and not padded else value
    # a name with only empty fields would be the folder itself
    return PurePosixPath(*([_component(p) for p in text.split("/") if p.strip()] or ["_"]))
