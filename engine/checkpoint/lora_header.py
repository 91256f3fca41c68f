"""What a LoRA's file says of itself: its header's texts, and what our trainer wrote about its making."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from engine.contract.errors import BrokenWeights, Phrase, system_words

#: what our trainer writes into a LoRA's header; see trainer/learn/artifacts/lineage.py
KEYS = (
    "base_model",
    "base_model_sha256",
    "dataset_sha256",
    "gate_report_sha256",
    "config_sha256",
    "licences",
    "trigger",
    "licence",
)
PREFIX = "commonart."


def metadata(path: Path) -> dict[str, str]:
    """The header's own words: texts by name. Raises BrokenWeights."""
    try:
        with path.open("rb") as f:
            length = struct.unpack("<Q", f.read(8))[0]
            found = json.loads(f.read(min(length, 100_000_000))).get("__metadata__") or {}
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, struct.error, AttributeError, RecursionError) as e:
        raise BrokenWeights(path=path, why=Phrase("its table cannot be read")) from e
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def told_by(path: Path) -> dict[str, Any]:
    """What our trainer wrote about the LoRA's making; counts per licence as a dictionary."""
    told: dict[str, Any] = {k.removeprefix(PREFIX): v for k, v in metadata(path).items() if k.startswith(PREFIX)}
    try:
        if "licences" in told:
            told["licences"] = dict(json.loads(told["licences"]))
    except (ValueError, TypeError, RecursionError):
        del told["licences"]
    return told
