"""Exported folders on ONNX Runtime: PyTorch's numbers without PyTorch, providers by what runs, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from safetensors import safe_open

from engine.backends.factory import open_backend
from engine.backends.onnx import sessions
from engine.backends.onnx.arrays import DeviceArray
from engine.backends.onnx.backend import OnnxBackend
from engine.backends.onnx.decode import tile_starts
from engine.backends.onnx.encode import CaptionTokenizer, Feature, FeatureStore
from engine.backends.onnx.noise import Normal, noise
from engine.backends.onnx.samplers import MAKERS, build_sampler
from engine.backends.onnx.sessions import Device, choose_device
from engine.backends.pytorch.backend import TorchBackend
from engine.backends.pytorch.samplers import build_sampler as diffusers_sampler
from engine.checkpoint.describe import info
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.checkpoint.onnxfile import tensors_of
from engine.checkpoint.verify import verify
from engine.contract.errors import (
    BadValue,
    BrokenWeights,
    ExportAltered,
    FeatureMissing,
    NoDevice,
    NotAModel,
    NotFinite,
)
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import SAMPLERS, ImageRequest
from engine.pipeline import decode, denoise, denoise_batch, encode, settle
from engine.sampling.schedule import Schedule
from engine.system.caption_cache import file_of, part_of
from tests.data.tiny_onnx import unpack
from tests.support.paths import ROOT
from tests.support.tiny_models import make_lora, make_tokenizer

PROMPTS = ("青い背景の寿司", "red apple, on blue background", "cat", "ねこ、りんご、ねこ on a red background")
#: what an installation for exported folders need not have
HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "peft",
    "optimum",
    "onnx",
    "onnxscript",
    "sentencepiece",
    "huggingface_hub",
    "cryptography",
    "c2pa",
    "keyring",
    "safetensors",
    "psutil",
    "accelerate",
    "cyclonedx",
    "matplotlib",
    "license_expression",
    "PySide6",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(pipeline for PyTorch, its export)."""
    return unpack(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def pair(
    folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[TorchBackend, OnnxBackend]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(tmp_path_factory.mktemp("home")))
        yield (
            TorchBackend(open_model(str(folders[0])), device="cpu", dtype="fp32"),
            OnnxBackend(open_model(str(folders[1])), device="cpu"),
        )


@pytest.fixture
def copy(folders: tuple[Path, Path], tmp_path: Path) -> Path:
    """An export of this test's own."""
    return Path(shutil.copytree(folders[1], tmp_path / "copy"))


def ask(seed: int, prompt: str = PROMPTS[0], **settings: Any) -> ImageRequest:
    return ImageRequest(prompt=prompt, seed=seed, **{"width": 32, "height": 32, "steps": 6} | settings)


def make(backend: Any, *requests: ImageRequest) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    settled = [settle(r, backend.folder) for r in requests]
    latents = denoise_batch(backend, settled, encode(backend, settled))
    return np.asarray(latents), decode(backend, latents)


def psnr(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


# numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1])
def test_noise_is_that_of_torch(seed: int) -> None:
    """Bit by bit where PyTorch runs its AVX2 kernel, else to some units in the last place; also in what comes after."""
    exact = torch.backends.cpu.get_cpu_capability() == "AVX2"
    generator, mine = torch.Generator("cpu").manual_seed(seed), Normal(seed)
    for shape in (
        (1, 4, 8, 8),
        (1, 1, 3, 1),
        (1, 1, 5, 1),
        (1, 4, 3, 3),
        (1, 3, 5, 7),
        (1, 1, 15, 1),
        (1, 4, 64, 64),
        (1, 1, 1, 1),
        (1, 1, 4, 4),
    ):
        want, got = torch.randn(shape, generator=generator).numpy(), mine.draw(shape)
        assert got.dtype == np.float32 and got.shape == shape
        if exact:
            np.testing.assert_array_equal(got, want)
        else:
            np.testing.assert_allclose(got, want, rtol=0, atol=3e-6)


def model(x: Any, t: float) -> Any:
    """A stand-in for the denoiser, smooth in both."""
    if isinstance(x, torch.Tensor):
        return torch.tanh(x * (1 + t / 1000) + 0.1) + 0.2 * x.roll(1, -1)
    return np.tanh(x * np.float32(1 + t / 1000) + np.float32(0.1)) + np.float32(0.2) * np.roll(x, 1, -1)


def test_every_name_has_a_sampler() -> None:
    assert set(MAKERS) == set(SAMPLERS)


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_samplers_are_those_of_diffusers(name: str, prediction: str) -> None:
    """All steps of whole runs, with the noise that some add on the way."""
    start, compared = noise([3, 2**40], 4, 6, 6), 0
    for spacing in (None, "leading", "trailing"):
        for steps in (1, 2, 9, 20):
            config = {"prediction_type": prediction} | (
                {"timestep_spacing": spacing, "steps_offset": int(spacing == "leading")} if spacing else {}
            )
            schedule = Schedule.from_dict(config)
            try:
                theirs = diffusers_sampler(name, steps, schedule, [3, 2**40], config)
                want = denoise(model, theirs, torch.from_numpy(start)).numpy()
            except (NotImplementedError, ValueError):  # diffusers' own does not read every kind of prediction
                with pytest.raises(ValueError, match=prediction):
                    build_sampler(name, steps, schedule, [3, 2**40], config)
                continue
            mine = build_sampler(name, steps, schedule, [3, 2**40], config)
            np.testing.assert_allclose(mine.timesteps, theirs.timesteps, rtol=1e-6)
            got = denoise(model, mine, start)
            assert got.dtype == np.float32
            # diffusers keeps its schedule in float32, whose first level is right to 4e-5: it shows in very short runs
            bound = 1e-4 if steps < 3 or (name, prediction) == ("heun", "sample") else 1e-5
            assert float(np.abs(got - want).max() / np.abs(want).max()) < bound, (spacing, steps)
            compared += 1
    assert compared or (name, prediction) in (("euler-a", "sample"), ("pndm", "sample"))


@pytest.mark.parametrize("name", sorted(set(MAKERS) - {"lms"}))  # lms never divides by one gap, and is slow
def test_as_many_steps_as_there_are_levels(name: str) -> None:
    """Two steps may then round to one level: nothing may be divided by what lies between."""
    for config in ({}, {"timestep_spacing": "trailing"}):
        out = denoise(
            lambda x, t: np.tanh(x),
            build_sampler(name, 999, Schedule.from_dict(config), [1], config),
            noise([1], 1, 4, 4),
        )
        assert np.isfinite(out).all()


# words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "calm2", "t5", "mini"])
def test_token_ids_are_those_of_transformers(kind: str, pair: tuple[TorchBackend, OnnxBackend], tmp_path: Path) -> None:
    from dataclasses import replace

    from transformers import AutoTokenizer

    folder = pair[1].folder
    if kind == "mini":
        folder = replace(
            folder,
            tokenizer=ROOT / "resources" / "models" / "commonart-mini" / "tokenizer",
            text_encoder=ROOT / "resources" / "models" / "commonart-mini" / "text_encoder",
        )
    else:
        make_tokenizer(tmp_path / kind, bos=kind == "llama", eos=kind == "t5")
        folder = replace(folder, tokenizer=tmp_path / kind, pixart_text=kind == "t5")
    mine, theirs = CaptionTokenizer(folder), AutoTokenizer.from_pretrained(folder.tokenizer)
    for text in (*PROMPTS, " Red APPLE ", "りんご " * 200, "a\u3000b\tc", "🍣寿司🍣"):
        given = text.lower().strip() if kind == "t5" else text
        ids, mask, cut = mine.ids(text)
        assert ids == theirs(given, truncation=True, max_length=folder.max_tokens)["input_ids"]
        assert mask == [1] * len(ids)
        assert cut == (len(theirs(given, verbose=False)["input_ids"]) > folder.max_tokens)
    if kind == "calm2":  # no marks: the caption of nothing is its padding, masked
        padded = theirs("", padding="max_length", truncation=True, max_length=folder.max_tokens)
        assert mine.ids("") == (padded["input_ids"], padded["attention_mask"], False)


def test_features_are_those_of_torch_and_are_stored(
    pair: tuple[TorchBackend, OnnxBackend], folders: tuple[Path, Path], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = OnnxBackend(open_model(str(folders[1])), device="cpu")
    texts = [*PROMPTS, "", "りんご " * 200]
    want, got = pair[0].encode(texts), backend.encode(texts)
    for text in texts:
        assert (got[text].tokens, got[text].cut) == (want[text].tokens, want[text].cut)
        np.testing.assert_allclose(got[text].states, want[text].states.numpy(), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr("engine.backends.onnx.encode.Encoder._encode", lambda *_: pytest.fail("encoded again"))
    again = OnnxBackend(open_model(str(folders[1])), device="cpu").encode(texts)
    assert all(np.array_equal(again[t].states, got[t].states) for t in texts)
    store = FeatureStore(backend.hashes["text_encoder"], f"onnx-{backend.dtype}")
    text = texts[0]
    file = file_of(own_home / "cache" / "text" / part_of(backend.hashes["text_encoder"], f"onnx-{backend.dtype}"), text)
    with safe_open(file, "np") as f:  # written without the library, read by it
        assert np.array_equal(f.get_tensor("states"), got[text].states)
        assert f.metadata() == {"cut": str(int(got[text].cut))}
    complete = file.read_bytes()
    for damaged in (
        complete[:-1],
        complete[:40],
        complete.replace(b"F32", b"F64"),
        complete[:8] + b"[" * (len(complete) - 8),
        b"",
        b"nonsense",
    ):
        file.write_bytes(damaged)
        assert store.get(text) is None and set(store.get_many(texts)) == set(texts) - {text}
    half = Feature(np.arange(6, dtype=np.float16).reshape(2, 3), True)
    store.put(text, half)
    stored = store.get(text)
    assert stored and np.array_equal(stored.states, half.states) and stored.states.dtype == np.float16 and stored.cut


# pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"guidance": 1.0},
        {"width": 40, "height": 24, "sampler": "euler-a"},
        {"sampler": "lms", "negative": "cat"},
        {"steps": 20, "sampler": "dpm++2m-sde"},
    ],
    ids=str,
)
def test_pictures_are_those_of_torch(pair: tuple[TorchBackend, OnnxBackend], settings: dict[str, Any]) -> None:
    requests = [
        ask(2**40 + i, p, **({"guidance": 3.0 + i} | settings)) for i, p in enumerate((*PROMPTS, "", "りんご " * 200))
    ]
    (want, pixels), (got, mine) = make(pair[0], *requests), make(pair[1], *requests)
    assert float(np.abs(got - want).max() / np.abs(want).max()) < 1e-4
    for i in range(len(requests)):
        assert psnr(mine[i], pixels[i]) >= 45
    assert psnr(mine[0], mine[1]) < 30


@pytest.mark.parametrize("cores", [1, 3])
def test_neighbours_do_not_change_a_picture(
    pair: tuple[TorchBackend, OnnxBackend], folders: tuple[Path, Path], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
    backend = OnnxBackend(open_model(str(folders[1])), device="cpu")
    requests = [ask(5 + i, p) for i, p in enumerate(PROMPTS)]
    together = make(backend, *requests)[0]
    for i, request in enumerate(requests):
        np.testing.assert_allclose(make(backend, request)[0][0], together[i], rtol=1e-3, atol=1e-4)
    first = make(backend, requests[1])
    make(backend, *requests)
    again = make(backend, requests[1])
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1]), (
        "alone it is the same to the last bit"
    )


def test_latents_on_a_device_give_the_same(pair: tuple[TorchBackend, OnnxBackend]) -> None:
    """What runs on CUDA, here in the CPU's memory: samplers compute with bound values."""
    backend = pair[1]
    for settings in ({"sampler": "euler-a"}, {"sampler": "unipc", "guidance": 1.0}, {}):
        requests = [ask(1, **settings), ask(2, PROMPTS[2], **settings)]
        want, pixels = make(backend, *requests)
        backend._math = backend._array_math(False)
        try:
            settled = [settle(r, backend.folder) for r in requests]
            latents = denoise_batch(backend, settled, encode(backend, settled))
            assert isinstance(latents, DeviceArray)
            assert latents.shape == want.shape
            np.testing.assert_allclose(np.asarray(latents), want, rtol=1e-5, atol=1e-5)
            assert np.array_equal(decode(backend, latents), pixels)
        finally:
            backend._math = None


def test_tiled_decoding_is_close(pair: tuple[TorchBackend, OnnxBackend]) -> None:
    latents, pixels = make(pair[1], ask(1, width=160, height=96, steps=2))
    assert psnr(pair[1].decode(latents, tiled=True), pixels) > 25
    for length, tile in ((8, 8), (9, 8), (64, 8), (63, 8), (5, 8)):
        begins = tile_starts(length, tile)
        assert begins[0] == 0 and begins[-1] + tile >= length
        assert all(0 < b - a <= tile - tile // 4 for a, b in pairwise(begins))


def test_what_is_no_number_is_refused(pair: tuple[TorchBackend, OnnxBackend]) -> None:
    with pytest.raises(NotFinite):
        pair[1].decode(np.full((1, 4, 8, 8), np.nan, np.float32))


def test_memory_that_runs_out_is_told_by_words() -> None:
    """ONNX Runtime has no class for it."""

    class Fail(RuntimeError):
        pass

    Fail.__module__ = "onnxruntime.capi.onnxruntime_pybind11_state"
    assert sessions.is_out_of_memory(
        Fail(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : ... bfc_arena.cc: "
            "Failed to allocate memory for requested buffer"
        )
    )
    assert sessions.is_out_of_memory(
        RuntimeError("Error in execution: ... BFCArena::AllocateRawInternal ... Failed to allocate")
    )
    assert sessions.is_out_of_memory(MemoryError())
    assert not sessions.is_out_of_memory(Fail("Invalid input name"))
    assert not sessions.is_out_of_memory(ValueError("out of memory"))


# what is refused --------------------------------------------------------------------------------------------------


def test_an_export_that_was_changed_is_refused(copy: Path) -> None:
    OnnxBackend(open_model(str(copy)), device="cpu")
    graph = copy / "transformer" / "model.onnx"
    data = bytearray(graph.read_bytes())
    at = max((t for t in tensors_of(graph) if not t.location), key=lambda t: t.stop - t.start)
    data[at.start] ^= 1
    graph.write_bytes(data)
    with pytest.raises(ExportAltered) as e:
        OnnxBackend(open_model(str(copy)), device="cpu")
    assert str(graph) in str(e.value)
    assert verify(open_model(str(copy)))["error"]["kind"] == "export-altered"
    (copy / "commonart_export.json").unlink()  # then there is nothing to compare with: it runs, and says so
    assert any("commonart_export.json" in note for note in OnnxBackend(open_model(str(copy)), device="cpu").notes)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "gone"])
