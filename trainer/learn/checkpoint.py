"""Checkpoints that are complete or absent: written under a temporary name, every file hashed and synced, then renamed.

``checkpoints/step-00000120/`` holds ``weights.safetensors`` (trainable parameters, fp32), ``optimiser.safetensors``,
``ema.safetensors``, ``state.json`` and ``manifest.json`` with size and SHA-256 of each. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from engine.checkpoint.weights import sha256_file
from engine.contract.errors import BrokenWeights, NoRoom, Phrase, system_words
from engine.contract.fault_injection import fault_point
from engine.contract.files import PART, as_our_error, rename, sync_folder
from trainer.learn.distributed.processes import Processes
from trainer.learn.safetensors_writer import read_tensors, size_of, write_tensors

VERSION = 1
_NAME = re.compile(r"step-(\d{8,})")


@dataclass
class State:
    """The complete state of a run after ``step``.

    ``facts`` is JSON-ready: counters, losses, and the plain values in the optimiser's state.
    """

    step: int
    weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def shared(state: State | None, processes: Processes, *, content: bool) -> State | None:
    """Send the first process's state to all others, which may not see its folder; every process must call it.

    Without ``content`` the others get shapes only, on the meta device: the first process distributes sharded weights.
    """
    if processes.world == 1:
        return state
    header = processes.share(None if state is None else [state.step, state.facts])
    if header is None:
        return None
    weights, optimiser, ema = (
        processes.share_tensors(getattr(state, name, None), content=content) for name in ("weights", "optimiser", "ema")
    )
    return State(int(header[0]), weights, optimiser, ema, dict(header[1]))


def min_free() -> int:
    """Bytes that must stay free on the disk."""
    return int(os.environ.get("COMMONART_MIN_FREE_MB", "200")) << 20


def demand_room(folder: Path, size: int) -> None:
    """Raises NoRoom unless ``size`` bytes fit and the reserve stays free."""
    free = shutil.disk_usage(folder).free
    if free < size + min_free():
        raise NoRoom(path=folder, free=free >> 20, need=(size + min_free()) >> 20)


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """The steps of all folders that are named like a checkpoint, the newest first."""
        try:
            matches = [_NAME.fullmatch(p.name) for p in self.folder.iterdir() if p.is_dir()]
        except OSError:
            return []
        return sorted((int(m[1]) for m in matches if m), reverse=True)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def save(self, state: State) -> Path:
        """Write a checkpoint; a valid one of the same step stays as it is.

        Raises:
            NoRoom: before anything is written. DiskFull, OutputFolder: nothing is left of what was written.
        """
        final = self.path(state.step)
        if final.exists():
            try:
                self.load(state.step)
                return final
            except BrokenWeights:
                self._remove(final)
        self.folder.mkdir(parents=True, exist_ok=True)
        demand_room(self.folder, size_of(state.weights) + size_of(state.optimiser) + size_of(state.ema) + (1 << 20))
        temporary = self.folder / f".{final.name}{PART}"
        try:
            self.sweep()
            with fault_point("mkdir"):
                temporary.mkdir()
            hashes = {}
            for name, tensors in (("weights", state.weights), ("optimiser", state.optimiser), ("ema", state.ema)):
                if tensors:
                    hashes[f"{name}.safetensors"] = write_tensors(temporary / f"{name}.safetensors", tensors)
            state_data = {"version": VERSION, "step": state.step} | state.facts
            hashes["state.json"] = _write_json(temporary / "state.json", state_data)
            files = {n: {"sha256": s, "bytes": (temporary / n).stat().st_size} for n, s in hashes.items()}
            _write_json(temporary / "manifest.json", {"version": VERSION, "step": state.step, "files": files})
            sync_folder(temporary)
            with fault_point("rename"):
                rename(temporary, final)
            sync_folder(self.folder)
        except OSError as e:
            shutil.rmtree(temporary, ignore_errors=True)
            raise as_our_error(e, self.folder) from e
        return final

    def load(self, step: int) -> State:
        """Load one checkpoint and check every byte.

        Raises:
            BrokenWeights: a file is missing, cut off or altered; it is named.
        """
        folder = self.path(step)
        manifest = _read_json(folder / "manifest.json")
        try:
            files = {str(n): (str(f["sha256"]), int(f["bytes"])) for n, f in manifest["files"].items()}
            valid = (
                manifest["version"] == VERSION
                and manifest["step"] == step
                and {"weights.safetensors", "state.json"} <= files.keys()
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            valid = False
        if not valid:
            raise BrokenWeights(path=folder / "manifest.json", why=Phrase("its table cannot be read"))
        for name, (sha256, size) in files.items():
            path = folder / name
            try:
                intact = Path(name).name == name and path.stat().st_size == size and sha256_file(path) == sha256
            except OSError as e:
                raise BrokenWeights(path=path, why=system_words(e)) from e
            if not intact:
                raise BrokenWeights(path=path, why=Phrase("it is not what was written there"))

        def tensors(name: str) -> dict[str, Tensor]:
            return read_tensors(folder / f"{name}.safetensors") if f"{name}.safetensors" in files else {}

        return State(step, tensors("weights"), tensors("optimiser"), tensors("ema"), _read_json(folder / "state.json"))

    def newest(self, damaged: Callable[[BrokenWeights], None]) -> State | None:
        """The newest valid checkpoint; ``damaged`` is called with the error of each that is skipped."""
        for step in self.steps():
            try:
                return self.load(step)
            except BrokenWeights as e:
                damaged(e)
        return None

    def prune(self, keep: int, best: int | None) -> None:
        """Remove all but the newest ``keep`` and the best."""
        for step in self.steps()[keep:]:
            if step != best:
                self._remove(self.path(step))

    def sweep(self) -> None:
        """Remove the temporary folders of killed processes."""
        for part in self.folder.glob(f".*{PART}"):
            shutil.rmtree(part, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        """Rename, then remove: a partially removed checkpoint must not have the name of a checkpoint."""
        temporary = path.with_name(f".old-{path.name}{PART}")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            rename(path, temporary)
        except OSError:
            return  # it stays until the next attempt
        shutil.rmtree(temporary, ignore_errors=True)


def _write_json(path: Path, data: Any) -> str:
    raw = json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True).encode("utf-8") + b"\n"
    with fault_point("write"), path.open("wb") as f:
        f.write(raw)
        f.flush()
        with fault_point("fsync"):
            os.fsync(f.fileno())
    return hashlib.sha256(raw).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BrokenWeights(path=path, why=Phrase("it is not JSON")) from e
    if not isinstance(data, dict):
        raise BrokenWeights(path=path, why=Phrase("it is not a JSON object"))
    return data
