"""ONNX files as data: tensors, files beside them, damage, hashes. Nothing here runs a model or needs the onnx library.

Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

import hashlib
import math
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoint.weights import TensorEntry, remembered_hash, sha256_file
from engine.contract.errors import BrokenWeights, ExportAltered, Phrase, system_words

GRAPH = "model.onnx"
MANIFEST = "commonart_export.json"
_PARTS = ("transformer", "text_encoder", "vae_decoder", "vae_encoder", "tokenizer", "scheduler")
_DEPTH = 32  # graphs within graphs
#: TensorProto.DataType -> (safetensors' name, bytes)
KINDS = {
    1: ("F32", 4),
    2: ("U8", 1),
    3: ("I8", 1),
    4: ("U16", 2),
    5: ("I16", 2),
    6: ("I32", 4),
    7: ("I64", 8),
    9: ("BOOL", 1),
    10: ("F16", 2),
    11: ("F64", 8),
    12: ("U32", 4),
    13: ("U64", 8),
    16: ("BF16", 2),
}


@dataclass(frozen=True)
class Stored:
    """One tensor: its dtype and where its bytes are (in the graph's file if ``location`` is empty)."""

    name: str
    kind: int
    shape: tuple[int, ...]
    location: str
    start: int
    stop: int


def _fields(data: memoryview, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, start, stop) of a message; for numbers ``start`` is the value. Raises ValueError."""
    at = start

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= stop or shift > 63:
                raise ValueError
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < stop:
        key = varint()
        field, wire = key >> 3, key & 7
        if wire == 0:
            yield field, wire, varint(), 0
            continue
        length = varint() if wire == 2 else {1: 8, 5: 4}.get(wire, -1)
        if length < 0 or at + length > stop:
            raise ValueError
        yield field, wire, at, at + length
        at += length


def _tensor(data: memoryview, start: int, stop: int) -> Stored:
    name, kind, shape, raw, outside = "", 0, [], (0, 0), {}
    for field, wire, a, b in _fields(data, start, stop):
        if field == 1:
            shape += [a] if wire == 0 else _packed(data, a, b)
        elif field == 2:
            kind = a
        elif field == 8:
            name = bytes(data[a:b]).decode("utf-8", "replace")
        elif field == 9:
            raw = a, b
        elif field == 13:
            pair = {f: bytes(data[x:y]).decode("utf-8", "replace") for f, _, x, y in _fields(data, a, b)}
            outside[pair.get(1, "")] = pair.get(2, "")
    if outside:
        begin = int(outside.get("offset", "0"))
        size = math.prod(shape) * KINDS.get(kind, ("", 0))[1]
        return Stored(
            name, kind, tuple(shape), outside.get("location", "?"), begin, begin + int(outside.get("length", size))
        )
    return Stored(name, kind, tuple(shape), "", *raw)


def _packed(data: memoryview, start: int, stop: int) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in data[start:stop]:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
    return values


def _tensors(data: memoryview, start: int, stop: int, depth: int) -> Iterator[Stored]:
    """Of a GraphProto: initializers, and constants in the attributes of its nodes."""
    if depth > _DEPTH:
        raise ValueError
    for field, wire, a, b in _fields(data, start, stop):
        if field == 5 and wire == 2:
            yield _tensor(data, a, b)
        elif field == 1 and wire == 2:
            for inner, kind, c, d in _fields(data, a, b):
                if inner == 5 and kind == 2:
                    for leaf, sort, e, f in _fields(data, c, d):
                        if leaf == 5 and sort == 2:
                            yield _tensor(data, e, f)
                        elif leaf == 6 and sort == 2:
                            yield from _tensors(data, e, f, depth + 1)


def tensors_of(path: Path) -> list[Stored]:
    """Every tensor of an ONNX file, checked against the lengths of all files.

    Raises:
        BrokenWeights: not ONNX, a file beside it is missing or too short, or is outside the same folder.
    """
    try:
        with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            with memoryview(mapped) as data:
                graphs = [(a, b) for field, wire, a, b in _fields(data, 0, len(data)) if field == 7 and wire == 2]
                if len(graphs) != 1:
                    raise ValueError
                tensors = list(_tensors(data, *graphs[0], 0))
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, IndexError, TypeError) as e:
        raise BrokenWeights(path=path, why=Phrase("it is not an ONNX file, or it is cut off")) from e
    for location in {t.location for t in tensors} - {""}:
        if Path(location).name != location or "\\" in location or ":" in location or location in (".", ".."):
            raise BrokenWeights(path=path, why=Phrase("it points at {place}, outside its folder", place=location))
        beside = path.with_name(location)
        if not beside.is_file():
            raise BrokenWeights(path=beside, why=Phrase("there is no such file or folder"))
        wanted, size = max(t.stop for t in tensors if t.location == location), beside.stat().st_size
        if size < wanted:
            raise BrokenWeights(
                path=beside, why=Phrase("it should be {want} bytes long and is {found}", want=wanted, found=size)
            )
    return tensors


def graph_files(folder: Path) -> list[Path]:
    """The graph of a part and the files with its weights.

    Raises:
        BrokenWeights: there is none, or see ``tensors_of``.
    """
    graph = folder / GRAPH
    if not graph.is_file():
        raise BrokenWeights(path=folder, why=Phrase("it holds no {file}", file=GRAPH))
    return [graph, *(folder / location for location in sorted({t.location for t in tensors_of(graph)} - {""}))]


def graph_table(folder: Path) -> dict[str, TensorEntry]:
    """Tensors as ``weights.read_header`` gives those of safetensors.

    Scalars and shapes that a graph reckons with are left out.
    """
    return {
        t.name or f"constant {n}": TensorEntry(KINDS.get(t.kind, (str(t.kind), 0))[0], t.shape, t.start, t.stop)
        for n, t in enumerate(tensors_of(folder / GRAPH))
        if t.stop > t.start and math.prod(t.shape) > 8
    }


def check_graph(graph: Path) -> None:
    """Read every number once.

    Raises:
        BrokenWeights: a tensor holds not-a-numbers (infinities may be meant: masks).
    """
    kinds: dict[int, Any] = {1: np.float32, 10: np.float16, 11: np.float64}
    maps: dict[str, Any] = {}
    for tensor in tensors_of(graph):
        kind, size = kinds.get(tensor.kind), tensor.stop - tensor.start
        if kind is None or size <= 0 or size % np.dtype(kind).itemsize:
            continue
        if tensor.location not in maps:
            maps[tensor.location] = np.memmap(
                graph.with_name(tensor.location) if tensor.location else graph, np.uint8, "r"
            )
        if np.isnan(np.array(maps[tensor.location][tensor.start : tensor.stop]).view(kind)).any():
            raise BrokenWeights(
                path=graph, why=Phrase("the tensor {name} holds infinities or not-a-numbers", name=tensor.name)
            )


def graph_sha256(folder: Path, progress: Callable[[int], None] | None = None) -> str:
    """One hash for a part: the graph's own if it has no external data, else that of the list of names and hashes.

    Remembered.
    """
    files = graph_files(folder)
    hashes = [remembered_hash(f, progress, check_graph if f.name == GRAPH else lambda _: None) for f in files]
    if len(files) == 1:
        return hashes[0]
    listing = "".join(f"{f.name} {h}\n" for f, h in zip(files, hashes, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()


def promised(root: Path) -> dict[str, str]:
    """What the export says its files are: SHA-256 by path within ``root``; empty where it says nothing.

    Raises:
        BrokenWeights: the list cannot be read.
    """
    from engine.checkpoint.config_files import read_config

    if not (root / MANIFEST).is_file():
        return {}
    files = read_config(root / MANIFEST).get("files")
    if isinstance(files, list):
        files = {row["path"]: row for row in files if isinstance(row, dict) and isinstance(row.get("path"), str)}
    if not isinstance(files, dict):
        raise BrokenWeights(path=root / MANIFEST, why=Phrase("its table cannot be read"))
    return {str(k): str(v.get("sha256") if isinstance(v, dict) else v) for k, v in files.items()}


def check_promised(root: Path, *, remembered: bool = True) -> None:
    """Every file that images depend on is as the export left it.

    Raises:
        ExportAltered: one is missing or was changed.
    """
    for name, sha256 in promised(root).items():
        file = root / name
        if name != "model_index.json" and name.split("/")[0] not in _PARTS:
            continue  # cards, licences and reports may be written on
        if not file.resolve().is_relative_to(root.resolve()) or not file.is_file():
            raise ExportAltered(path=file, why=Phrase("it is missing"))
        actual = remembered_hash(file, None, lambda _: None) if remembered else sha256_file(file)
        if actual != sha256:
            raise ExportAltered(path=file, why=Phrase("its SHA-256 is another"))
