"""Memory plans from configs and headers: what CommonArt β's true sizes give, and that more memory never gives less."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest

from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import open_model
from engine.checkpoint.memory_plan import (
    SIZES,
    WORKSPACE,
    decoding_bytes,
    denoising_bytes,
    loading_bytes,
    memory_needs,
    on_cpu,
    plan_memory,
)
from engine.checkpoint.weights import read_header, weight_files


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
    hollow(
        root / "beta",
        610_900_000,
        "diffusion_pytorch_model.safetensors",
        {
            "_class_name": "Transformer2DModel",
            "num_attention_heads": 16,
            "attention_head_dim": 72,
            "num_layers": 28,
            "patch_size": 2,
            "sample_size": 64,
            "caption_channels": 4096,
        },
    )
    hollow(root / "calm2", 7_008_000_000, "model.safetensors", {"model_type": "llama", "hidden_size": 4096})
    (root / "calm2" / "tokenizer.json").write_text("{}", encoding="utf-8")
    hollow(
        root / "vae",
        83_700_000,
        "diffusion_pytorch_model.safetensors",
        {"_class_name": "AutoencoderKL", "block_out_channels": [128, 256, 512, 512]},
    )
    return identify(root / "beta", text_encoder=root / "calm2", vae=root / "vae")


def test_what_the_full_model_needs(beta: ModelFolder) -> None:
    assert (
        memory_needs(beta, "bf16").denoiser == 2 * 610_900_000
        and memory_needs(beta, "fp32").denoiser == 4 * 610_900_000
    )
    assert (
        memory_needs(beta, "fp32").encoder == memory_needs(beta, "bf16").encoder == 2 * 7_008_000_000
    )  # a large one stays in 16 bits
    assert math.isclose(
        denoising_bytes(beta, "bf16", 512, 512, 1), 2 * 2 * (16 * 1024 * 1152 + 2 * 28 * 512 * 1152), rel_tol=1e-9
    )
    assert decoding_bytes(beta, "bf16", 512, 512) == 2 * 5 * 512 * 512 * 256


def test_plans_for_the_cards_people_have(beta: ModelFolder) -> None:
    plans = {size: plan_memory(beta, "bf16", size * 10**9, 512, 512) for size in SIZES}
    assert [plans[s].encoder for s in SIZES] == ["cpu", "cpu", "device", "device"]  # 14.0 GB of language model
    assert not any(p.in_turn for p in plans.values()) and all(p.peak <= p.limit for p in plans.values())
    batches = [plans[s].batch for s in SIZES]
    assert batches == sorted(batches) and batches[0] >= 4
    tight = plan_memory(beta, "bf16", 160 * 10**7, 512, 512)
    assert tight.in_turn and tight.encoder == "cpu" and tight.batch >= 1
    assert plan_memory(beta, "bf16", 10**9, 512, 512).batch == 0
    assert (
        plan_memory(beta, "fp32", 16 * 10**9, 1024, 1024).batch < plan_memory(beta, "bf16", 16 * 10**9, 512, 512).batch
    )


def test_8_bits_only_where_16_fit_nowhere(beta: ModelFolder) -> None:
    def encoders(main: int | None) -> list[str]:
        return [plan_memory(beta, "bf16", size * 10**9, 512, 512, main=main).encoder for size in SIZES]

    assert encoders(24 * 10**9) == ["cpu", "cpu", "device", "device"] == encoders(None)
    assert encoders(16 * 10**9) == ["cpu", "int8", "device", "device"] or encoders(16 * 10**9) == [
        "int8",
        "int8",
        "device",
        "device",
    ]
    found = plan_memory(beta, "bf16", 8 * 10**9, 512, 512, main=16 * 10**9)
    assert found.encoder == "cpu" or found.peak <= found.limit


def test_the_bundled_model_fits_everywhere() -> None:
    folder = open_model("commonart-mini")
    found = plan_memory(folder, "fp32", 8 * 10**9, 64, 64)
    assert found.batch == 32 and found.encoder == "device" and not found.in_turn


def holes_of(beta: ModelFolder) -> int:
    """Two lanes of two pictures: 18.9 MB a tensor lies on the heap, four times that does not."""
    return 2 * int(0.6 * 7.5 * 4 * 4 * 1024 * 1152)


def test_a_cpu_holds_all_parts_at_once(beta: ModelFolder) -> None:
    """fp32 on a CPU, the language model in bf16: every part stays, and a file of another dtype is there twice while it
    is read.
    """
    denoiser, text, vae = 4 * 610_900_000, 2 * 7_008_000_000, 4 * 83_700_000
    found = on_cpu(beta, "fp32", 512, 512, 4, lanes=2, tokens=20)
    assert found["denoise"] == denoiser + text + vae + denoising_bytes(
        beta, "fp32", 512, 512, 4, 20, folds=True
    ) + 2 * WORKSPACE + holes_of(beta)
    assert (
        found["decode"] == denoiser + text + vae + 2 * decoding_bytes(beta, "fp32", 512, 512, cpu=True) + 2 * WORKSPACE
    )
    assert (
        found["encode"] == denoiser + vae + 2 * text + 2 * WORKSPACE == found["peak"]
    )  # fp16 in the file, bf16 in memory
    assert on_cpu(beta, "fp32", 512, 512, 1, lanes=2, tokens=20)["decode"] == found["decode"] - decoding_bytes(
        beta, "fp32", 512, 512, cpu=True
    )


def test_what_lies_in_the_file_as_it_is_run_stays_in_the_map(beta: ModelFolder) -> None:
    mapped, copied = loading_bytes(beta.denoiser, "fp16"), loading_bytes(beta.denoiser, "fp32")
    assert mapped.peak == mapped.after == 2 * 610_900_000
    assert copied.after == 4 * 610_900_000 and copied.peak == copied.after + 2 * 610_900_000
    assert loading_bytes(beta.vae, "fp16", copied=True).peak == 4 * 83_700_000


def test_tensors_that_are_never_loaded_do_not_count() -> None:
    folder = open_model("commonart-mini")
    all_of_it = memory_needs(folder, "fp32").vae
    assert loading_bytes(folder.vae, "fp32").after == all_of_it
    whole = sum(math.prod(e.shape) for file in weight_files(folder.vae) for e in read_header(file).values())
    assert 0.3 * whole < all_of_it / 4 < 0.8 * whole  # the decoding half


def test_the_doctor_says_the_plan_for_a_model_and_for_this_machine(beta: ModelFolder) -> None:
    from engine.doctor.memory import memory_plans

    lines = list(memory_plans(None, beta))
    assert [line["id"] for line in lines] == ["memory-8", "memory-12", "memory-16", "memory-24", "memory-here"]
    assert all(str(line["value"]).startswith("bf16, 512 px, × ") for line in lines[:4]) and str(
        lines[4]["value"]
    ).startswith("CPU, fp32, 512 px")
    assert "main memory" in str(lines[0]["advice"]) and lines[3]["advice"] is None


@pytest.mark.slow
def test_prediction_and_measurement() -> None:
    """One row of `python -m benchmarks.memory`: within a tenth."""
    import subprocess
    import sys

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("Linux only")
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--mini", "--json"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert json.loads(told.stdout)["worst"] < 0.1, told.stderr
