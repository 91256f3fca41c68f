"""Export to ONNX: graphs equal to PyTorch, a check that refuses others, and nothing half-written left behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from commonart_desktop.cli import export as command
from engine.backends.factory import open_backend
from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.lora import open_lora
from engine.checkpoint.onnxfile import MANIFEST, check_promised
from engine.checkpoint.pixart_layers import layers_of
from engine.contract.errors import (
    CommonArtError,
    ExportAltered,
    ExportOut,
    LoraForOther,
    NotExportable,
    ParityMissed,
    TooLittleDisk,
    TooLittleMemory,
    from_wire,
)
from engine.export import graph_parity, part_export, preflight
from engine.export.exporter import export, worst_error
from engine.export.graphs import Denoiser
from engine.export.layout import remove_stale, staged_folder
from engine.export.preflight import ExportRequest
from tests.support.tiny_models import make_lora, make_pipeline

CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def small(folder: Path, kind: str, **changes: Any) -> Path:
    """A pipeline as small as it gets: one block, a VAE of two stages."""
    from diffusers import AutoencoderKL

    make_pipeline(folder, kind, num_layers=1, **changes)
    shutil.rmtree(folder / "vae")
    torch.manual_seed(2)
    AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=32,
        scaling_factor=0.7,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).save_pretrained(folder / "vae")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    root = small(tmp_path_factory.mktemp("source") / "tiny", "llama")
    (root / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# tiny\n", encoding="utf-8")
    (root / "ATTRIBUTION.csv").write_text("title,creator\n海,A\n", encoding="utf-8")
    (root / "LICENSES").mkdir()
    (root / "LICENSES" / "CC0-1.0.txt").write_text("CC0", encoding="utf-8")
    return identify(root)


@pytest.fixture(scope="module")
def lora(source: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    layers = {
        k: v for k, v in layers_of(source.denoiser_config).items() if k.endswith(("to_q", "ff.net.2", "proj_out"))
    }
    return make_lora(tmp_path_factory.mktemp("lora") / "和風.safetensors", layers)


@pytest.fixture(scope="module")
def exported(source: ModelFolder, lora: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "書き出し"
    steps: list[tuple[int, int]] = []
    answer = export(
        ExportRequest(model=str(source.root), out=out, loras=((str(lora), 0.5),)),
        lambda done, total: steps.append((done, total)),
    )
    assert steps[-1][0] == steps[-1][1] and [s for s, _ in steps] == list(range(steps[-1][1] + 1))
    return out, answer


@pytest.fixture
def copied(exported: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The slow tracing replaced by graphs that are there already; everything else is real.

    Returns what may spoil one.
    """
    spoil: dict[str, Any] = {}

    def copy(module: Any, config: Any, file: Path, **shapes: int) -> None:
        shutil.copyfile(exported[0] / file.parent.name / file.name, file)
        if file.parent.name in spoil:
            spoil[file.parent.name](file)

    monkeypatch.setattr(part_export, "write_graph", copy)
    return spoil


def nothing_left(out: Path) -> bool:
    return not out.exists() and not list(out.parent.glob(out.name + ".part-*"))


