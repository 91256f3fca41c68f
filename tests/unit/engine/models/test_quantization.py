"""Weights in 8 bits: what is missing is said, what fails leaves the exact ones.

The arithmetic where torchao is installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.models import quantization
from engine.models.lora import LoraLinear
from engine.models.pixart import DiT, DiTConfig
from engine.models.quantization import QuantizedWeights, best_scheme, unsupported_reason
from tests.support.tiny_models import denoiser_config

CPU = torch.device("cpu")


def dit() -> DiT:
    torch.manual_seed(0)
    return DiT(DiTConfig.from_dict(denoiser_config())).eval().requires_grad_(False)


def test_a_cpu_keeps_its_weights_and_says_why() -> None:
    model = dit()
    small = QuantizedWeights(model, CPU, "fp32", lambda _: None)
    assert best_scheme(CPU) == "exact"
    for kind in ("", "int8", "fp8"):
        weights, why = small.prepare(kind)
        assert weights == "exact" and "graphics card" in str(why)
    assert small.model("exact", alone=True) is model


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "best_scheme", lambda _: "int8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    model = dit()
    assert '-m pip install "commonart-desktop[quantized]"' in str(unsupported_reason(CPU, model, "int8"))
    assert "graphics card" in str(unsupported_reason(CPU, model, "fp8"))  # asked by a recipe from a newer card
    model.transformer_blocks[0].ff.net[2] = LoraLinear(model.transformer_blocks[0].ff.net[2], [])
    assert "LoRAs" in str(unsupported_reason(CPU, model, "int8"))


def test_what_fails_leaves_the_exact_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def broken(model: DiT, kind: str) -> DiT:
        tries.append(kind)
        raise RuntimeError("no kernel image\nand more")

    monkeypatch.setattr(quantization, "best_scheme", lambda _: "int8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(quantization, "quantize", broken)
    model = dit()
    small = QuantizedWeights(model, CPU, "fp32", lambda _: None)
    for _ in range(2):
        weights, why = small.prepare("")
        assert (
            weights == "exact"
            and str(why) == "Weights could not be held in 8 bits (no kernel image); they stay as they are"
        )
    assert tries == ["int8"] and small.model("exact", alone=False) is model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_int8_weights_are_near(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchao's own int8 on a CPU, where it is slow but the same arithmetic; exact weights beside it are untouched."""
    pytest.importorskip("torchao")
    from engine import pipeline
    from engine.backends.pytorch.backend import TorchBackend
    from engine.checkpoint.library import open_model
    from engine.contract.request import ImageRequest
    from engine.sampling.presets import Preset

    monkeypatch.setattr(quantization, "best_scheme", lambda _: "int8")
    backend = TorchBackend(open_model(str(tiny_model)), device="cpu")
    backend.supports |= {"small"}
    before = {k: v.clone() for k, v in backend._denoiser.state_dict().items()}
    requests = [
        pipeline.settle(ImageRequest(prompt=p, seed=n, steps=3, preset="fast"), backend.folder)
        for n, p in enumerate(("cat", "寿司"))
    ]
    features = pipeline.encode(backend, requests)

    def made(preset: Preset, some: Any = requests) -> torch.Tensor:
        return pipeline.denoise_batch(backend, some, features, preset=preset)

    exact, small = made(Preset(guided_to=0.9)), made(Preset(guided_to=0.9, small=True))
    assert backend.notes == [] and 0 < float((small - exact).norm() / exact.norm()) < 0.1
    # alone a picture's numbers round otherwise, and a rounding may tip another step of 8 bits: no more than the steps
    # themselves cost
    alone = made(Preset(guided_to=0.9, small=True), requests[:1])
    assert float((alone - small[:1]).norm()) <= float((small[:1] - exact[:1]).norm())
    layer, x = (
        quantization.quantize(dit(), "int8").transformer_blocks[0].attn1.to_q,
        torch.randn(3, 16, 32) * torch.tensor([1.0, 50.0, 0.1]).view(3, 1, 1),
    )
    torch.testing.assert_close(
        layer(x)[2:], layer(x[2:]), rtol=1e-5, atol=1e-6
    )  # scaled row by row: loud neighbours do not drown it
    assert torch.equal(made(Preset(guided_to=0.9)), exact) and all(
        torch.equal(v, before[k]) for k, v in backend._denoiser.state_dict().items()
    )
