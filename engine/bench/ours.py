"""Our side: a real worker over a real queue, from the text of the prompt to the file on disk."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.bench.watch import MemoryWatch
from engine.contract import events
from engine.contract.errors import EngineStopped, from_wire
from engine.contract.ledger.ledger import Ledger
from engine.contract.python_process import python_command, python_environment
from engine.contract.request import ImageRequest


@dataclass(frozen=True)
class Round:
    """One round: seconds, files in the order of the prompts, and seconds by stage if the engine reports them."""

    seconds: float
    files: list[Path]
    stages: dict[str, float]


class EngineRun:
    """A worker that stays loaded between rounds. ``home`` is a separate data folder, so that no cache is warm."""

    name = "commonart"

    def __init__(
        self,
        home: Path,
        *,
        settings: dict[str, Any],
        device: str = "auto",
        backend: str = "auto",
        batch: int | None = None,
        on_note: Callable[[str], None] = lambda _: None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._home, self._settings = home, settings
        home.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(home / "queue.db")
        options = ["--device", device, "--backend", backend, *(["--batch-size", str(batch)] if batch else [])]
        self._process = subprocess.Popen(
            python_command("-m", "engine.worker", str(home / "queue.db"), *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=python_environment(COMMONART_HOME=home, **(environment or {})),
        )
        self.watch = MemoryWatch(self._process.pid)
        self._on_note = on_note
        self.loaded: dict[str, Any] = {}

    def round(self, prompts: Sequence[str], seeds: Sequence[int], out: Path) -> Round:
        """Queue the prompts and wait for their files. Raises what the worker reports."""
        requests = [
            ImageRequest(prompt=p, seed=s, out=str(out), name=f"{n:05d}", **self._settings)
            for n, (p, s) in enumerate(zip(prompts, seeds, strict=True))
        ]
        began = time.perf_counter()
        self.ledger.add_job("bench", requests)
        files: dict[int, Path] = {}
        seconds = 0.0
        stages: dict[str, float] = {}
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = events.decode(line.decode("utf-8"))
            if isinstance(event, events.Loaded):
                self.loaded = {"backend": event.backend, "device": event.device, "dtype": event.dtype}
            elif isinstance(event, (events.Failed, events.Broken)):
                raise from_wire(event.error)
            elif isinstance(event, events.Note):
                self._on_note(event.template.format(**event.fields))
            elif isinstance(event, events.Saved):
                files[len(files)] = Path(event.report["path"])
                seconds = time.perf_counter() - began
            elif isinstance(event, events.Timings):
                stages = event.seconds
            if len(files) == len(requests) and isinstance(event, events.Timings):
                return Round(seconds, sorted(files.values(), key=lambda p: p.name), stages)
        raise EngineStopped(why=json.dumps(self._process.wait()))

    def close(self) -> int:
        """End the worker; returns its peak memory in bytes."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)
        self.ledger.close()
        return self.watch.close()
