"""A writer of safetensors files that is deterministic, streams tensor by tensor and hashes while it writes.

The library's own writer stores the header's metadata in a hash map, whose order changes from process to process.
Format: https://huggingface.co/docs/safetensors (8 bytes of length, a JSON table, the data without holes).
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from engine.contract.fault_injection import fault_point

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Size of the tensors' data in bytes."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write and sync the file; returns its SHA-256. Tensors may be on any device. Raises OSError."""
    table: dict[str, object] = {"__metadata__": dict(sorted((metadata or {}).items()))} if metadata else {}
    names = sorted(
        tensors, key=lambda n: (-tensors[n].element_size(), n)
    )  # the widest dtypes first, so that all are aligned
    end = 0
    for name in names:
        t = tensors[name]
        size = t.numel() * t.element_size()
        table[name] = {"dtype": _NAMES[t.dtype], "shape": list(t.shape), "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    head += b" " * (-len(head) % 8)
    digest = hashlib.sha256()
    with fault_point("write"), path.open("wb") as f:

        def put(data: bytes | memoryview) -> None:
            digest.update(data)
            f.write(data)

        put(struct.pack("<Q", len(head)))
        put(head)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            put(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
        f.flush()
        with fault_point("fsync"):
            os.fsync(f.fileno())
    return digest.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU. Raises OSError, SafetensorError."""
    from safetensors.torch import load_file

    return dict(load_file(path))
