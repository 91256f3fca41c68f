"""The gate's report as data: the same folder and policy give the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, GateClosed, Phrase, system_words
from engine.contract.files import replacing

FILE = "gate-report.json"
FORMAT = "commonart-gate-report"
VERSION = 1


@dataclass(frozen=True, order=True)
class Finding:
    """One reason. ``severity`` is ``block`` or ``warn``; ``file`` is a file_name, or metadata.jsonl with its line."""

    file: str
    rule: str
    severity: str
    why: Phrase
    line: int = 0

    def as_data(self) -> dict[str, Any]:
        """JSON-ready: the sentence in English, and as template and fields for other languages."""
        return {
            "file": self.file,
            "rule": self.rule,
            "severity": self.severity,
            "line": self.line,
            "text": str(self.why),
            "why": {"template": self.why.template, "fields": self.why.fields},
        }


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The outcome of one check."""

    pictures: int
    manifest_sha256: str  # over every (file_name, sha256, license), sorted: what a training binds to
    records_sha256: str  # of the bytes of metadata.jsonl
    policy: dict[str, Any]
    policy_sha256: str
    licences: dict[str, int]
    classes: dict[str, int]
    creators: dict[str, int]
    captions: dict[str, int]
    total_bytes: int
    findings: tuple[Finding, ...]
    tools: dict[str, str] = field(default_factory=dict)
    path: Path | None = None  # where it was written
    sha256: str = ""  # of the written bytes

    @property
    def passed(self) -> bool:
        """Nothing blocks."""
        return not any(f.severity == "block" for f in self.findings)

    def blocking(self) -> list[Finding]:
        """What refuses."""
        return [f for f in self.findings if f.severity == "block"]

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "passed": self.passed,
            "pictures": self.pictures,
            "manifest_sha256": self.manifest_sha256,
            "records_sha256": self.records_sha256,
            "policy": self.policy,
            "policy_sha256": self.policy_sha256,
            "licences": self.licences,
            "classes": self.classes,
            "creators": self.creators,
            "captions": self.captions,
            "bytes": self.total_bytes,
            "blocking": len(self.blocking()),
            "warnings": len(self.findings) - len(self.blocking()),
            "findings": [f.as_data() for f in self.findings],
            "tools": self.tools,
        }

    def to_bytes(self) -> bytes:
        """The file's bytes: no time, no absolute path, everything in a fixed order."""
        return (json.dumps(self.as_data(), ensure_ascii=False, indent=1) + "\n").encode("utf-8")

    def demand(self, folder: Path) -> None:
        """Raises GateClosed, naming the first file, unless it passed."""
        if blocking := self.blocking():
            raise GateClosed(path=folder, count=len(blocking), file=blocking[0].file, why=blocking[0].why)


def write_report(report: GateReport, folder: Path) -> GateReport:
    """Write ``gate-report.json``; returns the report knowing its path and hash. Raises DiskFull, OutputFolder."""
    from dataclasses import replace

    data = report.to_bytes()
    with replacing(folder / FILE) as f:
        f.write(data)
    return replace(report, path=folder / FILE, sha256=hashlib.sha256(data).hexdigest())


def read_report(path: Path) -> dict[str, Any]:
    """A written report as data. Raises BadFile."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not JSON")) from e
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != VERSION:
        raise BadFile(path=path, why=Phrase("it is not a gate report of this version"))
    return data


def manifest_sha256(rows: Iterable[tuple[str, str, str]]) -> str:
    """SHA-256 over (file_name, sha256, license), sorted, one JSON array a line."""
    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n")
    return digest.hexdigest()
