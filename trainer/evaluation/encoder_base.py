"""What an image encoder must offer, and checks of what it returns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from engine.contract.errors import BadEncoder, Phrase
from trainer.dataset.files import sha256_of
from trainer.evaluation.features import features

BUILT_IN = "built-in"


EFFICIENTNET = "efficientnet-lite"


class Encoder(Protocol):
    """``name`` for people; ``sha256`` of all files that decide the features; ``resizer`` says how pictures are made to fit."""

    name: str
    sha256: str
    resizer: str
    reads_text: bool

    def pictures(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]`` of RGB pictures of any size."""

    def texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]`` in the pictures' space; only where ``reads_text``."""


class BuiltIn:
    """Coarse colours and edge directions (``features.py``): tells drawings apart, sees copies, understands nothing."""

    name = BUILT_IN
    # Identifies version 1 of the algorithm. It is the hash of the source of features.py in release 0.1.0, so
    # evaluations made by that release stay comparable. Change it whenever the features' values change.
    sha256 = "7b7ab52c5af4258216aaf658fbaafe19d67335009d453a4e693a54a7fb3d39a8"
    resizer = "pillow box 64, stretched"
    reads_text = False

    def pictures(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        return features([np.asarray(i.convert("RGB")) for i in images])  # type: ignore[arg-type]

    def texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        raise NotImplementedError


def hash_of(files: Sequence[Path]) -> str:
    """One SHA-256 over names and contents, in the order of names."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        digest.update(f"{file.name}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def checked(array: Any, rows: int, path: Path) -> np.ndarray[Any, Any]:
    """Features as float32 ``[rows, d]``; what has more axes of one is flattened.

    Raises:
        BadEncoder: another shape, or no numbers.
    """
    found = np.asarray(array, np.float32)
    if found.ndim == 3 and found.shape[0] == rows:  # a token a place: the first stands for the picture
        found = found[:, 0]
    elif found.ndim == 4 and found.shape[0] == rows:  # a map: its mean
        found = found.mean((2, 3))
    if found.ndim != 2 or found.shape[0] != rows or found.shape[1] < 2:
        raise BadEncoder(
            path=path,
            why=Phrase(
                "it gave numbers of shape {found} for {rows} image(s) or text(s), not one row each",
                found=str(list(np.shape(array))),
                rows=rows,
            ),
        )
    if not np.isfinite(found).all():
        raise BadEncoder(path=path, why=Phrase("it gave values that are not numbers"))
    return found
