"""Where features of captions lie on disk: one file a caption, by the encoder's hash, its dtype and the text. No library is needed to find them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from engine.system.paths import home

MAKING = 2  # raised when features come to be rounded in another way: one data folder must not mix them, or equal requests differ by a bit


def base() -> Path:
    """The folder of all of them."""
    return home() / "cache" / "text"


def part_of(encoder_sha256: str, dtype: str) -> Path:
    """One encoder's, below ``base``; ``dtype`` as the store of its backend names it."""
    return Path(f"{encoder_sha256[:16]}-{MAKING}") / dtype


def file_of(folder: Path, text: str) -> Path:
    """The file of one caption."""
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return folder / key[:2] / f"{key}.safetensors"
