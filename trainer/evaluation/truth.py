"""The true renders' features in one small file, so that concept accuracy needs neither packages nor an encoder.

``python -m trainer.mini.suite`` makes it from the pinned packages, together with the suite.

The file is a safetensors file: ``codes`` are LZMA-compressed int8 ``[things * styles, d]``, features less ``mean`` in steps of
``STEP``, column after column; its header holds the things' names and a hash of the vocabulary of the model they belong to.
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
STEP = 0.007  # coarser steps move top-1 by more than the half point that is allowed
_MOST = 64 << 20  # bytes unpacked


class Thing(Protocol):
    """Something a model was taught to draw: the indices of the styles that have a render of it, and its names."""

    @property
    def styles(self) -> tuple[int, ...]: ...

    def names(self, lang: str) -> tuple[str, ...]: ...


T = TypeVar("T", bound=Thing)


@dataclass(frozen=True, eq=False)
class ConceptTable:
    """``known``: float32 ``[things, styles, d]``; ``names``: language -> names of each thing, the most usual first."""

    known: np.ndarray[Any, Any]
    names: dict[str, list[list[str]]]
    vocabulary: str
    sha256: str

    def rank(
        self, pictures: np.ndarray[Any, Any] | list[np.ndarray[Any, Any]], things: list[int]
    ) -> np.ndarray[Any, Any]:
        """For picture i, the place (0 is nearest) of thing ``things[i]`` among all; a thing is as near as its nearest style.

        ``pictures``: uint8 RGB ``[n, h, w, 3]``, or a list of such.
        """
        found = features(pictures)  # type: ignore[arg-type]
        flat = self.known.reshape(-1, self.known.shape[-1])
        far = (found**2).sum(1)[:, None] + (flat**2).sum(1)[None] - 2.0 * (found @ flat.T)
        far = far.reshape(len(found), *self.known.shape[:2]).min(-1)
        return (far < far[np.arange(len(found)), things][:, None]).sum(1)

    def thing(self, prompt: str) -> int | None:
        """Which thing the prompt names and nothing else, or None."""
        return self._table.get(_fold(prompt))

    @cached_property
    def _table(self) -> dict[str, int]:
        return {_fold(n): i for rows in reversed(self.names.values()) for i, names in enumerate(rows) for n in names}


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def vocabulary_hash(root: Path) -> str | None:
    """SHA-256 of what ``vocabulary.json`` in the model's folder says, however it is spaced; None without one."""
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
    """What stands in a model's folder, if it belongs to the vocabulary there.

    Raises:
        BrokenWeights: there is a file, but it is damaged.
    """
    if not (root / FILE).is_file():
        return None
    found = _load(root / FILE, (root / FILE).stat().st_mtime_ns)
    return found if found.vocabulary == vocabulary_hash(root) else None


@lru_cache(maxsize=2)
def _load(path: Path, _changed: int) -> ConceptTable:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["concepts"])
            codes, mean = file.get_tensor("codes"), file.get_tensor("mean").astype(np.float32)
        shape = tuple(int(n) for n in told["shape"])
        size = int(np.prod(shape))
        if (
            not 0 < size <= _MOST
            or len(shape) != 3
            or mean.shape != shape[2:]
            or any(len(rows) != shape[0] for rows in told["names"].values())
        ):
            raise ValueError("its shape makes no sense")
        raw = lzma.LZMADecompressor(memlimit=256 << 20).decompress(codes.tobytes(), size + 1)
        if len(raw) != size:
            raise ValueError("its codes are not as many as they should be")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, lzma.LZMAError) as e:
        raise BrokenWeights(path=path, why=Phrase("it is damaged or cut off")) from e
    known = (
        np.frombuffer(raw, np.int8).reshape(shape[2], shape[0] * shape[1]).T.astype(np.float32)
        * np.float32(told["step"])
        + mean
    )
    names = {k: [[str(n) for n in row] for row in rows] for k, rows in told["names"].items()}
    return ConceptTable(
        known.reshape(shape), names, str(told["vocabulary"]), hashlib.sha256(path.read_bytes()).hexdigest()
    )


def write(path: Path, renders: np.ndarray[Any, Any], names: dict[str, list[list[str]]], vocabulary: str) -> int:
    """Make the file from uint8 RGB ``[things, styles, h, w, 3]``; returns its bytes. Same renders, same file."""
    from safetensors.numpy import save

    from engine.contract.files import replacing

    known = features(renders.reshape(-1, *renders.shape[2:]))
    mean = known.mean(0).astype(np.float16)
    codes = np.rint((known - mean.astype(np.float32)) / STEP)
    if np.abs(codes).max() > 127:
        raise ValueError("the steps are too fine for eight bits")
    packed = lzma.compress(np.ascontiguousarray(codes.astype(np.int8).T).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    told = {"shape": [*renders.shape[:2], known.shape[1]], "step": STEP, "names": names, "vocabulary": vocabulary}
    data = save(
        {"codes": np.frombuffer(packed, np.uint8), "mean": mean}, {"concepts": json.dumps(told, ensure_ascii=False)}
    )
    with replacing(path) as f:
        f.write(data)
    return len(data)


def write_concept_table(
    path: Path, taught: Sequence[T], render: Callable[[T, int], np.ndarray[Any, Any]], vocabulary: str
) -> int:
    """The file of these things; a thing that a style lacks stands there in one that it has, and is then as near as that one."""
    renders = np.stack(
        [
            [render(t, s if s in t.styles else t.styles[0]) for s in range(max(max(t.styles) for t in taught) + 1)]
            for t in taught
        ]
    )
    return write(path, renders, {lang: [list(t.names(lang)) for t in taught] for lang in ("ja", "en")}, vocabulary)
