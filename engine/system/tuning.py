"""Measurements of this machine: which way of running the denoiser is the fastest."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.contract.errors import CommonArtError
from engine.contract.files import replacing
from engine.contract.paths import home


def _notes() -> Path:
    return home() / "compiled.json"


def read_records() -> dict[str, dict[str, Any]]:
    """All measurements by key; empty if there are none or the file is damaged."""
    try:
        if _notes().stat().st_size > 1 << 20:
            return {}
        found = json.loads(_notes().read_text(encoding="utf-8"))
        return {str(k): v for k, v in found.items() if isinstance(v, dict)}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


@dataclass
class TuningRecord:
    """The measurement of one kind of model on this machine."""

    key: str
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, *, device: str, dtype: str, width: int, heads: int) -> TuningRecord:
        """The stored measurement."""
        try:
            torch = version("torch")
        except PackageNotFoundError:
            torch = "?"
        key = f"{this_machine()} | torch {torch} | {device} {dtype} | width {width}, {heads} heads"
        return cls(key, read_records().get(key, {}))

    @property
    def choice(self) -> str | None:
        """``eager`` or ``compiled``; None if it was never measured."""
        found = self.found.get("choice")
        return found if found in ("eager", "compiled") else None

    def remember(self, choice: str, **more: Any) -> None:
        """Store it; if the data folder cannot be written, it is measured again next time."""
        self.found = {"choice": choice, "when": time.strftime("%Y-%m-%d"), **more}
        try:
            _notes().parent.mkdir(parents=True, exist_ok=True)
            with replacing(_notes(), durable=False) as f:
                f.write(json.dumps(read_records() | {self.key: self.found}, indent=1).encode("utf-8"))
        except (OSError, CommonArtError):
            pass  # see above


def this_machine() -> str:
    """The processor's name and its number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} × {os.cpu_count() or 1}"
