"""From an image to what it was generated with: LoRAs, the reports of their licence checks, and the licences, as far as
files are available.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.checkpoint.lora_header import told_by
from engine.checkpoint.lora_library import lora_folder
from engine.checkpoint.weights import sha256_file
from engine.contract.errors import CommonArtError

GATE_REPORT, ATTRIBUTION = "gate-report.json", "ATTRIBUTION.md"
_REPORT_LIMIT = 64 << 20  # bytes
_TOLD = (
    "base_model",
    "base_model_sha256",
    "dataset_sha256",
    "gate_report_sha256",
    "config_sha256",
    "licences",
    "licence",
)


class ReportIndex:
    """LoRA files by SHA-256, found in the LoRA folder and others. Each file is hashed once, likely names first."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = [lora_folder(), *folders]
        self._known: dict[Path, str] = {}

    def find(self, sha256: str, name: str) -> Path | None:
        """The file with this hash. ``name`` only says where to look first: it comes out of an image."""
        files = list(self._files())
        for file in sorted(files, key=lambda f: f.stem != name):
            if self._hash(file) == sha256:
                return file
        return None

    def _files(self) -> Iterator[Path]:
        seen: set[Path] = set()
        for folder in self._folders:
            for file in (
                sorted(folder.rglob("*.safetensors"))
                if folder.is_dir()
                else [folder]
                if folder.suffix == ".safetensors"
                else []
            ):
                if file not in seen and file.is_file():
                    seen.add(file)
                    yield file

    def _hash(self, file: Path) -> str:
        if file not in self._known:
            try:
                self._known[file] = sha256_file(file)
            except OSError:
                self._known[file] = ""  # it cannot be read, so it is not the one
        return self._known[file]


def follow(recipe: dict[str, Any], shelf: ReportIndex) -> list[dict[str, Any]]:
    """One link a LoRA of the image.

    ``file`` is None if it is not available. ``told`` is what the file itself says (else the recipe), ``gate`` the state
    of the gate report next to it: ``fits``, ``differs`` (its hash is another than the LoRA says), ``missing``, or
    ``none`` (the LoRA names none). ``agrees`` is false if the recipe says other things of the file than its own header.
    """
    found = []
    for one in (recipe.get("loras") or [])[:16]:
        if not isinstance(one, dict):
            continue
        name, digest = str(one.get("name", "?")), str(one.get("sha256", ""))
        file = shelf.find(digest, name) if digest else None
        told = {k: one[k] for k in _TOLD if k in one}
        agrees = True
        if file is not None:
            header = _header(file)
            agrees = all(header.get(k, told[k]) == told[k] for k in told)
            told |= header
        link: dict[str, Any] = {
            "name": name,
            "sha256": digest,
            "scale": one.get("scale"),
            "file": str(file) if file else None,
            "told": told,
            "agrees": agrees,
            "gate": "none",
            "gate_summary": {},
            "attribution": None,
        }
        _beside(link, file, str(told.get("gate_report_sha256") or ""))
        found.append(link)
    return found


def _header(file: Path) -> dict[str, Any]:
    try:
        told = told_by(file)
    except CommonArtError:
        return {}
    return {k: told[k] for k in _TOLD if k in told}


def _beside(link: dict[str, Any], file: Path | None, expected: str) -> None:
    """Check the gate report and attribution next to the LoRA."""
    if not expected:
        return
    link["gate"] = "missing"
    if file is None:
        return
    attribution = file.with_name(ATTRIBUTION)
    link["attribution"] = str(attribution) if attribution.is_file() else None
    try:
        report = file.with_name(GATE_REPORT)
        if report.stat().st_size > _REPORT_LIMIT:
            return
        data = report.read_bytes()
    except OSError:
        return
    link["gate"] = "fits" if hashlib.sha256(data).hexdigest() == expected else "differs"
    try:
        summary = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(summary, dict):
        link["gate_summary"] = {
            k: v for k, v in summary.items() if isinstance(v, (str, int, float, bool)) or k == "licences"
        }
