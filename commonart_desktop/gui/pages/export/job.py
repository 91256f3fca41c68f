"""What the Export page does away from the window's thread: models that can be exported, the place, the export itself."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from commonart_desktop.core.process import program
from commonart_desktop.gui.background.process_stopper import ProcessStopper
from commonart_desktop.gui.pages.export.report import PARTS, Report, read_report
from engine.contract.errors import (
    CommonArtError,
    ExportOut,
    OutputFolder,
    Phrase,
    system_words,
)
from engine.contract.ledger.process_lock import ProcessLock

LOCK = ".export-lock"  # in a growing folder, as the exporter has it
MOST_HEADER = (
    4 << 20
)  # bytes of a head that is read here: a longer one would hold Python's lock too long, and only a guess needs it
SOURCES = {"text_encoder": "text_encoder", "transformer": "denoiser", "vae_decoder": "vae", "vae_encoder": "vae"}
_VARIANT = re.compile(r"\.(fp16|bf16)(-\d+-of-\d+)?\.safetensors$")
#: what each step costs, roughly, for the guess of the time left
_COSTS = {"graph": 4.0, "quantize": 2.0, "check": 1.0, "pytorch": 2.0, "onnx": 2.0, "hash": 1.0}


# the place --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OutputPlace:
    """What is known of an output folder. Sizes in bytes; ``need`` is a guess, None where nothing is known."""

    out: str
    problem: CommonArtError | None = None
    need: int | None = None
    free: int | None = None
    counts: dict[str, int] = field(default_factory=dict)  # parameters by part of the model


def propose(folder: Path, name: str) -> str:
    """A folder of that name that is not there yet, or empty."""
    for n in range(1, 1000):
        place = folder / (name if n == 1 else f"{name}-{n}")
        try:
            if not place.exists() or (place.is_dir() and not any(place.iterdir())):
                return str(place)
        except OSError:
            break
    return str(folder / name)


def inside(folder: Path, name: str) -> str:
    """The folder itself if nothing is in it, else a new one within."""
    with os.scandir(folder) as there:
        empty = next(there, None) is None
    return str(folder) if empty else propose(folder, name)


def look_at_place(out: str, parts: dict[str, str], precision: str) -> OutputPlace:
    """Whether the export can go there, and about how much it would write."""
    place = Path(out).expanduser()
    counts = {name: parameters_of(Path(folder)) for name, folder in parts.items() if name in SOURCES.values()}
    try:
        problem = _refused(place, parts)
        above = place.absolute()
        while not above.is_dir() and above != above.parent:
            above = above.parent
        free = shutil.disk_usage(above).free
        if problem is None and not os.access(above, os.W_OK):
            problem = OutputFolder(path=place, why=Phrase("it is not permitted"))
    except OSError as e:
        return OutputPlace(out, OutputFolder(path=place, why=system_words(e)))
    sizes = [n * (2 if precision == "fp16" else 4) for n in counts.values() if n]
    need = (
        sum(sizes) + (2 * max(sizes) if precision == "int8" else max(sizes) // 10) + (64 << 20)
        if len(sizes) == 3
        else None
    )  # as the exporter counts
    return OutputPlace(out, problem, need, free, {k: n for k, n in counts.items() if n})


def _refused(place: Path, parts: dict[str, str]) -> CommonArtError | None:
    """Raises OSError."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        return ExportOut(path=place, why=Phrase("it is not a folder"))
    if place.is_dir() and any(place.iterdir()):
        return ExportOut(path=place, why=Phrase("it is not empty"))
    here = place.resolve()
    if any(Path(part).resolve() in (here, *here.parents) for part in parts.values()):
        return ExportOut(path=place, why=Phrase("it lies in the model that is to be exported"))
    return None


def parameters_of(folder: Path) -> int | None:
    """How many numbers a part's safetensors hold, by their heads; None where that cannot be told."""
    try:
        files = sorted(folder.glob("*.safetensors"))
        files = [f for f in files if not _VARIANT.search(f.name)] or files
        total = 0
        for file in files:
            with file.open("rb") as opened:
                length = int.from_bytes(opened.read(8), "little")
                if not 0 < length <= MOST_HEADER:
                    return None
                head = json.loads(opened.read(length))
            total += sum(math.prod(entry["shape"]) for name, entry in head.items() if name != "__metadata__")
        return total or None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


# the export -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported, in the words of ``python -m engine.export``."""

    model: str
    name: str  # for people
    out: str
    precision: str = "fp32"
    loras: tuple[tuple[str, float], ...] = ()
    text_encoder: str = ""
    vae: str = ""
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return "fp16" if self.precision == "fp16" else "fp32"

    @property
    def quantize(self) -> str:
        return "int8" if self.precision == "int8" else "none"

    def arguments(self) -> list[str]:
        loras = [word for name, scale in self.loras for word in ("--lora", f"{name}:{scale:g}")]
        parts = [
            word
            for option, place in (("--text-encoder", self.text_encoder), ("--vae", self.vae))
            if place
            for word in (option, place)
        ]
        return [self.model, self.out, "--dtype", self.dtype, "--quantize", self.quantize, *loras, *parts]

    def steps(self) -> list[tuple[str, str, float]]:
        """What the exporter does, in its order: (part or "pictures" or "folder", deed, cost as a guess)."""
        whole = sum(self.counts.values())
        steps = []
        for part in PARTS:
            share = 0.5 + 3 * self.counts.get(SOURCES[part], 0) / whole if whole else 1.0
            deeds = (
                ["graph", "quantize", "check"]
                if self.quantize == "int8" and not part.startswith("vae")
                else ["graph", "check"]
            )
            steps += [(part, deed, _COSTS[deed] * share) for deed in deeds]
        return [
            *steps,
            ("pictures", "pytorch", _COSTS["pytorch"]),
            ("pictures", "onnx", _COSTS["onnx"]),
            ("folder", "hash", _COSTS["hash"]),
        ]


def export(request: ExportRequest, stopper: ProcessStopper, progress: Callable[[int, int], None]) -> Report | None:
    """Run it; None where it was stopped, and nothing of it is left then.

    Raises:
        CommonArtError: what the exporter told.
    """
    try:
        answer = program("engine.export", request.arguments(), on_progress=progress, on_start=stopper.adopt)
    except CommonArtError:
        if not stopper.requested:
            raise
        return None
    finally:
        sweep(Path(request.out))
    return read_report(str(answer["out"]))


def sweep(out: Path) -> None:
    """Remove what an export that was ended hard left beside ``out``; one that lives holds its lock."""
    for part in out.parent.glob(f"{glob_escape(out.name)}.part-????????") if out.parent.is_dir() else ():
        lock = ProcessLock(part / LOCK)
        if part.is_dir() and not part.is_symlink() and lock.take():
            lock.drop()
            shutil.rmtree(part, ignore_errors=True)


def glob_escape(name: str) -> str:
    """A name as itself in a pattern."""
    from glob import escape

    return escape(name)
