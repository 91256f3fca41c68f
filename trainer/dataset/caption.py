"""Captions by machine for images that have none, marked as such.

What people wrote stays, and a stopped run goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.errors import BadPicture, BadValue, NoCaptioner, OutOfMemory, Phrase
from trainer.dataset.images import load_rgb
from trainer.dataset.importers.source import Skipped
from trainer.dataset.records import Record, read_records, write_records
from trainer.dataset.tree import FileLocator

if TYPE_CHECKING:
    from PIL.Image import Image

    from trainer.dataset.captioner import Captioner

_SECONDS = 30.0  # between writes, at least; ten times what a write takes, where that is more
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Captioning:
    """Options of a captioning run."""

    model: Path | None = None
    languages: tuple[str, ...] = ("en", "ja")
    overwrite: bool = False  # captions that are there too, also those of people
    device: str = "auto"
    batch_size: int = 1
    max_tokens: int = 128
    prompts: dict[str, str] = field(default_factory=dict)


@dataclass
class CaptioningResult:
    """Outcome of a captioning run."""

    model: str
    written: int = 0
    kept: int = 0  # images that had all their captions
    notes: list[Phrase] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        reasons = [
            {"why": {"template": p.template, "fields": p.fields}, "count": n, "files": names}
            for p, names, n in self.skipped.reasons.values()
        ]
        return {
            "model": self.model,
            "written": self.written,
            "kept": self.kept,
            "reasons": reasons,
            "notes": [{"template": n.template, "fields": n.fields} for n in self.notes],
        }


class _CaptionWriter:
    """Writes new captions to metadata.jsonl at intervals.

    The file is read again each time, so that changes made by others meanwhile are preserved.
    """

    def __init__(self, folder: Path, origin: str, overwrite: bool) -> None:
        self.folder, self.origin, self.overwrite = folder, origin, overwrite
        self.new: dict[str, dict[str, str]] = {}
        self._last, self._pause = time.monotonic(), _SECONDS

    def note(self, name: str, language: str, caption: str) -> None:
        self.new.setdefault(name, {})[language] = caption
        if time.monotonic() - self._last > self._pause:
            self.write()

    def write(self) -> None:
        if not self.new:
            return
        started = time.monotonic()
        write_records(self.folder, self._merged())
        self.new.clear()
        self._last = time.monotonic()
        self._pause = max(_SECONDS, 10 * (self._last - started))

    def _merged(self) -> Iterator[Record]:
        for record in read_records(self.folder):
            for language, caption in self.new.get(record.file_name, {}).items():
                if self.overwrite or not record.captions(language):
                    record = record.with_captions(language, [caption], self.origin)
            yield record


def caption_folder(folder: Path, options: Captioning, *, progress: Progress | None = None) -> CaptioningResult:
    """Write captions where they are missing.

    What was written survives an interruption; the next run resumes.

    Raises:
        NoCaptioner: no such model, or it supports none of the languages.
        BadFile, NoRecords, BadRow, NoDevice, OutOfMemory
    """
    from trainer.dataset.captioner import Captioner, family_of

    for name, value, high in (("batch-size", options.batch_size, 256), ("max-tokens", options.max_tokens, 2048)):
        if not 1 <= value <= high:
            raise BadValue(name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=1, high=high))
    _, family = family_of(options.model)
    able = set(family.prompts) | {x for x in family.if_asked if options.prompts.get(x)}
    languages = [x for x in options.languages if x in able]
    notes = []
    if "ja" in options.languages and "ja" not in able:
        # reported, since its English must not pass for Japanese
        notes.append(
            Phrase(
                "{family} is known to write English only, so no Japanese captions were written; give --prompt-ja if "
                "this one learned Japanese",
                family=family.name,
            )
            if "ja" in family.if_asked
            else Phrase(
                "{family} writes English only, so no Japanese captions were written; use Qwen2-VL for them",
                family=family.name,
            )
        )
    if not languages:
        raise NoCaptioner(path=options.model, why=notes[0])
    wanted: list[tuple[str, str]] = []
    kept = 0
    for record in read_records(folder):
        missing = [x for x in languages if options.overwrite or not record.captions(x)]
        wanted += [(record.file_name, x) for x in missing]
        kept += not missing
    if not wanted:
        return CaptioningResult(family.name, kept=kept, notes=notes)
    assert options.model is not None
    captioner = Captioner(options.model, device=options.device, max_tokens=options.max_tokens)
    done = CaptioningResult(captioner.origin, kept=kept, notes=notes)
    writer = _CaptionWriter(folder, captioner.origin, options.overwrite)
    finished = 0
    try:
        for language in languages:
            names = [n for n, x in wanted if x == language]
            for start in range(0, len(names), options.batch_size):
                batch = names[start : start + options.batch_size]
                for name, caption in zip(
                    *_captions(folder, batch, captioner, language, options, done.skipped), strict=False
                ):
                    if caption:
                        writer.note(name, language, caption)
                        done.written += 1
                    else:
                        done.skipped.add(name, Phrase("the model wrote nothing in the language asked for"))
                finished += len(batch)
                if progress:
                    progress(finished, len(wanted))
    finally:
        writer.write()
    return done


def _captions(
    folder: Path, names: list[str], captioner: Captioner, language: str, options: Captioning, skipped: Skipped
) -> tuple[list[str], list[str]]:
    """Names that could be opened, and their captions. Falls back to one image at a time when memory runs out."""
    import torch

    locator = FileLocator(folder)
    opened: list[str] = []
    images: list[Image] = []
    for name in names:
        try:
            images.append(load_rgb(locator.path(name)))
            opened.append(name)
        except BadPicture as e:
            why = e.fields["why"]
            skipped.add(name, why if isinstance(why, Phrase) else Phrase("it is damaged or cut off"))
    if not images:
        return [], []
    prompt = options.prompts.get(language, "")
    try:
        return opened, captioner(images, language, prompt)
    except torch.OutOfMemoryError as e:
        if len(images) == 1:
            raise OutOfMemory(device=captioner.device, width=images[0].width, height=images[0].height) from e
    torch.cuda.empty_cache()
    try:
        return opened, [captioner([p], language, prompt)[0] for p in images]
    except torch.OutOfMemoryError as e:
        raise OutOfMemory(device=captioner.device, width=images[0].width, height=images[0].height) from e
