"""Memory plans from configs and headers: what CommonArt β's true sizes give, and that more memory never gives less."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import open_model
from engine.memory import SIZES, decoding, drawing, needs, plan


def hollow(folder: Path, numbers: int, name: str, config: dict[str, object]) -> None:
    """A part with a true header and no data behind it: a sparse file of the full length."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    table = json.dumps({"w": {"dtype": "F16", "shape": [numbers], "data_offsets": [0, 2 * numbers]}}).encode()
    with (folder / name).open("wb") as f:
        f.write(struct.pack("<Q", len(table)) + table)
        f.truncate(8 + len(table) + 2 * numbers)


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """CommonArt β by its sizes: 610.9 M, 7.0 B and 83.7 M numbers."""
    root = tmp_path_factory.mktemp("beta")
    hollow(root / "beta", 610_900_000, "diffusion_pytorch_model.safetensors", {
        "_class_name": "Transformer2DModel", "num_attention_heads": 16, "attention_head_dim": 72, "num_layers": 28, "patch_size": 2, "sample_size": 64,
        "caption_channels": 4096})
    hollow(root / "calm2", 7_008_000_000, "model.safetensors", {"model_type": "llama", "hidden_size": 4096})
    (root / "calm2" / "tokenizer.json").write_text("{}", encoding="utf-8")
    hollow(root / "vae", 83_700_000, "diffusion_pytorch_model.safetensors", {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512]})
    return identify(root / "beta", text_encoder=root / "calm2", vae=root / "vae")


def test_what_the_full_model_needs(beta: ModelFolder) -> None:
    assert needs(beta, "bf16").denoiser == 2 * 610_900_000 and needs(beta, "fp32").denoiser == 4 * 610_900_000
    assert needs(beta, "fp32").encoder == needs(beta, "bf16").encoder == 2 * 7_008_000_000  # a large one stays in 16 bits
    assert math.isclose(drawing(beta, "bf16", 512, 512, 1), 2 * 2 * (14 * 1024 * 1152 + 2 * 28 * 512 * 1152), rel_tol=1e-9)
    assert decoding(beta, "bf16", 512, 512) == 2 * 3 * 512 * 512 * 256


def test_plans_for_the_cards_people_have(beta: ModelFolder) -> None:
    plans = {size: plan(beta, "bf16", size * 10**9, 512, 512) for size in SIZES}
    assert [plans[s].encoder for s in SIZES] == ["cpu", "cpu", "device", "device"]  # 14.0 GB of language model
    assert not any(p.in_turn for p in plans.values()) and all(p.peak <= p.limit for p in plans.values())
    batches = [plans[s].batch for s in SIZES]
    assert batches == sorted(batches) and batches[0] >= 4
    tight = plan(beta, "bf16", 152 * 10**7, 512, 512)
    assert tight.in_turn and tight.encoder == "cpu" and tight.batch >= 1
    assert plan(beta, "bf16", 10**9, 512, 512).batch == 0
    assert plan(beta, "fp32", 16 * 10**9, 1024, 1024).batch < plan(beta, "bf16", 16 * 10**9, 512, 512).batch


def test_the_bundled_model_fits_everywhere() -> None:
    folder = open_model("commonart-mini")
    found = plan(folder, "fp32", 8 * 10**9, 64, 64)
    assert found.batch == 32 and found.encoder == "device" and not found.in_turn
