"""``commonart_export.json``: what an exported folder is made of, and the SHA-256 of every file, so that edits are noticed. No torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import read_config
from engine.checkpoint.weights import sha256_file
from engine.contract.errors import ExportAltered, Phrase

NAME = "commonart_export.json"
VERSION = 1


def files_of(folder: Path) -> list[Path]:
    """Every file of an export but the manifest itself, in a fixed order."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != NAME and not p.name.startswith("."))


def write_manifest(folder: Path, about: dict[str, Any], progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Hash every file and write the manifest; returns it."""
    files = {p.relative_to(folder).as_posix(): sha256_file(p, progress) for p in files_of(folder)}
    manifest = {"version": VERSION} | about | {"files": files}
    (folder / NAME).write_text(json.dumps(manifest, ensure_ascii=False, indent=1), encoding="utf-8")
    return manifest


def verify_export(folder: Path, only: str | None = None) -> dict[str, Any]:
    """The manifest of an exported folder whose files are as they were written; ``only`` one of them, such as ``transformer/model.onnx``.

    Raises:
        BrokenWeights: the manifest cannot be read. ExportAltered: a file is gone or was changed; it is named.
    """
    manifest = read_config(folder / NAME)
    files = manifest.get("files")
    if manifest.get("version") != VERSION or not isinstance(files, dict):
        raise ExportAltered(path=folder / NAME, why=Phrase("its list of files cannot be read"))
    for name, digest in files.items():
        if only is not None and name != only:
            continue
        file = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not file.is_file():
            raise ExportAltered(path=file, why=Phrase("it is missing"))
        if sha256_file(file) != digest:
            raise ExportAltered(path=file, why=Phrase("its SHA-256 is another"))
    return manifest
