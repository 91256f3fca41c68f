"""Features of captions on disk, so that none is encoded twice: one file per caption, by the encoder's hash, its dtype
and the text.

The files are safetensors, read and written here without that library: it need not be installed where exported models
run. They are replaced atomically, so several processes may share a folder; an unreadable file counts as absent.
"""

from __future__ import annotations

import abc
import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.contract.errors import CommonArtError
from engine.contract.files import replacing
from engine.contract.paths import home

#: raised when features come to be rounded in another way: one data folder must not mix them, or equal requests would
#: differ by a bit
ROUNDING_VERSION = 2

F = TypeVar("F")


def base() -> Path:
    """The folder of all features."""
    return home() / "cache" / "text"


def part_of(encoder_sha256: str, dtype: str) -> Path:
    """One encoder's folder, below ``base``; ``dtype`` as the store of its backend names it."""
    return Path(f"{encoder_sha256[:16]}-{ROUNDING_VERSION}") / dtype


def file_of(folder: Path, text: str) -> Path:
    """The file of one caption."""
    key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return folder / key[:2] / f"{key}.safetensors"


class CaptionCache:
    """The files of one encoder in one dtype, as bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, text: str) -> bool:
        """Whether there is a file for this caption; it may be damaged."""
        return file_of(self.folder, text).exists()

    def read(self, text: str) -> bytes | None:
        """The file of one caption, or None."""
        try:
            return file_of(self.folder, text).read_bytes()
        except OSError:
            return None

    def write(self, text: str, data: bytes) -> None:
        """Store one file; a disk that refuses it costs only the time to encode the caption again."""
        file = file_of(self.folder, text)
        with contextlib.suppress(OSError, CommonArtError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file, durable=False) as f:
                f.write(data)


@dataclass(frozen=True)
class PackedStates:
    """Hidden states of one caption without an array library.

    Attributes:
        dtype: as safetensors names it: "F32", "F16" or "BF16".
        shape: ``(tokens, channels)``.
        data: little-endian, in row order.
        cut: whether the caption was longer than the model reads.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    cut: bool


_WIDTH = {"F32": 4, "F16": 2, "BF16": 2}  # bytes


def pack(states: PackedStates) -> bytes:
    """A safetensors file with the tensor ``states`` and the metadata ``cut``, byte for byte as the safetensors library
    writes it.
    """
    table = {
        "__metadata__": {"cut": str(int(states.cut))},
        "states": {"dtype": states.dtype, "shape": list(states.shape), "data_offsets": [0, len(states.data)]},
    }
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + states.data


def unpack(data: bytes) -> PackedStates:
    """The inverse of ``pack``.

    Raises:
        ValueError, TypeError, LookupError, AttributeError, RecursionError: the file is damaged.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:start])
    entry = table["states"]
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if begin != 0 or start + end != len(data) or len(shape) != 2 or end != _WIDTH[dtype] * math.prod(shape):
        raise ValueError("truncated, or not a caption's features")
    return PackedStates(dtype, shape, data[start:], table.get("__metadata__", {}).get("cut") == "1")


class FeatureStore(abc.ABC, Generic[F]):
    """Features of one encoder in one dtype; a backend's subclass converts them to its own arrays."""

    def __init__(self, encoder_sha256: str, dtype: str, folder: Path | None = None) -> None:
        """``folder`` replaces ``base``."""
        self._files = CaptionCache((folder or base()) / part_of(encoder_sha256, dtype))

    @abc.abstractmethod
    def to_states(self, feature: F) -> PackedStates:
        """The feature as bytes."""

    @abc.abstractmethod
    def to_feature(self, states: PackedStates) -> F:
        """The inverse of ``to_states``. Raises ValueError, LookupError: another dtype or shape than a feature has."""

    def file(self, text: str) -> Path:
        """Where the feature of this caption is, or would be."""
        return file_of(self._files.folder, text)

    def has(self, text: str) -> bool:
        """Whether a feature of this caption is stored; its file may be damaged."""
        return self._files.has(text)

    def get(self, text: str) -> F | None:
        """None if it is absent or cannot be read."""
        data = self._files.read(text)
        if data is None:
            return None
        try:
            return self.to_feature(unpack(data))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None

    def put(self, text: str, feature: F) -> None:
        """Store one; a disk that refuses it costs only the time to encode the caption again."""
        self._files.write(text, pack(self.to_states(feature)))

    def get_many(self, texts: Sequence[str]) -> dict[str, F]:
        """The stored ones of ``texts``."""
        stored: dict[str, Any] = {t: self.get(t) for t in dict.fromkeys(texts)}
        return {t: f for t, f in stored.items() if f is not None}