def test_damaged_graphs_are_told(copy: Path, damage: str) -> None:
    graph = copy / "vae_decoder" / "model.onnx"
    (copy / "commonart_export.json").unlink()
    if damage == "gone":
        graph.unlink()
    else:
        graph.write_bytes({"cut": graph.read_bytes()[:-1000], "text": b"hello there", "empty": b""}[damage])
    with pytest.raises(BrokenWeights) as e:
        open_backend(open_model(str(copy)))
    assert "vae_decoder" in str(e.value)


def test_weights_beside_a_graph_must_lie_beside_it(copy: Path) -> None:
    import onnx

    graph = copy / "text_encoder" / "model.onnx"
    whole = onnx.load(graph)
    onnx.save(whole, graph, save_as_external_data=True, location="model.onnx_data", size_threshold=16)
    model = open_model(str(copy))
    assert {t.location for t in tensors_of(graph)} >= {"model.onnx_data"}
    before = model.hashes()
    beside = graph.with_name("model.onnx_data")
    data = bytearray(beside.read_bytes())
    data[100] ^= 1
    beside.write_bytes(data)
    os.utime(beside, ns=(1, 1))
    assert model.hashes()["text_encoder"] != before["text_encoder"], "the weights count, not the graph alone"
    beside.write_bytes(data[:-8])
    with pytest.raises(BrokenWeights, match="bytes long"):
        open_model(str(copy))
    beside.unlink()
    with pytest.raises(BrokenWeights, match=r"model.onnx_data"):
        open_model(str(copy))
    whole = onnx.load(graph, load_external_data=False)
    for tensor in whole.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../secret" if entry.key == "location" else entry.value
    onnx.save(whole, graph)
    with pytest.raises(BrokenWeights, match="outside its folder"):
        open_model(str(copy))


