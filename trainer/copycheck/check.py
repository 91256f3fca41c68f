"""Check images against a dataset for copies: by hashes, by an encoder's features and optionally by prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, CommonArtError, NoRecords, NothingToCheck, Phrase
from engine.imagefile.image import read_parameters, read_recipe
from trainer.copycheck.copies import copies, fingerprints_of
from trainer.copycheck.extraction import fold
from trainer.copycheck.nearest import leave_one_out, nearest, summary
from trainer.dataset.records import Record, read_records
from trainer.dataset.tree import FileLocator
from trainer.evaluation.encoders.base import Encoder
from trainer.evaluation.metrics import Array
from trainer.evaluation.store import features_of, image_files

Tick = Callable[[int], None]
NEAREST = 3  # training images listed for each image


@dataclass
class Dataset:
    """Training images: a dataset folder with its records, or any folder of images."""

    folder: Path
    files: list[Path]
    records: list[Record]
    missing: int = 0  # recorded, but missing

    @classmethod
    def open(cls, folder: Path) -> Dataset:
        """Raises BadFile, BadRow, NotUtf8; NothingToCheck: it has no images."""
        if not folder.is_dir():
            raise BadFile(path=folder, why=Phrase("there is no such folder"))
        try:
            records = list(read_records(folder))
            locator = FileLocator(folder)
            named = [locator.path(r.file_name) for r in records]
            files = [f for f in named if f.is_file()]
        except NoRecords:
            records, named = [], []
            files = image_files(folder)
        if not files:
            raise NothingToCheck(why=Phrase("{path} holds no images", path=folder))
        return cls(folder, files, records, len(named) - len(files))

    def name(self, file: Path) -> str:
        """The file's name as in the records."""
        return file.relative_to(self.folder).as_posix()


@dataclass
class CopyCheckResult:
    """The JSON-ready ``answer``, and what the report and the extraction need in addition."""

    answer: dict[str, Any]
    files: list[Path] = field(default_factory=list)
    copied: set[Path] = field(default_factory=set)
    rows: dict[Path, Array] = field(default_factory=dict)  # features of the first encoder
    near: dict[Path, tuple[str, float]] = field(default_factory=dict)
    bound: float | None = None


def requested_files(given: Sequence[Path]) -> list[Path]:
    """The given images and the images in given folders, each once. Raises BadFile."""
    files: list[Path] = []
    for path in given:
        if path.is_dir():
            files += image_files(path)
        elif path.is_file():
            files.append(path)
        else:
            raise BadFile(path=path, why=Phrase("there is no such file or folder"))
    return list(dict.fromkeys(files))


def check(
    dataset: Dataset, files: list[Path], encoders: Sequence[Encoder], *, captions: bool, tick: Tick
) -> CopyCheckResult:
    """Compare the files with the dataset; ``tick`` gets ``(1 + encoders) * (len(files) + len(dataset.files))`` in total.

    Raises:
        NothingToCheck: no file is an image. BadEncoder.
    """
    known, bad_known = fingerprints_of(dataset.files, tick, keep=True)
    checked, skipped = fingerprints_of(files, tick, keep=False)
    if not checked:
        raise NothingToCheck(why=Phrase("none of {count} file(s) can be read as an image", count=len(files)))
    matches = copies(checked, known)
    rows: dict[Path, dict[str, Any]] = {
        f: {"file": str(f), "copies": [c | {"file": dataset.name(c["file"])} for c in matches[f]], "nearest": {}}
        for f in checked
    }
    result = CopyCheckResult({}, list(checked), {f for f in checked if matches[f]})
    measured = []
    for position, encoder in enumerate(encoders):
        theirs = features_of(dataset.files, encoder, tick)
        mine = features_of(list(checked), encoder, tick, keep=False)
        if not len(theirs.files):
            raise NothingToCheck(why=Phrase("{path} holds no images", path=dataset.folder))
        own = {f.resolve(): n for n, f in enumerate(theirs.files)}
        excluded = [{own[f.resolve()]} if f.resolve() in own else set() for f in mine.files]
        values, places = nearest(mine.rows, theirs.rows, NEAREST, excluded)
        baseline = summary(leave_one_out(theirs.rows))
        for n, file in enumerate(mine.files):
            rows[file]["nearest"][encoder.name] = [
                {"file": dataset.name(theirs.files[p]), "similarity": round(float(v), 6)}
                for v, p in zip(values[n], places[n], strict=True)
                if v > -2
            ]
        top = values[:, 0][values[:, 0] > -2]
        bound = baseline["p95"]
        measured.append(
            {"encoder": encoder.name, "sha256": encoder.sha256, "resizer": encoder.resizer}
            | summary(top)
            | {
                "baseline": baseline,
                "above_baseline_p95": float((top > bound).mean()) if bound is not None and len(top) else None,
            }
        )
        if position == 0:
            result.rows = dict(zip(mine.files, mine.rows, strict=True))
            result.near = {
                f: (dataset.name(theirs.files[p[0]]), float(v[0]))
                for f, v, p in zip(mine.files, values, places, strict=True)
                if v[0] > -2
            }
            result.bound = bound
    if captions:
        _add_captions(rows, dataset)
    kinds = {
        k: sum(any(c["kind"] == k for c in r["copies"]) for r in rows.values())
        for k in ("file", "pixels", "near", "mirrored")
    }
    result.answer = {
        "dataset": str(dataset.folder),
        "known": len(known),
        "missing": dataset.missing,
        "pictures": len(rows),
        "copied": len(result.copied),
        "kinds": kinds,
        "features": measured,
        "rows": list(rows.values()),
        "skipped": skipped + bad_known,
    }
    if captions:
        result.answer["captioned"] = sum(bool(r["caption_of"]) for r in rows.values())
    return result


def _add_captions(rows: dict[Path, dict[str, Any]], dataset: Dataset) -> None:
    """Add the prompt in each image, and the training images with exactly that caption."""
    by_caption: dict[str, list[str]] = {}
    for record in dataset.records:
        for lang in ("ja", "en"):
            for caption in record.captions(lang):
                by_caption.setdefault(fold(caption), []).append(record.file_name)
    for file, row in rows.items():
        row["prompt"] = _prompt(file)
        row["caption_of"] = list(dict.fromkeys(by_caption.get(fold(row["prompt"]), [])))[:20] if row["prompt"] else []


def _prompt(file: Path) -> str:
    """From our recipe, else from the parameters text of other tools; empty without any."""
    try:
        return str(read_recipe(file)["request"].get("prompt", ""))[:20_000]
    except (CommonArtError, AttributeError, TypeError):
        pass
    try:
        return read_parameters(file).split("\nNegative prompt:")[0].split("\nSteps:")[0].strip()[:20_000]
    except CommonArtError:
        return ""


def ordered(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows sorted by severity: copies by kind, then by the first encoder's cosine."""
    severity = {"file": 4, "pixels": 3, "near": 2, "mirrored": 1}

    def key(row: dict[str, Any]) -> tuple[int, float]:
        first: list[dict[str, Any]] = next(iter(row["nearest"].values()), [])
        return -max((severity[c["kind"]] for c in row["copies"]), default=0), -(
            first[0]["similarity"] if first else -2.0
        )

    return sorted(answer["rows"], key=key)
