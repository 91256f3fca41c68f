"""Compiled blocks: the same numbers, eager where that is asked for, one note and no crash where compiling fails.

What is remembered.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.bench import autotune
from engine.contract.errors import Phrase
from engine.models import compilation
from engine.models.compilation import CompilationPolicy, CompiledBlocks, after, before, mode
from engine.models.pixart import DiT, DiTConfig
from engine.system.tuning import TuningRecord

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path))
    for name in (
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_FX_GRAPH_CACHE",
        "TORCHINDUCTOR_AUTOGRAD_CACHE",
        "TORCHINDUCTOR_COMPILE_THREADS",
    ):
        monkeypatch.setenv(name, "1" if "CACHE_DIR" not in name else str(tmp_path / "inductor"))


@pytest.fixture
def model() -> DiT:
    torch.manual_seed(0)
    return DiT(
        DiTConfig(
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=3,
            cross_attention_dim=32,
            caption_channels=24,
            sample_size=8,
            interpolation_scale=1.0,
            use_additional_conditions=False,
        )
    ).eval()


@torch.inference_mode()
def step(model: DiT) -> torch.Tensor:
    noise = torch.Generator().manual_seed(1)
    words = [torch.randn(n, 24, generator=noise) for n in (3, 3, 5, 7)]
    return model(torch.randn(4, 4, 8, 8, generator=noise), torch.full((4,), 500.0), model.captions(words))


def fake_compiler(monkeypatch: pytest.MonkeyPatch, calls: list[str], error: type[Exception] | None = None) -> None:
    """``torch.compile`` as a counter, or as one that fails: what it does with the graphs is not ours to test here."""

    def compile(function: Any, **options: Any) -> Any:
        assert options == {"fullgraph": True}

        def run(*args: Any) -> Any:
            calls.append(function.__name__)
            if error:
                raise error("no compiler\nmore words")
            return function(*args)

        return run

    monkeypatch.setattr(torch, "compile", compile)


def test_halves_are_the_block(model: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = step(model)
    calls: list[str] = []
    fake_compiler(monkeypatch, calls)
    blocks = CompiledBlocks(model, lambda _: pytest.fail("told"))
    assert torch.equal(step(model), exact) and not calls  # not used yet
    blocks.use(True)
    assert torch.allclose(step(model), exact, atol=1e-6) and calls == ["before", "after"] * 3 and blocks.ready
    blocks.use(False)
    assert torch.equal(step(model), exact) and len(calls) == 6


def test_a_failure_costs_a_note_and_is_remembered(model: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = step(model)
    calls: list[str] = []
    fake_compiler(monkeypatch, calls, RuntimeError)
    monkeypatch.setenv("COMMONART_COMPILE", "on")
    monkeypatch.setattr(compilation, "unsupported_reason", lambda _: None)
    told: list[Phrase] = []
    compiling = CompilationPolicy(model, CPU, "fp32", told.append)
    for _ in range(2):
        compiling.before_batch(deterministic=False)
        assert torch.equal(step(model), exact)
    assert (
        calls == ["before"]
        and [t.template[:36] for t in told] == ["The denoiser could not be compiled ("]
        and told[0].fields["reason"] == "no compiler"
    )
    found = TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2)
    assert found.choice == "eager" and "no compiler" in found.found["failed"]


def test_when_it_is_compiled(model: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fake_compiler(monkeypatch, calls)

    def drawn(deterministic: bool = False, batches: int = 2) -> list[bool]:
        compiling, found = CompilationPolicy(model, CPU, "fp32", lambda _: None), []
        for _ in range(batches):
            compiling.before_batch(deterministic)
            found.append(compiling.active)
        for block in model.transformer_blocks:
            block.__dict__.pop("forward", None)
        return found

    monkeypatch.delenv("COMMONART_COMPILE", raising=False)
    assert mode() == "auto" and drawn() == [False, False]  # a CPU of which nothing is known
    TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2).remember("compiled", ratio=1.3)
    assert drawn() == [False, True]  # the first picture waits for nothing
    assert drawn(deterministic=True) == [False, False]
    monkeypatch.setenv("COMMONART_COMPILE", "off")
    assert drawn() == [False, False]
    monkeypatch.setenv("COMMONART_COMPILE", "on")
    monkeypatch.setattr(compilation, "unsupported_reason", lambda _: None)
    assert drawn() == [True, True] and drawn(deterministic=True) == [False, False]
    monkeypatch.setattr(compilation, "unsupported_reason", lambda _: Phrase("none"))
    assert drawn() == [False, False]


def test_notes_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    known = TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2)
    known.remember("compiled", ratio=1.2)
    assert TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2).choice == "compiled"
    assert (
        TuningRecord.of(device="cpu", dtype="bf16", width=32, heads=2).choice is None
    )  # another kind of numbers, another answer
    for broken in ("", "[]", '{"a": 1}', "{" * 100_000, json.dumps({known.key: {"choice": "rm"}})):
        (tmp_path / "compiled.json").write_text(broken, encoding="utf-8")
        assert TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2).choice is None


def test_the_doctor_reports_it(tmp_path: Path) -> None:
    from engine.doctor.devices import tuning_records

    TuningRecord.of(device="cpu", dtype="fp32", width=32, heads=2).remember("compiled", ratio=1.25)
    TuningRecord.of(device="cpu", dtype="bf16", width=32, heads=2).remember("eager", failed="no compiler")
    good, bad = tuning_records()
    assert (
        good["state"] == "ok"
        and str(good["value"]).startswith("compiled, × 1.25")
        and bad["state"] == "warning"
        and "no compiler" in str(bad["advice"])
    )


def test_a_probe_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*_: Any, **options: Any) -> Any:
        raise autotune.subprocess.TimeoutExpired("x", options["timeout"])

    monkeypatch.setattr(autotune.subprocess, "run", forever)
    found = autotune.probe(["--device", "cpu", "--dtype", "fp32", "--seconds", "3"])
    assert found["choice"] == "eager" and found["failed"] == "more than 3 s"
    assert TuningRecord.of(device="cpu", dtype="fp32", width=256, heads=4).choice == "eager"


@pytest.mark.slow
def test_the_real_compiler(model: DiT) -> None:
    """Two graphs for all blocks, usable from two threads at once, and from the cache the second time."""
    import threading

    if compilation.unsupported_reason(CPU) is not None:
        pytest.skip("no C++ compiler")
    exact, found = step(model), []
    blocks = CompiledBlocks(model, lambda why: pytest.fail(str(why)))
    blocks.use(True)
    threads = [threading.Thread(target=lambda: found.append(step(model))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and all(torch.allclose(one, exact, atol=1e-5) for one in found) and blocks.ready
    assert before.__name__ == "before" and after.__name__ == "after"


@pytest.mark.slow
def test_the_whole_probe() -> None:
    found = autotune.probe(["--device", "cpu", "--dtype", "fp32", "--seconds", "500"])
    assert found["choice"] in ("eager", "compiled") and found["worked"] and found["apart"] < 1e-4
    assert TuningRecord.of(device="cpu", dtype="fp32", width=256, heads=4).choice == found["choice"]


def test_the_compiler_can_read_the_halves(model: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own tracing, in inference mode as the engine works; only the making of machine code is left out."""
    exact, real = step(model), torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend="eager", **options))
    blocks = CompiledBlocks(model, lambda why: pytest.fail(str(why)))
    blocks.use(True)
    assert torch.allclose(step(model), exact, atol=1e-6) and blocks.ready and not blocks.failed
