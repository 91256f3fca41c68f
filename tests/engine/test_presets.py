"""Presets: exact is exact; the others do fewer predictions, by the step's place alone, and stay near."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine import pipeline
from engine.backends.pytorch import denoise
from engine.backends.pytorch.load import TorchBackend
from engine.checkpoint.library import open_model
from engine.contract.request import PRESETS, ImageRequest
from engine.presets import guided_at, steps_of


def test_exact_leaves_nothing_out() -> None:
    for steps in (1, 7, 20, 1000):
        assert steps_of("exact", steps) == steps and all(guided_at("exact", n, steps) for n in range(steps))
    for name in PRESETS[1:]:
        assert [steps_of(name, n) for n in (1, 2, 3)] == [1, 2, 3]  # few steps are left as they are
        assert steps_of(name, 20) < 20 and guided_at(name, 0, 20) and not guided_at(name, 19, 20)
    work = [sum(1 + guided_at(p, n, steps_of(p, 20)) for n in range(steps_of(p, 20))) for p in PRESETS]
    assert work == sorted(work, reverse=True) and work[0] == 40


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    return TorchBackend(open_model("commonart-mini"), device="cpu")


def made(backend: TorchBackend, requests: list[ImageRequest]) -> Any:
    requests = [pipeline.settle(r, backend.folder) for r in requests]
    return pipeline.paint(backend, pipeline.draw(backend, requests, pipeline.encode(backend, requests))).astype(np.float64)


def test_fewer_rows_are_computed(backend: TorchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Counter[str] = Counter()
    real = denoise.Predictor.__call__
    name = "exact"

    def counted(self: Any, latents: Any, timestep: float) -> Any:
        rows[name] += self._count
        return real(self, latents, timestep)

    monkeypatch.setattr(denoise.Predictor, "__call__", counted)
    base = ImageRequest(prompt="りんご、フラット調", seed=3)
    pictures = {}
    for name in PRESETS:
        pictures[name] = made(backend, [dataclasses.replace(base, preset=name)])
    assert rows["exact"] == 40 and rows["exact"] > rows["balanced"] > rows["fast"] > rows["draft"]
    noise = made(backend, [dataclasses.replace(base, prompt="青い車", seed=4)])
    for name in PRESETS[1:]:  # another picture of the same thing, not another thing
        assert 0 < np.mean((pictures[name] - pictures["exact"]) ** 2) < np.mean((noise - pictures["exact"]) ** 2) / 2, name


def test_a_picture_does_not_know_its_neighbours(backend: TorchBackend) -> None:
    several = [ImageRequest(prompt=p, seed=n, preset="fast", guidance=g) for n, (p, g) in enumerate((("猫", 4.5), ("a dog", 7.0), ("寿司", 3.0)))]
    together = made(backend, several)
    for n, one in enumerate(several):
        assert np.abs(made(backend, [one])[0] - together[n]).max() <= 1
