"""The features of true renders in one small file, so that concept accuracy needs neither packages nor an encoder.

``python -m trainer.mini.suite`` writes it from the pinned packages, together with the suite.

It is a safetensors file: ``codes`` are LZMA-compressed int8 ``[concepts * styles, d]``, features minus ``mean`` in steps
of ``STEP``, in column order; its header has the concepts' names and a hash of the vocabulary of their model.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from engine.contract.errors import BrokenWeights, Phrase
from trainer.evaluation.features import features

FILE = "concepts.safetensors"
STEP = 0.007  # coarser steps change top-1 by more than the allowed half point
_MOST = 64 << 20  # unpacked size in bytes


class Thing(Protocol):
    """A concept that a model was trained on: the indices of the styles that have a render of it, and its names."""

    @property
    def styles(self) -> tuple[int, ...]: ...

    def names(self, lang: str) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Thing)


@dataclass(frozen=True, eq=False)
class ConceptTable:
    """``known``: float32 ``[concepts, styles, d]``; ``names``: language -> names of each, the most common first."""

    known: np.ndarray[Any, Any]
    names: dict[str, list[list[str]]]
    vocabulary: str
    sha256: str

    def rank(
        self, images: np.ndarray[Any, Any] | list[np.ndarray[Any, Any]], things: list[int]
    ) -> np.ndarray[Any, Any]:
        """For image i, the rank (0 is nearest) of concept ``things[i]``; a concept is as near as its nearest style.

        ``images``: uint8 RGB ``[n, h, w, 3]``, or a list of arrays ``[h, w, 3]``.
        """
        rows = features(images)
        flat = self.known.reshape(-1, self.known.shape[-1])
        far = (rows**2).sum(1)[:, None] + (flat**2).sum(1)[None] - 2.0 * (rows @ flat.T)
        far = far.reshape(len(rows), *self.known.shape[:2]).min(-1)
        ranks: np.ndarray[Any, Any] = (far < far[np.arange(len(rows)), things][:, None]).sum(1)
        return ranks

    def thing(self, prompt: str) -> int | None:
        """The concept that is all the prompt names, or None."""
        return self._table.get(_fold(prompt))

    @cached_property
    def _table(self) -> dict[str, int]:
        return {_fold(n): i for rows in reversed(self.names.values()) for i, names in enumerate(rows) for n in names}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def vocabulary_hash(root: Path) -> str | None:
    """SHA-256 of the content of the model's ``vocabulary.json``, independent of whitespace; None without one."""
    try:
        if (root / "vocabulary.json").stat().st_size > 8_000_000:
            return None
        data = json.loads((root / "vocabulary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return hashlib.sha256(
        json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")
    ).hexdigest()


def concept_table_of(root: Path) -> ConceptTable | None:
    """The concept table in a model's folder, if it belongs to the vocabulary there.

    Raises:
        BrokenWeights: the file is damaged.
    """
    if not (root / FILE).is_file():
        return None
    table = _load(root / FILE, (root / FILE).stat().st_mtime_ns)
    return table if table.vocabulary == vocabulary_hash(root) else None


@lru_cache(maxsize=2)
def _load(path: Path, _changed: int) -> ConceptTable:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["concepts"])
            codes, mean = file.get_tensor("codes"), file.get_tensor("mean").astype(np.float32)
        shape = tuple(int(n) for n in header["shape"])
        size = int(np.prod(shape))
        if (
            not 0 < size <= _MOST
            or len(shape) != 3
            or mean.shape != shape[2:]
            or any(len(rows) != shape[0] for rows in header["names"].values())
        ):
            raise ValueError("invalid shape")
        raw = lzma.LZMADecompressor(memlimit=256 << 20).decompress(codes.tobytes(), size + 1)
        if len(raw) != size:
            raise ValueError("wrong number of codes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, lzma.LZMAError) as e:
        raise BrokenWeights(path=path, why=Phrase("it is damaged or cut off")) from e
    known = (
        np.frombuffer(raw, np.int8).reshape(shape[2], shape[0] * shape[1]).T.astype(np.float32)
        * np.float32(header["step"])
        + mean
    )
    names = {k: [[str(n) for n in row] for row in rows] for k, rows in header["names"].items()}
    return ConceptTable(
        known.reshape(shape), names, str(header["vocabulary"]), hashlib.sha256(path.read_bytes()).hexdigest()
    )


def write(path: Path, renders: np.ndarray[Any, Any], names: dict[str, list[list[str]]], vocabulary: str) -> int:
    """Write the file from uint8 RGB ``[concepts, styles, h, w, 3]``; returns its size. It is deterministic."""
    from safetensors.numpy import save

    from engine.contract.files import replacing

    known = features(renders.reshape(-1, *renders.shape[2:]))
    mean = known.mean(0).astype(np.float16)
    codes = np.rint((known - mean.astype(np.float32)) / STEP)
    if np.abs(codes).max() > 127:
        raise ValueError("the steps are too fine for eight bits")
    packed = lzma.compress(np.ascontiguousarray(codes.astype(np.int8).T).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    header = {"shape": [*renders.shape[:2], known.shape[1]], "step": STEP, "names": names, "vocabulary": vocabulary}
    data = save(
        {"codes": np.frombuffer(packed, np.uint8), "mean": mean}, {"concepts": json.dumps(header, ensure_ascii=False)}
    )
    with replacing(path) as f:
        f.write(data)
    return len(data)


def write_concept_table(
    path: Path, taught: Sequence[T], render: Callable[[T, int], np.ndarray[Any, Any]], vocabulary: str
) -> int:
    """Write the file of these concepts; a style without a render of a concept gets one of another style."""
    renders = np.stack(
        [
            [render(t, s if s in t.styles else t.styles[0]) for s in range(max(max(t.styles) for t in taught) + 1)]
            for t in taught
        ]
    )
    return write(path, renders, {lang: [list(t.names(lang)) for t in taught] for lang in ("ja", "en")}, vocabulary)