def test_what_lies_in_the_folder(exported: tuple[Path, dict[str, Any]], source: ModelFolder, lora: Path) -> None:
    out, answer = exported
    assert list(out.parent.iterdir()) == [out]
    index = json.loads((out / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "PixArtSigmaPipeline" and index["vae_decoder"][1] == "ORTVaeDecoder"
    names = {
        "transformer": (
            ["hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep"],
            ["out_hidden_states"],
        ),
        "text_encoder": (["input_ids", "attention_mask"], ["last_hidden_state"]),
        "vae_decoder": (["latent_sample"], ["sample"]),
        "vae_encoder": (["sample"], ["latent_parameters"]),
    }
    for part, (into, from_it) in names.items():
        graph = graph_parity.open_session(out / part / "model.onnx")
        assert ([i.name for i in graph.get_inputs()], [o.name for o in graph.get_outputs()]) == (into, from_it)
        assert isinstance(graph.get_inputs()[0].shape[0], str) and (out / part / "config.json").is_file()
    for carried in (
        "ATTRIBUTION.csv",
        "LICENSES/CC0-1.0.txt",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ):
        assert (out / carried).is_file()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: cc0-1.0") and source.hashes()["denoiser"] in card and "和風 at 0.5" in card
    check_promised(out)
    manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    assert {"transformer/model.onnx", "README.md", "parity.json", "parity/01-onnx.png"} <= manifest["files"].keys()
    assert (
        manifest["loras"][0]["name"] == "和風"
        and manifest["dtypes"]["transformer"] == "fp32"
        and manifest["hashes"] == source.hashes()
    )
    report = json.loads((out / "parity.json").read_text(encoding="utf-8"))
    assert report["good"] and report == answer["parity"] | {"files": report["files"]}
    assert all(row["rms"] < 1e-5 for part in report["parts"] for row in part["rows"]) and len(report["parts"]) == 4
    assert report["pictures"]["least_psnr"] >= 45 and not report["pictures"]["changed_share"]
    assert all((out / row[side]).is_file() for row in report["pictures"]["rows"] for side in ("pytorch", "onnx"))
    assert (
        all(report["memory"][part]["peak_bytes"] > 0 for part in names)
        and report["memory"]["pictures"]["onnx_peak_bytes"] > 0
    )
    assert not (out / ".work").exists() and not (out / ".export-lock").exists()


def test_the_lora_is_in_the_graph_and_any_size_is_exact(
    exported: tuple[Path, dict[str, Any]], source: ModelFolder, lora: Path
) -> None:
    graph = graph_parity.open_session(exported[0] / "transformer" / "model.onnx")
    plain, merged = (
        Denoiser(load_denoiser(source, CPU, FP32, loras)) for loras in ([], [open_lora(str(lora), 0.5, source)])
    )
    torch.manual_seed(0)
    for height, width, tokens in ((2, 74, 1), (34, 6, 33)):
        inputs = {
            "hidden_states": torch.randn(2, 4, height, width),
            "encoder_hidden_states": torch.randn(2, tokens, 32),
            "encoder_attention_mask": (torch.arange(tokens) < torch.tensor([[tokens], [1]])).long(),
            "timestep": torch.tensor([999.0, 0.25]),
        }
        got = graph_parity.run_graph(graph, {k: v.numpy() for k, v in inputs.items()})
        with torch.inference_mode():
            assert graph_parity.relative_errors(merged(**inputs).numpy(), got)["max"] < 1e-5
            assert graph_parity.relative_errors(plain(**inputs).numpy(), got)["max"] > 1e-2


def stage(folder: ModelFolder, part: str, dtype: str, work: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    job = {
        "source": {
            "root": str(folder.root),
            "text_encoder": str(folder.text_encoder),
            "vae": str(folder.vae),
            "name": folder.name,
        },
        "loras": [],
        "out": str(work),
        "part": part,
        "dtype": dtype,
        "file": str(work / part / "model.onnx"),
        "reference": str(work / f"{part}.npz"),
        "fp16_reference": False,
    }
    (work / part).mkdir(parents=True)
    assert not part_export.export_graph(job)["overflow"]
    return job, graph_parity.check(job)


@pytest.mark.slow  # traces graphs of its own
def test_t5_in_half_precision(tmp_path: Path) -> None:
    _, checked = stage(identify(small(tmp_path / "sigma", "sigma")), "text_encoder", "fp16", tmp_path)
    assert checked["good"] and 1e-5 < max(row["rms"] for row in checked["rows"]) < 1e-2


@pytest.mark.slow  # traces graphs of its own
def test_alpha_reads_sizes_and_a_broken_graph_is_noticed(tmp_path: Path) -> None:
    folder = identify(small(tmp_path / "alpha", "alpha"))
    job, checked = stage(folder, "transformer", "fp32", tmp_path)
    assert checked["good"] and {"resolution", "aspect_ratio"} <= checked["rows"][0]["shapes"].keys()
    scale_a_weight(Path(job["file"]))
    assert not graph_parity.check(job)["good"]


def scale_a_weight(file: Path) -> None:
    model = onnx.load(file)
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) * 1.01).tobytes()
    onnx.save(model, file)


def test_an_export_that_is_not_exact_is_removed(
    copied: dict[str, Any], source: ModelFolder, lora: Path, tmp_path: Path
) -> None:
    copied["transformer"] = scale_a_weight
    with pytest.raises(ParityMissed) as e:
        export(ExportRequest(model=str(source.root), out=tmp_path / "out", loras=((str(lora), 0.5),)))
    assert e.value.exit_status == 1 and "transformer" in str(e.value) and nothing_left(tmp_path / "out")
    told = json.loads(from_wire(e.value.to_wire()).fields["parity"])  # the figures outlive the folder
    assert [(p["part"], p["good"]) for p in told["parts"]] == [
        ("text_encoder", True),
        ("transformer", False),
    ] and "pictures" not in told
    row = max(told["parts"][1]["rows"], key=lambda row: row["rms"])
    assert f"{row['rms']:.2e}" in str(e.value) and row["rms"] > told["parts"][1]["bound_rms"]


def test_which_error_is_told() -> None:
    row = {"rms": 5e-5, "max": 2e-3}
    assert worst_error({"rows": [row | {"max": 0.0}, row], "bound_rms": 1e-4, "bound_max": 1e-3}) == ("max", 2e-3, 2.0)


def test_pictures_that_differ_are_refused_too(
    copied: dict[str, Any], source: ModelFolder, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(graph_parity.RMS_BOUNDS, "fp32", 1.0)
    monkeypatch.setitem(graph_parity.MAX_BOUNDS, "fp32", 1.0)
    copied["vae_decoder"] = lambda file: scale_bias(file, 0.2)
    with pytest.raises(
        ParityMissed, match=r"pictures.* dB; of the graphs vae_decoder is furthest from PyTorch, .*, the bound is 45 dB"
    ) as e:
        export(ExportRequest(model=str(source.root), out=tmp_path / "out", loras=((str(lora), 0.5),)))
    assert nothing_left(tmp_path / "out")
    told = json.loads(from_wire(e.value.to_wire()).fields["parity"])
    assert (
        len(told["parts"]) == 4
        and [r["good"] for r in told["pictures"]["rows"]] == [False] * 4
        and told["pictures"]["least_psnr"] < 45
    )


def scale_bias(file: Path, by: float) -> None:
    model = onnx.load(file)
    tensor = next(t for t in model.graph.initializer if list(t.dims) == [3])
    tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) + np.float32(by)).tobytes()
    onnx.save(model, file)


