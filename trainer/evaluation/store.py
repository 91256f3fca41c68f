"""Features of picture files, made once: what did not change since is taken from a file kept aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contract.errors import BadPicture, CommonArtError
from engine.contract.files import replacing
from engine.contract.paths import home
from engine.system.json_program import phrase
from trainer.dataset.images import is_image_name, load_rgb
from trainer.evaluation.encoder_base import Encoder

BATCH = 32


@dataclass
class ImageFeatures:
    """``rows`` float32 ``[n, d]`` of ``files``, in their order; ``skipped`` could not be read."""

    rows: np.ndarray[Any, Any]
    files: list[Path]
    skipped: list[dict[str, Any]] = field(default_factory=list)


def picture_files(folder: Path) -> list[Path]:
    """Pictures in a folder and below, by name; hidden ones are passed over."""
    return sorted(
        p
        for p in folder.rglob("*")
        if is_image_name(p.name)
        and p.is_file()
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    )


def features_of(
    files: Sequence[Path], encoder: Encoder, tick: Callable[[int], None], *, keep: bool = True
) -> ImageFeatures:
    """Features of every file that is a picture; ``tick`` hears how many more are done. With ``keep``, they are kept in the data folder.

    Raises:
        BadEncoder
    """
    marks = [mark_of(f) for f in files]
    kept = home() / "cache" / "features" / f"{_key(files, encoder)}.safetensors"
    known = _read(kept) if keep else {}
    found: dict[int, np.ndarray[Any, Any]] = {i: known[m] for i, m in enumerate(marks) if m in known}
    tick(len(found))
    skipped: list[dict[str, Any]] = []
    waiting: list[tuple[int, Image.Image]] = []

    def flush() -> None:
        if waiting:
            rows = encoder.pictures([image for _, image in waiting])
            found.update((i, row) for (i, _), row in zip(waiting, rows, strict=True))
            tick(len(waiting))
            waiting.clear()

    try:
        for i, file in enumerate(files):
            if i in found:
                continue
            try:
                waiting.append((i, load_rgb(file)))
            except BadPicture as e:
                skipped.append({"file": str(file), "why": phrase(e.fields["why"])})
                tick(1)
            if len(waiting) == BATCH:
                flush()
        flush()
    finally:  # also when interrupted: what was seen need not be seen again
        if keep and any(marks[i] not in known for i in found):
            _write(kept, [marks[i] for i in sorted(found)], [found[i] for i in sorted(found)])
    order = sorted(found)
    rows = np.stack([found[i] for i in order]).astype(np.float32) if order else np.zeros((0, 2), np.float32)
    return ImageFeatures(rows, [Path(files[i]) for i in order], skipped)


def mark_of(file: Path) -> str:
    """Changes when the file does."""
    try:
        told = file.stat()
    except OSError:
        return ""
    return f"{file.absolute()}|{told.st_size}|{told.st_mtime_ns}"


def _key(files: Sequence[Path], encoder: Encoder) -> str:
    place = str(files[0].absolute().parent) if files else ""
    return hashlib.sha256(f"{encoder.sha256}|{encoder.resizer}|{place}".encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            marks, rows = json.loads((file.metadata() or {})["marks"]), file.get_tensor("rows")
        return dict(zip(marks, rows, strict=True))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return {}


def _write(path: Path, marks: list[str], rows: list[np.ndarray[Any, Any]]) -> None:
    from safetensors.numpy import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as f:
            f.write(save({"rows": np.stack(rows).astype(np.float32)}, {"marks": json.dumps(marks)}))
    except (OSError, CommonArtError):
        pass  # a full disk costs the time to see them again
