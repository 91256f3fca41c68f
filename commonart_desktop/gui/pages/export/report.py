"""The proof of an export, as ``parity.json`` tells it. It may come from anywhere: sizes are limited and every value is looked at."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, ParityMissed, Phrase, system_words

NAME = "parity.json"
MOST_BYTES = 4 << 20
MOST_ROWS, MOST_PAIRS, MOST_TEXT = 64, 64, 200
#: in the order in which they are made
PARTS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder")
_PICTURE = re.compile(r"parity/[\w-]{1,60}\.png")


@dataclass(frozen=True)
class Case:
    """One graph on one set of shapes. ``good`` is None where that was not told, or not reached."""

    part: str
    dtype: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    most: float | None = None
    rms: float | None = None
    bound_most: float | None = None
    bound_rms: float | None = None
    good: bool | None = None
    reached: bool = True


@dataclass(frozen=True)
class Pair:
    """One picture by both sides; a file that cannot be used is empty."""

    prompt: str
    seed: int
    psnr: float | None
    changed: bool
    good: bool
    pytorch: str = ""
    onnx: str = ""


@dataclass(frozen=True)
class Report:
    """A whole proof. ``folder`` is empty where the export was removed."""

    good: bool
    dtype: str = "fp32"
    quantize: str = "none"
    folder: str = ""
    cases: tuple[Case, ...] = ()
    pairs: tuple[Pair, ...] = ()
    bound_psnr: float | None = None
    libraries: dict[str, str] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        return "int8" if self.quantize == "int8" else self.dtype

    @property
    def least_psnr(self) -> float | None:
        known = [p.psnr for p in self.pairs if p.psnr is not None]
        return min(known) if known else None

    @property
    def changed(self) -> int:
        """How many pictures show another concept than PyTorch's."""
        return sum(p.changed for p in self.pairs)


def read_report(chosen: str) -> Report:
    """The report of an exported folder, or of its ``parity.json``; one without cases and pairs was none.

    Raises:
        BadFile: there is none, it is too large, or it is no JSON.
    """
    file = Path(chosen) if Path(chosen).name == NAME else Path(chosen) / NAME
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
    return parse(data, file.parent)


def parse(data: Any, folder: Path | None) -> Report:
    """What can be understood of a report; what cannot is left out."""
    data = data if isinstance(data, dict) else {}
    pictures = data.get("pictures") if isinstance(data.get("pictures"), dict) else {}
    cases = [_case(part, row) for part in _dicts(data.get("parts"), 16) for row in _dicts(part.get("rows"), MOST_ROWS)]
    pairs = [_pair(row, folder) for row in _dicts(pictures.get("rows"), MOST_PAIRS)]
    libraries = data.get("libraries") if isinstance(data.get("libraries"), dict) else {}
    return Report(
        good=data.get("good") is True and all(c.good for c in cases) and all(p.good for p in pairs),
        dtype=_text(data.get("dtype"), 16) or "fp32",
        quantize=_text(data.get("quantize"), 16) or "none",
        folder=str(folder) if folder is not None else "",
        cases=tuple(cases[:MOST_ROWS]),
        pairs=tuple(pairs),
        bound_psnr=_number(pictures.get("bound_psnr")),
        libraries={_text(k, 40): _text(v, 40) for k, v in list(libraries.items())[:12] if isinstance(v, str)},
    )


def missed(error: ParityMissed, dtype: str, quantize: str) -> Report:
    """What is known of an export whose gate failed: the report in the error if there is one, or by the order of the parts."""
    told = error.fields.get("parity")
    if isinstance(told, str) and len(told) <= MOST_BYTES:
        try:
            told = json.loads(told)
        except (ValueError, RecursionError):
            told = None
    part = str(error.fields.get("part", ""))
    whole = parse(told, None) if isinstance(told, dict) else Report(False)
    known, at = list(whole.cases), PARTS.index(part) if part in PARTS else len(PARTS)
    there = {c.part for c in known}
    for n, name in enumerate(PARTS):
        if name not in there:
            known.append(Case(name, good=None if n > at else n < at, reached=n <= at))
    return Report(
        False,
        dtype,
        quantize,
        "",
        tuple(sorted(known, key=lambda c: PARTS.index(c.part) if c.part in PARTS else 9)),
        whole.pairs,
        whole.bound_psnr,
    )


def _dicts(value: Any, most: int) -> list[dict[str, Any]]:
    return [one for one in value[:most] if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any, most: int = MOST_TEXT) -> str:
    return "".join(c if c.isprintable() else " " for c in value[:most]) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        return (
            float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            else None
        )
    except OverflowError:
        return None


def _case(part: dict[str, Any], row: dict[str, Any]) -> Case:
    given = row.get("shapes") if isinstance(row.get("shapes"), dict) else {}
    shapes = tuple(
        (_text(name, 60), tuple(n for n in sides[:8] if isinstance(n, int) and abs(n) < 10**9))
        for name, sides in list(given.items())[:8]
        if isinstance(sides, list)
    )
    return Case(
        _text(part.get("part"), 40),
        _text(part.get("dtype"), 16),
        shapes,
        _number(row.get("max")),
        _number(row.get("rms")),
        _number(part.get("bound_max")),
        _number(part.get("bound_rms")),
        row.get("good") is True,
    )


def _pair(row: dict[str, Any], folder: Path | None) -> Pair:
    seed = row.get("seed")
    return Pair(
        _text(row.get("prompt")),
        seed if isinstance(seed, int) and abs(seed) < 2**64 else 0,
        _number(row.get("psnr")),
        row.get("changed") is True,
        row.get("good") is True,
        _file(row.get("pytorch"), folder),
        _file(row.get("onnx"), folder),
    )


def _file(name: Any, folder: Path | None) -> str:
    """A picture beside the report; a name that leads elsewhere, also by a link, is none."""
    if folder is None or not isinstance(name, str) or not _PICTURE.fullmatch(name):
        return ""
    file = folder / name
    return str(file) if file.is_file() and not file.is_symlink() and not file.parent.is_symlink() else ""
