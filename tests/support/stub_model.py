"""A model folder that every check of ``engine.checkpoint`` takes and no library has to be loaded for.

And workers to run it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.backends.fake import FakeBackend
from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest
from engine.imagefile.image import pixel_sha256
from tests.support.paths import ROOT

SIDE = 32


def make_stub(folder: Path) -> Path:
    """A pipeline folder of a few hundred bytes, for pictures of 32 x 32."""

    def part(name: str, config: dict[str, Any], weights: str) -> None:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file({"w": np.zeros((2, 2), np.float32)}, folder / name / weights)

    part(
        "transformer",
        {"_class_name": "PixArtTransformer2DModel", "patch_size": 2, "sample_size": SIDE // 4},
        "diffusion_pytorch_model.safetensors",
    )
    part(
        "vae", {"_class_name": "AutoencoderKL", "block_out_channels": [8, 8, 16]}, "diffusion_pytorch_model.safetensors"
    )
    part("text_encoder", {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "model.safetensors")
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}", encoding="utf-8")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "PixArtSigmaPipeline"}), encoding="utf-8")
    return folder


def requests(model: Path, out: Path, count: int, **changes: Any) -> list[ImageRequest]:
    """Different pictures; ``changes`` to all of them."""
    settings = {"steps": 3, "name": "{prompt:20}-{seed}"} | changes
    return [
        ImageRequest(**{"prompt": f"りんご {n}", "seed": n, "model": str(model), "out": str(out)} | settings)
        for n in range(count)
    ]


def expected_hash(request: ImageRequest) -> str:
    """Pixels of an uninterrupted run: the fake backend knows nothing but the seed."""
    return pixel_sha256(
        FakeBackend.noise(None, [request.seed], request.width or SIDE, request.height or SIDE)[0].astype(np.uint8)
    )  # type: ignore[arg-type]


class Worker:
    """A worker process; ``events`` fills as it speaks, every line through ``decode``."""

    def __init__(self, ledger: Path, *options: str, **environment: str) -> None:
        self.events: list[events.Event] = []
        self._fresh: queue.Queue[events.Event | None] = queue.Queue()
        self._stderr: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.worker", str(ledger), "--backend", "fake", *options],
            cwd=ROOT,
            encoding="utf-8",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
        )
        self._threads = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for t in self._threads:
            t.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                if line.endswith("\n"):  # else cut off by a kill
                    event = events.decode(line)
                    self.events.append(event)
                    self._fresh.put(event)
        finally:
            self._fresh.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._stderr += self.process.stderr

    @property
    def stderr(self) -> str:
        return "".join(self._stderr)

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead already
            self.process.stdin.write(json.dumps({"command": command}) + "\n")
            self.process.stdin.flush()

    def next(self, timeout: float = 30.0) -> events.Event | None:
        """The next event; None when there will be no more. Raises queue.Empty."""
        return self._fresh.get(timeout=timeout)

    def wait_for(self, kind: type[events.Event], timeout: float = 30.0) -> Any:
        """The next event of this kind."""
        end = time.monotonic() + timeout
        while (event := self.next(max(0.01, end - time.monotonic()))) is not None:
            if isinstance(event, kind):
                return event
        raise AssertionError(f"the worker ended without {kind.event}: {self.events} {self.stderr}")

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]

    def end(self, timeout: float = 40.0) -> int:
        """Wait for its own end; returns the exit status."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the worker does not end: {self.events[-5:]} {self.stderr}") from None
        self._close()
        return code

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for t in self._threads:
            t.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def worker(ledger: Path, *options: str, **environment: str) -> Iterator[Worker]:
    """A worker that is gone when the block ends, however it ends."""
    w = Worker(ledger, *options, **environment)
    try:
        yield w
    finally:
        if w.process.poll() is None:
            w.kill()
        else:
            w._close()


def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def check(ledger: Ledger, out: Path, *, failed: int = 0) -> None:
    """What the product promises once all is over; raises AssertionError with the reason."""
    rows = [row for _, row in ledger.every()]
    states = [r.state for r in rows]
    assert states.count("done") == len(rows) - failed and states.count("failed") == failed, [
        (r.id, r.state, r.error) for r in rows if r.state != "done"
    ]
    paths = [Path(r.path) for r in rows if r.state == "done" and r.path]
    assert len(set(paths)) == len(rows) - failed, "two rows share an image"
    found = {p for p in out.rglob("*") if p.is_file()}
    assert found == set(paths), f"too many: {sorted(found - set(paths))}, missing: {sorted(set(paths) - found)}"
    from engine.imagefile.image import read_pixels, read_recipe

    for row in rows:
        if row.state == "done" and row.path:
            sha = pixel_sha256(read_pixels(Path(row.path)))
            assert (
                sha == row.pixel_sha256 == read_recipe(Path(row.path))["pixel_sha256"] == expected_hash(row.request)
            ), row.id
    recount(ledger)


def recount(ledger: Ledger) -> None:
    """The jobs' counters say what is there."""
    seen: dict[int, dict[str, int]] = {
        j.id: dict.fromkeys(("waiting", "running", "done", "failed", "cancelled"), 0) for j in ledger.jobs()
    }
    for job, row in ledger.every():
        seen[job.id][row.state] += 1
    assert {j.id: {s: getattr(j, s) for s in seen[j.id]} for j in ledger.jobs()} == seen
