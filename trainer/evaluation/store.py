"""Features of image files, cached on disk until the file changes."""

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
from trainer.evaluation.encoders.base import Encoder

BATCH = 32


@dataclass
class ImageFeatures:
    """``rows`` float32 ``[n, d]`` of ``files``, in their order; ``skipped`` could not be read."""

    rows: np.ndarray[Any, Any]
    files: list[Path]
    skipped: list[dict[str, Any]] = field(default_factory=list)


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and its subfolders, sorted; hidden ones are skipped."""
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
    """Features of every file that is an image.

    ``tick`` is called with the number of newly finished files. With ``keep`` the features are cached in the data folder.

    Raises:
        BadEncoder
    """
    keys = [file_key(f) for f in files]
    cache = home() / "cache" / "features" / f"{_key(files, encoder)}.safetensors"
    cached = _read(cache) if keep else {}
    rows_by_index: dict[int, np.ndarray[Any, Any]] = {i: cached[m] for i, m in enumerate(keys) if m in cached}
    tick(len(rows_by_index))
    skipped: list[dict[str, Any]] = []
    pending: list[tuple[int, Image.Image]] = []

    def flush() -> None:
        if pending:
            rows = encoder.encode_images([image for _, image in pending])
            rows_by_index.update((i, row) for (i, _), row in zip(pending, rows, strict=True))
            tick(len(pending))
            pending.clear()

    try:
        for i, file in enumerate(files):
            if i in rows_by_index:
                continue
            try:
                pending.append((i, load_rgb(file)))
            except BadPicture as e:
                skipped.append({"file": str(file), "why": phrase(e.fields["why"])})
                tick(1)
            if len(pending) == BATCH:
                flush()
        flush()
    finally:  # also when interrupted: finished features need not be computed again
        if keep and any(keys[i] not in cached for i in rows_by_index):
            _write(cache, [keys[i] for i in sorted(rows_by_index)], [rows_by_index[i] for i in sorted(rows_by_index)])
    order = sorted(rows_by_index)
    rows = np.stack([rows_by_index[i] for i in order]).astype(np.float32) if order else np.zeros((0, 2), np.float32)
    return ImageFeatures(rows, [Path(files[i]) for i in order], skipped)


def file_key(file: Path) -> str:
    """A key that changes when the file does."""
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"{file.absolute()}|{status.st_size}|{status.st_mtime_ns}"


def _key(files: Sequence[Path], encoder: Encoder) -> str:
    folder = str(files[0].absolute().parent) if files else ""
    return hashlib.sha256(f"{encoder.sha256}|{encoder.resizer}|{folder}".encode("utf-8", "surrogatepass")).hexdigest()[
        :32
    ]


def _read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            keys, rows = json.loads((file.metadata() or {})["marks"]), file.get_tensor("rows")
        return dict(zip(keys, rows, strict=True))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return {}


def _write(path: Path, keys: list[str], rows: list[np.ndarray[Any, Any]]) -> None:
    from safetensors.numpy import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as f:
            f.write(save({"rows": np.stack(rows).astype(np.float32)}, {"marks": json.dumps(keys)}))
    except (OSError, CommonArtError):
        pass  # with a full disk they are computed again next time