def test_eight_bits_are_measured_and_stated(
    copied: dict[str, Any], exported: tuple[Path, dict[str, Any]], source: ModelFolder, lora: Path, tmp_path: Path
) -> None:
    report = export(
        ExportRequest(model=str(source.root), out=tmp_path / "out", quantize="int8", loras=((str(lora), 0.5),))
    )["parity"]
    assert [p["dtype"] for p in report["parts"]] == ["int8", "int8", "fp32", "fp32"]
    assert 1e-4 < max(row["rms"] for row in report["parts"][1]["rows"]) < 0.2
    assert 0 <= report["pictures"]["changed_share"] <= 1 and len(report["pictures"]["rows"]) == 12
    kinds = {
        n.op_type
        for n in onnx.load(tmp_path / "out" / "transformer" / "model.onnx", load_external_data=False).graph.node
    }
    assert "MatMulInteger" in kinds
    assert "%" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8").rpartition("dB against")[2]


def test_what_half_precision_cannot_hold_stays_in_fp32(
    copied: dict[str, Any], source: ModelFolder, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_export, "_overflows", lambda module, reference: isinstance(module, part_export.VaeDecoder))
    config = source.vae / "config.json"
    before = config.read_text(encoding="utf-8")
    config.write_text(before.replace('"force_upcast": true', '"force_upcast": false'), encoding="utf-8")
    try:  # the graphs are fp32 copies: only the choice is looked at
        report = export(
            ExportRequest(model=str(source.root), out=tmp_path / "out", dtype="fp16", loras=((str(lora), 0.5),))
        )["parity"]
    finally:
        config.write_text(before, encoding="utf-8")
    assert {p["part"]: p["dtype"] for p in report["parts"]} == {
        "text_encoder": "fp16",
        "transformer": "fp16",
        "vae_decoder": "fp32",
        "vae_encoder": "fp16",
    }
    assert report["parts"][2]["fp16_missed"] == "overflow" and report["pictures"]["bound_psnr"] == 30


