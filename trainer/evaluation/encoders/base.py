"""The interface of image encoders, and checks of their output."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from engine.contract.errors import BadEncoder, Phrase
from trainer.dataset.files import sha256_of

BUILT_IN = "built-in"
EFFICIENTNET = "efficientnet-lite"


class Encoder(Protocol):
    """``name``: for display; ``sha256``: of all files that determine the features; ``resizer``: describes the resizing."""

    name: str
    sha256: str
    resizer: str
    reads_text: bool

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]`` of RGB images of any size."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]`` in the space of the images; only if ``reads_text``."""


def hash_of(files: Sequence[Path]) -> str:
    """SHA-256 over names and contents, in the order of names."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        digest.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def checked(array: Any, rows: int, path: Path) -> np.ndarray[Any, Any]:
    """Check and convert features to float32 ``[rows, d]``.

    Raises:
        BadEncoder: another shape, or values that are not finite.
    """
    result = np.asarray(array, np.float32)
    if result.ndim == 3 and result.shape[0] == rows:  # one token per position: the first represents the image
        result = result[:, 0]
    elif result.ndim == 4 and result.shape[0] == rows:  # a feature map: its mean
        result = result.mean((2, 3))
    if result.ndim != 2 or result.shape[0] != rows or result.shape[1] < 2:
        raise BadEncoder(
            path=path,
            why=Phrase(
                "it gave numbers of shape {found} for {rows} image(s) or text(s), not one row each",
                found=str(list(np.shape(array))),
                rows=rows,
            ),
        )
    if not np.isfinite(result).all():
        raise BadEncoder(path=path, why=Phrase("it gave values that are not numbers"))
    return result
