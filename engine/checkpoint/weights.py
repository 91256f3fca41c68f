"""safetensors files as data: headers, validity, hashes. Nothing here loads a model."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoint.file_kinds import PICKLES, wrong_kind
from engine.contract.errors import BrokenWeights, CommonArtError, NeedsConversion, Phrase, system_words
from engine.contract.files import replacing
from engine.contract.paths import home

WIDTH = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}
_F8 = {"F8_E4M3": (0x78, 7), "F8_E5M2": (0x7C, 0)}  # from these bits on, without the sign, not a number or infinite


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a file: its dtype as safetensors names it, shape, and byte range after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_header(path: Path) -> dict[str, TensorEntry]:
    """The table of one safetensors file, checked against the file's true length.

    Raises:
        NotSafetensors: a Git LFS pointer, a web page, a pickle or another kind of file.
        BrokenWeights: truncated, or a table that contradicts itself.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as f:
            head = f.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(size - 8, 100_000_000):
                raise wrong_kind(path)
            table = json.loads(f.read(length).decode("utf-8"))
        entries = {
            k: TensorEntry(v["dtype"], tuple(v["shape"]), *v["data_offsets"])
            for k, v in table.items()
            if k != "__metadata__"
        }
        if not all(
            isinstance(e.dtype, str) and all(type(n) is int and n >= 0 for n in (*e.shape, e.start, e.stop))
            for e in entries.values()
        ):
            raise ValueError
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise BrokenWeights(path=path, why=Phrase("its table cannot be read")) from e
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        # tensors are stored one after the other, without gaps, as safetensors requires
        size_fits = entry.stop - entry.start == math.prod(entry.shape) * WIDTH.get(entry.dtype, 0)
        if entry.dtype not in WIDTH or not size_fits or entry.start != end:
            raise BrokenWeights(path=path, why=Phrase("the entry {name} contradicts itself", name=name))
        end = entry.stop
    if 8 + length + end != size:
        raise BrokenWeights(
            path=path, why=Phrase("it should be {want} bytes long and is {found}", want=8 + length + end, found=size)
        )
    return entries


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one part, sharded or not; full precision before variants such as ``.fp16``.

    Raises:
        NeedsConversion: the part is there only as pickles.
        BrokenWeights: no weights, or a shard is missing.
    """
    for stem in ("diffusion_pytorch_model", "model"):
        for variant in ("", ".fp16", ".bf16"):
            single = folder / f"{stem}{variant}.safetensors"
            if single.is_file():
                return [single]
            index = folder / f"{stem}.safetensors.index{variant}.json"
            if index.is_file():
                try:
                    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
                    # the files that are checked here must be those that are loaded later: plain names, and never a
                    # pickle
                    if not names or any(
                        Path(n).name != n or "\\" in n or not n.endswith(".safetensors") for n in names
                    ):
                        raise ValueError
                    files = [folder / n for n in names]
                except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as e:
                    raise BrokenWeights(path=index, why=Phrase("its table cannot be read")) from e
                for file in files:
                    if not file.is_file():
                        raise BrokenWeights(path=file, why=Phrase("this shard is missing"))
                return files
    pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES)
    if pickles:
        raise NeedsConversion(path=folder, names=", ".join(pickles[:3]) + ("…" if len(pickles) > 3 else ""))
    raise BrokenWeights(path=folder, why=Phrase("it holds no safetensors weights"))


def _finite(values: np.ndarray[Any, Any], dtype: str) -> bool:
    if dtype == "BF16":
        return not bool(((values.view(np.uint16) & 0x7F80) == 0x7F80).any())
    if dtype in _F8:
        exponent, mantissa = _F8[dtype]
        bits = values.view(np.uint8) & 0x7F
        return not bool((bits >= exponent + mantissa).any())
    kind = {"F64": np.float64, "F32": np.float32, "F16": np.float16}.get(dtype)
    return kind is None or bool(np.isfinite(values.view(kind)).all())


def check_finite(path: Path) -> None:
    """Read every value of a file once.

    Raises:
        BrokenWeights: a tensor holds infinities or not-a-numbers; the text names it.
    """
    entries = read_header(path)
    with path.open("rb") as f:
        base = 8 + struct.unpack("<Q", f.read(8))[0]
    raw = np.memmap(path, np.uint8, "r")
    for name, e in entries.items():
        if e.stop > e.start and not _finite(np.array(raw[base + e.start : base + e.stop]), e.dtype):
            raise BrokenWeights(path=path, why=Phrase("the tensor {name} holds infinities or not-a-numbers", name=name))


def read_scalar(path: Path, entry: TensorEntry) -> float | None:
    """The one number of a tensor; None if it has more, or is of a type in which no factor is written.

    Raises:
        OSError
    """
    if math.prod(entry.shape) != 1:
        return None
    with path.open("rb") as f:
        f.seek(8 + struct.unpack("<Q", f.read(8))[0] + entry.start)
        data = f.read(entry.stop - entry.start)
    if entry.dtype == "BF16":
        return float(np.frombuffer(b"\0\0" + data, "<f4")[0])
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
    return float(np.frombuffer(data, kind[entry.dtype])[0]) if entry.dtype in kind else None


def sha256_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file's bytes; ``progress`` gets the bytes of each step."""
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while chunk := f.read(8 << 20):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


def remembered_hash(
    path: Path, progress: Callable[[int], None] | None = None, check: Callable[[Path], None] = check_finite
) -> str:
    """SHA-256 of a weights file that passes ``check``, cached until the file changes.

    Raises:
        BrokenWeights: see ``read_header`` and ``check_finite``.
    """
    resolved = path.resolve()
    stat = resolved.stat()
    stamp = {"path": str(resolved), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    note = home() / "cache" / "hashes" / f"{hashlib.sha256(str(resolved).encode()).hexdigest()[:32]}.json"
    try:
        stored = json.loads(note.read_text(encoding="utf-8"))
        if {k: stored.get(k) for k in stamp} == stamp:
            return str(stored["sha256"])
    except (OSError, ValueError, AttributeError, KeyError):
        pass  # no cached hash or a broken one: compute it
    check(path)
    digest = sha256_file(path, progress)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note, durable=False) as f:
            f.write(json.dumps(stamp | {"sha256": digest}).encode("utf-8"))
    except (OSError, CommonArtError):
        pass  # a home that cannot be written costs only time
    return digest


def part_sha256(folder: Path, progress: Callable[[int], None] | None = None) -> str:
    """One hash for a part: the file's own if it is one file, else that of the list of its shards' names and hashes."""
    files = weight_files(folder)
    hashes = [remembered_hash(f, progress) for f in files]
    if len(files) == 1:
        return hashes[0]
    listing = "".join(f"{f.name} {h}\n" for f, h in zip(files, hashes, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()