def test_what_an_export_cannot_do_is_told(folders: tuple[Path, Path], tmp_path: Path) -> None:
    torch_folder, folder = (open_model(str(f)) for f in folders)
    assert (torch_folder.layout, folder.layout) == ("pipeline", "onnx")
    assert open_backend(folder).name == "onnx"
    with pytest.raises(FeatureMissing, match="is an exported model"):
        open_backend(folder, kind="pytorch")
    with pytest.raises(FeatureMissing, match="commonart export tiny"):
        open_backend(torch_folder, kind="onnx")
    with pytest.raises(BadValue, match="exported in fp32"):
        open_backend(folder, dtype="bf16")
    with pytest.raises(NotAModel, match="fixed"):
        open_model(str(folders[1]), vae=str(folders[0]))
    lora = make_lora(tmp_path / "x.safetensors", {"transformer_blocks.0.attn1.to_q": (32, 32)})
    with pytest.raises(FeatureMissing, match="--lora"):
        open_backend(folder, loras=[open_lora(str(lora), 1.0, folder)])


# devices ----------------------------------------------------------------------------------------------------------


def test_providers_count_by_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sessions.working_devices()[-1] == "cpu"
    assert choose_device("cpu") == Device("cpu") and not choose_device("cpu").notes
    for wrong in ("mps", "cpu:1", "cuda:x", "", "gpu"):
        with pytest.raises(NoDevice):
            choose_device(wrong)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(sessions, "failure_reason", lambda d: None if d.name == "cpu" else "libcublasLt.so is missing")
    fallen = choose_device("cuda:1")
    assert (fallen.name, len(fallen.notes)) == ("cpu", 1)
    assert "libcublasLt" in fallen.notes[0]
    monkeypatch.setattr(sessions, "nvidia_gpus", lambda: None)
    assert choose_device("auto").notes == (), "nobody misses a card that is not there"
    monkeypatch.setattr(sessions, "nvidia_gpus", lambda: [{"name": "L4", "bytes": 1}])
    assert len(choose_device("auto").notes) == 1
    with pytest.raises(NoDevice, match="does not know it"):
        choose_device("openvino")
    monkeypatch.setattr(sessions, "failure_reason", lambda d: None)
    monkeypatch.setattr(sessions, "nvidia_gpus", lambda: [{"name": "L4", "bytes": 1}] * 2)
    assert [choose_device(f"auto:{n}").label for n in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_listed_provider_without_its_device_is_found_out(capfd: pytest.CaptureFixture[str]) -> None:
    """onnxruntime-gpu lists CUDA on every machine."""
    for name in sessions.devices_of_build():
        assert (sessions.failure_reason(Device(name)) is None) == (name in sessions.working_devices())
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    assert "cuda" not in sessions.working_devices()
    assert capfd.readouterr() == ("", ""), "ONNX Runtime says nothing by itself"


# the whole program ------------------------------------------------------------------------------------------------


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes in which the heavy libraries are not installed, and that may not use the network."""
    site = tmp_path / "site"
    site.mkdir()
    site.joinpath("sitecustomize.py").write_text(
        (ROOT / "tests" / "offline" / "sitecustomize.py").read_text(encoding="utf-8")
        + f"""
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split(".")[0])


