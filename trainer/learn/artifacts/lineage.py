"""The provenance of a training result: base model, dataset, licence check, config and licences, by hash.

The same facts go into the header of the weights (and so into the recipe of every image), the model card and the bill
of materials. ``engine.checkpoint.lora`` reads the header.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoint.lora_header import PREFIX
from engine.contract.version import APP

GATE_REPORT, ATTRIBUTION, CONFIG, CARD, BOM = (
    "gate-report.json",
    "ATTRIBUTION.md",
    "config.json",
    "README.md",
    "bom.cdx.json",
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """One dataset that a run was trained on."""

    name: str
    manifest_sha256: str  # over every (file name, hash, licence): see trainer.dataset.licence.report
    gate_report_sha256: str
    gate_report: Path
    attribution: Path
    pictures: int
    licences: dict[str, int]  # SPDX expression -> number of images
    creators: dict[str, int]
    policy: str


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The complete provenance of a result."""

    name: str
    kind: str  # "lora", "full" or "scratch"
    base_model: str = ""  # empty for a model trained from scratch
    base_model_sha256: str = ""
    base_licence: str = ""
    sources: tuple[Source, ...] = ()
    config: str = ""  # the complete config as JSON, defaults included
    config_sha256: str = ""  # of the options that determine what is learned: trainer.config
    licence: str = ""  # of the result, an SPDX expression, as given in the config
    trigger: str = ""  # the phrase that triggers what was learned
    steps: int = 0
    samples: int = 0
    facts: dict[str, Any] = field(default_factory=dict)  # losses, seconds, device, seed, rank, ...

    @property
    def dataset_sha256(self) -> str:
        """The hash of the manifest; for several datasets, of the sorted list of their hashes."""
        return _joined([s.manifest_sha256 for s in self.sources])

    @property
    def gate_report_sha256(self) -> str:
        """The hash of the gate report; for several datasets, of the sorted list of their hashes."""
        return _joined([s.gate_report_sha256 for s in self.sources])

    @property
    def licences(self) -> dict[str, int]:
        """Number of images per SPDX expression over all datasets, the largest first."""
        counts: dict[str, int] = {}
        for source in self.sources:
            for key, count in source.licences.items():
                counts[key] = counts.get(key, 0) + count
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def header(self) -> dict[str, str]:
        """``commonart.*`` entries for a safetensors header, without time or path: the same run gives the same bytes."""
        entries = {
            "name": self.name,
            "kind": self.kind,
            "base_model": self.base_model,
            "base_model_sha256": self.base_model_sha256,
            "dataset_sha256": self.dataset_sha256,
            "gate_report_sha256": self.gate_report_sha256,
            "config_sha256": self.config_sha256,
            "licences": json.dumps(self.licences, ensure_ascii=False),
            "licence": self.licence,
            "trigger": self.trigger,
            "app": APP,
        }
        return {PREFIX + k: v for k, v in entries.items() if v}


def _joined(hashes: list[str]) -> str:
    if len(hashes) < 2:
        return "".join(hashes)
    return hashlib.sha256("".join(f"{h}\n" for h in sorted(hashes)).encode()).hexdigest()
