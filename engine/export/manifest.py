"""``commonart_export.json``: the origin of an exported folder, and the SHA-256 of every file.

``engine.checkpoint.onnxfile.check_promised`` compares them whenever the folder is used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.checkpoint.onnxfile import MANIFEST
from engine.checkpoint.weights import sha256_file

VERSION = 1


def write_manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Hash every file and write the manifest; returns it. Hidden files are temporary and left out."""
    paths = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    files = {
        p.as_posix(): sha256_file(folder / p)
        for p in paths
        if p.name != MANIFEST and not any(part.startswith(".") for part in p.parts)
    }
    manifest = {"version": VERSION} | about | {"files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    return manifest