sys.meta_path.insert(0, Refuse())
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(site))


def commonart(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commonart_desktop", *args], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120
    )


def test_pictures_without_torch_on_the_command_line(
    without_torch: None, folders: tuple[Path, Path], tmp_path: Path, pair: tuple[TorchBackend, OnnxBackend]
) -> None:
    from engine.imagefile.image import read_pixels, read_recipe

    assert "torch" in commonart("generate", "x", "--model", str(folders[0]), "--out", str(tmp_path / "no")).stderr, (
        "PyTorch is truly missing"
    )
    done = commonart(
        "generate",
        PROMPTS[0],
        PROMPTS[1],
        "--model",
        str(folders[1]),
        "--backend",
        "onnx",
        "--out",
        str(tmp_path / "out"),
        "--seed",
        "11",
        "--steps",
        "6",
        "--size",
        "32",
        "--json",
        "--quiet",
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["backend"] for r in rows] == ["onnx", "onnx"]
    assert [r["dtype"] for r in rows] == ["fp32", "fp32"]
    assert {r["prompt"] for r in rows} == set(PROMPTS[:2])
    for row in rows:
        assert psnr(read_pixels(Path(row["path"])), make(pair[0], ask(row["seed"], row["prompt"]))[1][0]) >= 45
        told = read_recipe(Path(row["path"]))["backend"]["libraries"]
        assert {"onnxruntime", "tokenizers", "provider", "threads"} <= told.keys() and "torch" not in told


