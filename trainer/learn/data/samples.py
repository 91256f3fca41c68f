"""The images of a run: read the records, measure sizes, assign buckets and hold some out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadPicture, Phrase, TooFewPictures
from trainer.config import Config
from trainer.dataset.files import sha256_of
from trainer.dataset.images import opened, orientation
from trainer.dataset.records import Record, read_records
from trainer.dataset.tree import FileLocator
from trainer.learn.data import counter_rng
from trainer.learn.data.buckets import Size, make_buckets, nearest


@dataclass(frozen=True, kw_only=True)
class TrainingImage:
    """One image to train on."""

    path: Path
    sha256: str
    size: Size  # upright, in pixels
    bucket: Size
    weight: float
    english: tuple[str, ...]
    japanese: tuple[str, ...]

    @property
    def captions(self) -> tuple[str, ...]:
        return self.english + self.japanese


@dataclass(frozen=True)
class Collection:
    """``train`` and ``heldout`` have no image in common; ``skipped`` counts the others by reason."""

    train: list[TrainingImage]
    heldout: list[TrainingImage]
    skipped: dict[Phrase, int]
    enlarged: int  # smaller than their bucket


def _captions(record: Record, language: str, trigger: str) -> tuple[str, ...]:
    separator = "、" if language == "ja" else ", "
    captions = tuple(c.strip() for c in record.captions(language) if c.strip())
    return tuple(f"{trigger}{separator}{c}" for c in captions) if trigger else captions


def collect(config: Config, *, multiple: int, own_side: int) -> Collection:
    """Read every record of every folder and the header of every image.

    Raises:
        BadFile, NoRecords, BadRow: a folder is no dataset. TooFewPictures: no image is left.
    """
    resolution = config.data.resolution or own_side
    buckets = make_buckets(resolution, multiple, config.data.max_aspect if config.data.buckets else 1.0)
    images: list[TrainingImage] = []
    skipped: Counter[Phrase] = Counter()
    enlarged = 0
    trigger = config.lora.trigger if config.kind == "lora" else ""
    for one in config.dataset:
        folder = Path(one.folder)
        locator = FileLocator(folder)
        for record in read_records(folder):
            english, japanese = (_captions(record, language, trigger) for language in ("en", "ja"))
            if not english and not japanese:
                skipped[Phrase("without a caption")] += 1
                continue
            path = locator.path(record.file_name)
            try:
                with opened(path) as image:
                    size = image.size[::-1] if orientation(image) in (5, 6, 7, 8) else image.size
            except BadPicture:
                skipped[Phrase("that cannot be read")] += 1
                continue
            if max(size) > 8 * min(size):
                skipped[Phrase("longer than eight times their width")] += 1
                continue
            bucket = nearest(size, buckets)
            enlarged += size[0] < bucket[0] or size[1] < bucket[1]
            images.append(
                TrainingImage(
                    path=path,
                    sha256=record.sha256 or sha256_of(path),
                    size=size,
                    bucket=bucket,
                    weight=one.weight,
                    english=english,
                    japanese=japanese,
                )
            )
    train, heldout = split(images, config.data.heldout, config.seed)
    if not train:
        raise TooFewPictures(
            why=Phrase("no image with a caption is left ({count} left out)", count=sum(skipped.values()))
        )
    return Collection(train, heldout, dict(skipped), enlarged)


def split(items: Sequence[TrainingImage], share: float, seed: int) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """(training images, held-out images), by their hashes: adding images moves few, and copies of one stay together.

    At least one is held out if ``share`` is positive and there are four or more.
    """
    hashes = sorted(
        {i.sha256 for i in items}, key=lambda h: counter_rng.number(seed, counter_rng.SPLIT, int(h[:15], 16))
    )
    count = round(len(hashes) * share)
    if share > 0 and len(hashes) >= 4:
        count = max(1, count)
    out = set(hashes[:count])
    return [i for i in items if i.sha256 not in out], [i for i in items if i.sha256 in out]