def test_a_file_edited_by_hand_is_noticed(exported: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    edited = shutil.copytree(exported[0], tmp_path / "edited")
    scale_a_weight(edited / "transformer" / "model.onnx")
    with pytest.raises(ExportAltered, match="SHA-256"):
        open_backend(identify(edited), kind="onnx", device="cpu")
    check_promised(exported[0], remembered=False)
    (edited / "vae_decoder" / "model.onnx").unlink()
    with pytest.raises(CommonArtError):
        open_backend(identify(edited), kind="onnx", device="cpu")


def test_what_is_refused_before_work_starts(
    exported: tuple[Path, dict[str, Any]], source: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def refused(kind: type[CommonArtError], **changes: Any) -> str:
        with pytest.raises(kind) as e:
            export(ExportRequest(**{"model": str(source.root), "out": out} | changes))
        assert not list(tmp_path.glob("out*"))
        return str(e.value)

    assert "ONNX export already" in refused(NotExportable, model=str(exported[0]))
    refused(ExportOut, out=source.root / "vae" / "onnx")
    refused(ExportOut, out=exported[0])
    assert "part of its path" in refused(ExportOut, out=exported[0] / "README.md" / "sub")
    other = make_lora(tmp_path / "other.safetensors", {"transformer_blocks.9.attn1.to_q": (32, 32)})
    assert "transformer_blocks.9" in refused(LoraForOther, loras=((str(other), 1.0),))
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "ram_bytes", lambda: 10 << 20)
        assert "memory" in refused(TooLittleMemory)
    half = SimpleNamespace(
        request=ExportRequest(model="x", out=out, dtype="fp16"),
        parameters={"text_encoder": 10**10},
        bytes_stored={"text_encoder": 2 * 10**10},
        bytes_of=lambda name: 2 * 10**10,
    )
    with monkeypatch.context() as patch, pytest.raises(TooLittleMemory):  # float32 kernels hold more than twice as much
        patch.setattr(preflight, "ram_bytes", lambda: 40 * 10**9)
        preflight._check_memory(half)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1 << 20))
        assert "MB" in refused(TooLittleDisk)
    strange = shutil.copytree(source.root, tmp_path / "strange")
    config = json.loads((strange / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    (strange / "text_encoder" / "config.json").write_text(
        json.dumps(config | {"model_type": "mamba"}), encoding="utf-8"
    )
    assert "mamba" in refused(NotExportable, model=str(strange))
    got = subprocess.run(
        [sys.executable, "-m", "commonart_desktop", "export", str(source.root), str(exported[0]), "--json"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (
        got.returncode == 2
        and got.stderr.startswith("commonart: ")
        and "not empty" in got.stderr
        and "Traceback" not in got.stderr
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_one_that_ends_half_way_leaves_nothing(source: ModelFolder, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.export", str(source.root), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("out.part-*")) and time.monotonic() < until:
        assert child.poll() is None
    remove_stale(out)
    assert len(list(tmp_path.glob("out.part-*"))) == 1, "a living export is left alone"
    if (
        sys.platform != "win32" and how == "interrupted"
    ):  # Ctrl+C comes from the terminal and from who started it, in any order
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            child.send_signal(number)
    else:
        child.kill()
    status = child.wait(60)
    if how == "killed" or sys.platform == "win32":
        remove_stale(out)  # the next run's first deed
    else:
        assert status == 130
    assert nothing_left(out)


def test_names_are_no_patterns(tmp_path: Path) -> None:
    """What died is swept up whatever the folder is called, and a neighbour's is left alone."""
    for name in ("beta[16]", "beta1"):
        (tmp_path / f"{name}.part-01234567").mkdir()
    remove_stale(tmp_path / "beta[16]")
    assert [p.name for p in tmp_path.iterdir()] == ["beta1.part-01234567"]
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "beta[16]") as folder:
        assert folder.is_dir()
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["beta1.part-01234567"]


def test_the_command_tells_what_came_of_it(
    exported: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exported[1]["strange_loras"] == []

    def stood_in(module: str, arguments: list[str], on_progress: Any) -> dict[str, Any]:
        on_progress(0, 2)
        return exported[1] | {"ok": True, "strange_loras": ["和風"]}

    monkeypatch.setattr(command, "program", stood_in)
    asked = Namespace(
        model="x", out="y", dtype="fp32", quantize="none", lora=[], text_encoder=None, vae=None, json=False
    )
    assert command.run(asked) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert (
        lines[1].startswith("transformer: fp32, largest relative RMS error ")
        and lines[4].endswith(" dB  すし")
        and lines[-1] == exported[1]["out"]
    )
    assert "The LoRA 和風 was made for another base model" in told.err
