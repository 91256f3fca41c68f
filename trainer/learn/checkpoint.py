"""Checkpoints that are whole or not there: written aside, every file hashed and synced, then renamed.

``checkpoints/step-00000120/`` holds ``weights.safetensors`` (what learns, fp32), ``optimiser.safetensors``,
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
    """All that a run is at one moment. ``facts`` is JSON: counters, identity, and what the optimiser keeps as plain numbers."""

    step: int
    weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def shared(state: State | None, processes: Processes, *, content: bool) -> State | None:
    """The first process's state in all of them: others may not see its folder. Every process must ask.

    Without ``content`` the others get shapes only, on the meta device: sharded weights are dealt out by the first.
    """
    if processes.world == 1:
        return state
    told = processes.share(None if state is None else [state.step, state.facts])
    if told is None:
        return None
    parts = [
        processes.share_tensors(getattr(state, name, None), content=content) for name in ("weights", "optimiser", "ema")
    ]
    return State(int(told[0]), *parts, dict(told[1]))


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
        """Of all folders that bear a checkpoint's name, the newest first."""
        try:
            found = [_NAME.fullmatch(p.name) for p in self.folder.iterdir() if p.is_dir()]
        except OSError:
            return []
        return sorted((int(m[1]) for m in found if m), reverse=True)

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def save(self, state: State) -> Path:
        """Write one; one of the same step that is whole already stays as it is.

        Raises:
            NoRoom: before anything is written. DiskFull, OutputFolder: what was written is taken away again.
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
        aside = self.folder / f".{final.name}{PART}"
        try:
            self.sweep()
            with fault_point("mkdir"):
                aside.mkdir()
            sums = {}
            for name, tensors in (("weights", state.weights), ("optimiser", state.optimiser), ("ema", state.ema)):
                if tensors:
                    sums[f"{name}.safetensors"] = write_tensors(aside / f"{name}.safetensors", tensors)
            told_state = {"version": VERSION, "step": state.step} | state.facts
            sums["state.json"] = _write_json(aside / "state.json", told_state)
            files = {n: {"sha256": s, "bytes": (aside / n).stat().st_size} for n, s in sums.items()}
            _write_json(aside / "manifest.json", {"version": VERSION, "step": state.step, "files": files})
            sync_folder(aside)
            with fault_point("rename"):
                rename(aside, final)
            sync_folder(self.folder)
        except OSError as e:
            shutil.rmtree(aside, ignore_errors=True)
            raise as_our_error(e, self.folder) from e
        return final

    def load(self, step: int) -> State:
        """One checkpoint, every byte checked.

        Raises:
            BrokenWeights: a file is missing, cut off or altered; it is named.
        """
        folder = self.path(step)
        manifest = _read_json(folder / "manifest.json")
        try:
            files = {str(n): (str(f["sha256"]), int(f["bytes"])) for n, f in manifest["files"].items()}
            right = (
                manifest["version"] == VERSION
                and manifest["step"] == step
                and {"weights.safetensors", "state.json"} <= files.keys()
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise BrokenWeights(path=folder / "manifest.json", why=Phrase("its table cannot be read"))
        for name, (sha256, size) in files.items():
            path = folder / name
            try:
                whole = Path(name).name == name and path.stat().st_size == size and sha256_file(path) == sha256
            except OSError as e:
                raise BrokenWeights(path=path, why=system_words(e)) from e
            if not whole:
                raise BrokenWeights(path=path, why=Phrase("it is not what was written there"))

        def tensors(name: str) -> dict[str, Tensor]:
            return read_tensors(folder / f"{name}.safetensors") if f"{name}.safetensors" in files else {}

        return State(step, tensors("weights"), tensors("optimiser"), tensors("ema"), _read_json(folder / "state.json"))

    def newest(self, note: Callable[[BrokenWeights], None], below: int | None = None) -> State | None:
        """The newest whole checkpoint, below a step if one is given; broken ones are told to ``note`` and passed over."""
        for step in self.steps():
            if below is None or step < below:
                try:
                    return self.load(step)
                except BrokenWeights as e:
                    note(e)
        return None

    def prune(self, keep: int, best: int | None) -> None:
        """Remove all but the newest ``keep`` and the best."""
        for step in self.steps()[keep:]:
            if step != best:
                self._remove(self.path(step))

    def drop_after(self, step: int) -> None:
        """Remove those past ``step``, which a run that went back will make again."""
        for one in self.steps():
            if one > step:
                self._remove(self.path(one))

    def sweep(self) -> None:
        """Remove what a killed process left aside."""
        for part in self.folder.glob(f".*{PART}"):
            shutil.rmtree(part, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        """Under another name first: a half removed checkpoint must not bear a checkpoint's name."""
        aside = path.with_name(f".old-{path.name}{PART}")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            rename(path, aside)
        except OSError:
            return  # it stays; the next time will tell
        shutil.rmtree(aside, ignore_errors=True)


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
