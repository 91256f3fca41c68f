"""What version 0.1.0 left on a disk: ``home.zip`` and ``pixels.zip``, made by ``make.py``, which says how."""

from __future__ import annotations

import io
import json
import platform
import re
import sqlite3
import sys
import zipfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROUNDING = 60.0  # dB of two images that differ by rounding only: at most every fifteenth byte is another by one
HERE = Path(__file__).resolve().parent
HOME, PIXELS, REQUESTS = HERE / "home.zip", HERE / "pixels.zip", HERE / "pixels.jsonl"
BASE = "/home/user/commonart"  # where the files lay when they were made
TEXTS = (".toml", ".json", ".jsonl", ".ini", ".md")


def unpack(folder: Path) -> Path:
    """The user's folder as version 0.1.0 left it, with its path written where the old one stood.

    Returns the data folder in it.
    """
    with zipfile.ZipFile(HOME) as archive:
        archive.extractall(folder)
    place = folder.as_posix()
    for file in folder.rglob("*"):
        if file.suffix in TEXTS and file.is_file():
            data = file.read_bytes()
            if BASE.encode() in data:
                file.write_bytes(data.replace(BASE.encode(), place.encode()))
    for name, columns in (
        ("queue.db", {"images": ("request", "path", "pending", "error")}),
        ("gallery.db", {"pictures": ("path", "folder")}),
    ):
        _move(folder / "data" / name, columns, place)
    return folder / "data"


def _move(database: Path, tables: dict[str, tuple[str, ...]], place: str) -> None:
    if database.exists():
        with closing(sqlite3.connect(database)) as db, db:
            for table, columns in tables.items():
                for column in columns:
                    db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (BASE, place))


def machine() -> dict[str, Any]:
    """What decides how floating-point numbers are rounded: the processor and the libraries that compute on it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        lines = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in text.splitlines())
    except (OSError, ValueError):
        lines = {}
    return {
        "cpu": lines.get("model name", platform.processor()),
        "flags": " ".join(sorted(lines.get("flags", "").split())),
        "libraries": {
            name: version(name)
            for name in ("torch", "numpy", "onnxruntime" if sys.platform == "darwin" else "onnxruntime-gpu")
        },
    }


def recorded() -> dict[str, Any]:
    """``pixel_sha256`` by backend and case, and the ``machine`` on which version 0.1.0 drew them."""
    with zipfile.ZipFile(PIXELS) as archive:
        return dict(json.loads(archive.read("pixels.json")))


def reference(group: str, case: str) -> bytes:
    """The image of this case as version 0.1.0 drew it: a WebP file without loss."""
    with zipfile.ZipFile(PIXELS) as archive:
        return archive.read(f"{group}/{case}.webp")


def same_machine() -> bool:
    """Whether every pixel must be as version 0.1.0 drew it; elsewhere it may differ by rounding."""
    return bool(machine() == recorded()["machine"])


def psnr(one: Path | bytes, other: Path | bytes) -> float:
    """Peak signal-to-noise ratio of two image files of one size in dB; infinite where every pixel is the same."""
    import numpy as np
    from PIL import Image

    arrays = []
    for source in (one, other):
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            arrays.append(np.asarray(image.convert("RGB"), dtype=np.float64))
    error = float(np.mean((arrays[0] - arrays[1]) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def holds(now: Any, before: Any) -> bool:
    """Whether JSON has all that it had before: what was added to an object since is passed over."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(k in now and holds(now[k], v) for k, v in before.items())
    if isinstance(before, list):
        return isinstance(now, list) and len(now) == len(before) and all(map(holds, now, before))
    return bool(now == before)