def test_the_worker_drains_a_queue(
    without_torch: None, folders: tuple[Path, Path], tmp_path: Path, own_home: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with_preview = ["--preview", "1"]
    ledger = Ledger(tmp_path / "ledger.db")
    requests = [
        ImageRequest(
            prompt=p, seed=i, model=str(folders[1]), width=32, height=32, steps=8, out=str(out), deterministic=i == 3
        )
        for i, p in enumerate((*PROMPTS, "cat"))
    ]
    requests.append(
        ImageRequest(prompt="x", seed=1, model=str(folders[0]), steps=1, out=str(out))
    )  # fails alone: it needs PyTorch
    ledger.add_job("test", requests)
    ledger.close()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "engine.worker",
            str(tmp_path / "ledger.db"),
            "--until-empty",
            "--device",
            "auto",
            "--detached",
            *with_preview,
        ],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(e["event"] == "saved" for e in events) == 5
    assert [e["error"]["kind"] for e in events if e["event"] == "failed"] == ["missing-library"]
    assert any(e.get("preview") for e in events), "previews need no PyTorch either"
    assert next(e for e in events if e["event"] == "loaded")["backend"] == "onnx"
    assert len(list(out.rglob("*.png"))) == 5


def test_models_programs_know_exports(folders: tuple[Path, Path], own_home: Path, without_torch: None) -> None:
    shutil.copytree(folders[1], own_home / "models" / "mine")
    listed = json.loads(commonart("models", "list", "--json").stdout)
    mine = next(m for m in listed if m["name"] == "mine")
    assert mine["problem"] is None and mine["own_side"] == 32
    told = info(open_model("mine"))
    assert told["layout"] == "onnx" and told["parts"]["denoiser"]["dtype"] == "fp32"
    assert told["parts"]["denoiser"]["parameters"] > 10_000
    assert set(told["memory"]) >= {"fp32", "ram"} and "bf16" not in told["memory"]
    assert commonart("models", "info", "mine").returncode == 0
    answer = verify(open_model("mine"))
    assert "error" not in answer and {"export-hashes", "channels", "tokenizer"} <= set(answer["checks"])


@pytest.fixture(scope="module", autouse=True)
def quiet_transformers() -> Callable[[], None] | None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    return None
