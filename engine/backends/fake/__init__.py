"""Generates an image of one seed-dependent colour in milliseconds: for tests and for trying the queue.

Without torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.contract.errors import NotFinite, Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.sampling.schedule import Sampler


@dataclass(frozen=True)
class FakeFeature:
    tokens: int
    cut: bool = False


class FakeSampler:
    """As many steps as asked for, each of ``COMMONART_FAKE_STEP`` seconds."""

    initial_scale = 1.0

    def __init__(self, steps: int) -> None:
        self.timesteps = [float(steps - n) for n in range(steps)]
        self._seconds = float(os.environ.get("COMMONART_FAKE_STEP", "0"))

    def scale(self, latents: Any, index: int) -> Any:
        return latents

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        time.sleep(self._seconds)
        return latents


class FakeBackend:
    """Prompts trigger failures: ``!die`` kills the process, ``!nan`` is not finite, ``!oom`` exceeds any memory.

    ``COMMONART_FAKE_ROOM`` is how many images fit at once.
    """

    name, device, dtype = "fake", "cpu", "fp32"
    supports: frozenset[str] = frozenset()

    def __init__(self, folder: ModelFolder, loras: Sequence[LoraFile] = ()) -> None:
        self.folder = folder
        self.loras = [one.record() for one in loras]
        self.hashes = {"denoiser": "0" * 64, "text_encoder": "1" * 64, "vae": "2" * 64}
        self._room = int(os.environ.get("COMMONART_FAKE_ROOM", "1000"))
        self._prompts: list[str] = []
        self.largest = 0
        self.tight = False
        self.notes: list[Phrase] = []

    def encode(self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
        return {t: FakeFeature(len(t)) for t in texts}

    def lanes(self, rows: int) -> RowThreads:
        return RowThreads(1)

    def join(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)

    def fits(self, width: int, height: int) -> int:
        return 1 << 20

    def noise(self, seeds: Sequence[int], width: int, height: int) -> Any:
        colours = [np.random.default_rng(s).integers(0, 256, 3, np.uint8) for s in seeds]
        return np.stack([np.broadcast_to(c, (height, width, 3)) for c in colours]).astype(np.float32)

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        return "exact", None

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        return FakeSampler(steps)

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], plan: SamplingPlan | None = None
    ) -> Callable[[Any, float], Any]:
        def predict(latents: Any, timestep: float) -> Any:
            if any("!die" in r.prompt for r in requests):
                os._exit(139)
            if len(requests) > self._room or any("!oom" in r.prompt for r in requests):
                raise MemoryError
            for row, r in enumerate(requests):
                if "!nan" in r.prompt:
                    latents[row] = np.nan
            self.largest = max(self.largest, len(requests))
            return latents

        return predict

    def decode(self, latents: Any, tiled: bool = False) -> np.ndarray[Any, Any]:
        if not np.isfinite(latents).all():
            raise NotFinite(dtype=self.dtype)
        return np.asarray(latents, np.uint8)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, MemoryError)

    def trim(self) -> None:
        pass

    def libraries(self) -> dict[str, str]:
        return {"numpy": np.__version__}
