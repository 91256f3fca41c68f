"""The proof of an export, ``parity.json``. It may come from anywhere: sizes are limited and every value is checked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commonart_desktop.core.untrusted_json import as_dict, as_dicts, as_number, as_text, read_json
from engine.contract.errors import ParityMissed

NAME = "parity.json"
MAX_BYTES = 4 << 20
MAX_ROWS, MAX_PAIRS, MAX_TEXT = 64, 64, 200
#: in the order in which they are exported
PARTS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder")
_IMAGE_NAME = re.compile(r"parity/[\w-]{1,60}\.png")


@dataclass(frozen=True)
class Case:
    """One graph on one set of shapes. ``good`` is None where the report has no outcome, or it was not reached."""

    part: str
    dtype: str = ""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    max: float | None = None
    rms: float | None = None
    bound_max: float | None = None
    bound_rms: float | None = None
    good: bool | None = None


@dataclass(frozen=True)
class Pair:
    """One image by both sides; the name of a file that cannot be used is empty."""

    prompt: str
    seed: int
    psnr: float | None
    changed: bool
    good: bool
    pytorch: str = ""
    onnx: str = ""


@dataclass(frozen=True)
class Report:
    """A complete proof. ``folder`` is empty where the export was removed."""

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
    def min_psnr(self) -> float | None:
        """In dB."""
        values = [p.psnr for p in self.pairs if p.psnr is not None]
        return min(values) if values else None

    @property
    def changed(self) -> int:
        """How many images show another concept than PyTorch's."""
        return sum(p.changed for p in self.pairs)


def read_report(chosen: str) -> Report:
    """The report of an exported folder, or of its ``parity.json``; without cases and pairs it is no report.

    Raises:
        BadFile: it is missing, too large, or not JSON.
    """
    file = Path(chosen) if Path(chosen).name == NAME else Path(chosen) / NAME
    return parse(read_json(file, MAX_BYTES), file.parent)


def parse(data: Any, folder: Path | None) -> Report:
    """What can be understood of a report; the rest is left out."""
    data = as_dict(data)
    images, libraries = as_dict(data.get("pictures")), as_dict(data.get("libraries"))
    cases = [
        _case(part, row) for part in as_dicts(data.get("parts"), 16) for row in as_dicts(part.get("rows"), MAX_ROWS)
    ]
    pairs = [_pair(row, folder) for row in as_dicts(images.get("rows"), MAX_PAIRS)]
    return Report(
        good=data.get("good") is True and all(c.good for c in cases) and all(p.good for p in pairs),
        dtype=as_text(data.get("dtype"), 16) or "fp32",
        quantize=as_text(data.get("quantize"), 16) or "none",
        folder=str(folder) if folder is not None else "",
        cases=tuple(cases[:MAX_ROWS]),
        pairs=tuple(pairs),
        bound_psnr=as_number(images.get("bound_psnr")),
        libraries={as_text(k, 40): as_text(v, 40) for k, v in list(libraries.items())[:12] if isinstance(v, str)},
    )


def missed(error: ParityMissed, dtype: str, quantize: str) -> Report:
    """What is known of an export that missed a bound: the report in the error, or the order of the parts."""
    parity = error.fields.get("parity")
    if isinstance(parity, str) and len(parity) <= MAX_BYTES:
        try:
            parity = json.loads(parity)
        except (ValueError, RecursionError):
            parity = None
    report = parse(parity, None) if isinstance(parity, dict) else Report(False)
    part = str(error.fields.get("part", ""))
    failed_at = PARTS.index(part) if part in PARTS else len(PARTS)
    cases, reported = list(report.cases), {c.part for c in report.cases}
    for n, name in enumerate(PARTS):
        if name not in reported:
            cases.append(Case(name, good=None if n > failed_at else n < failed_at))
    cases.sort(key=lambda c: PARTS.index(c.part) if c.part in PARTS else len(PARTS))
    return Report(False, dtype, quantize, "", tuple(cases), report.pairs, report.bound_psnr)


def _case(part: dict[str, Any], row: dict[str, Any]) -> Case:
    shapes = tuple(
        (as_text(name, 60), tuple(n for n in sides[:8] if isinstance(n, int) and abs(n) < 10**9))
        for name, sides in list(as_dict(row.get("shapes")).items())[:8]
        if isinstance(sides, list)
    )
    return Case(
        as_text(part.get("part"), 40),
        as_text(part.get("dtype"), 16),
        shapes,
        as_number(row.get("max")),
        as_number(row.get("rms")),
        as_number(part.get("bound_max")),
        as_number(part.get("bound_rms")),
        row.get("good") is True,
    )


def _pair(row: dict[str, Any], folder: Path | None) -> Pair:
    seed = row.get("seed")
    return Pair(
        as_text(row.get("prompt"), MAX_TEXT),
        seed if isinstance(seed, int) and abs(seed) < 2**64 else 0,
        as_number(row.get("psnr")),
        row.get("changed") is True,
        row.get("good") is True,
        _image_file(row.get("pytorch"), folder),
        _image_file(row.get("onnx"), folder),
    )


def _image_file(name: Any, folder: Path | None) -> str:
    """An image beside the report; empty for a name that leads elsewhere, also by a link."""
    if folder is None or not isinstance(name, str) or not _IMAGE_NAME.fullmatch(name):
        return ""
    file = folder / name
    return str(file) if file.is_file() and not file.is_symlink() and not file.parent.is_symlink() else ""
