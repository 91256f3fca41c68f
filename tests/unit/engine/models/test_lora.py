"""LoRAs: every key style gives W + scale * alpha / rank * B A, merged or beside; those of other models are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.lora import open_lora
from engine.checkpoint.lora_library import list_loras
from engine.checkpoint.pixart_layers import layers_of
from engine.contract.errors import BrokenWeights, LoraForOther, UnknownLora
from engine.contract.recipe import request_of
from engine.contract.request import ImageRequest
from engine.models.pixart import DiT
from tests.support.sentences import ROOT
from tests.support.tiny_models import make_lora, make_pipeline

CPU, FP32 = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return identify(make_pipeline(tmp_path_factory.mktemp("lora") / "tiny"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def some(folder: ModelFolder) -> dict[str, tuple[int, ...]]:
    return {
        k: v
        for k, v in layers_of(folder.denoiser_config).items()
        if k.endswith(("to_q", "to_out.0", "ff.net.2", "linear_1"))
    }


def drawn(model: DiT) -> torch.Tensor:
    noise = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        captions = model.captions([torch.randn(5, model.config.caption_channels, generator=noise)])
        return model(torch.randn(1, 4, 8, 8, generator=noise), torch.tensor([500.0]), captions)


def test_layers_are_those_of_the_model(folder: ModelFolder) -> None:
    model = load_denoiser(folder, CPU, FP32)
    assert layers_of(folder.denoiser_config) == {
        n: tuple(m.weight.shape) for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))
    }


@pytest.mark.parametrize("style", ["diffusers", "peft", "kohya"])
@pytest.mark.parametrize("alpha", [None, 2.0])
def test_what_is_added_to_the_weights(folder: ModelFolder, tmp_path: Path, style: str, alpha: float | None) -> None:
    file = make_lora(tmp_path / "x.safetensors", some(folder), style=style, alpha=alpha)
    plain = load_denoiser(folder, CPU, FP32)
    merged = load_denoiser(folder, CPU, FP32, [open_lora(str(file), 0.5, folder)])
    from safetensors.torch import load_file

    tensors = load_file(file)
    changed = 0
    for name, before in plain.state_dict().items():
        module = name.removesuffix(".weight")
        after = merged.state_dict()[name]
        stem = {
            "diffusers": f"transformer.{module}",
            "peft": f"base_model.model.{module}",
            "kohya": "lora_transformer_" + module.replace(".", "_"),
        }[style]
        down = tensors.get(f"{stem}.{'lora_down' if style == 'kohya' else 'lora_A'}.weight")
        if down is None:
            assert torch.equal(before, after)
            continue
        up = tensors[f"{stem}.{'lora_up' if style == 'kohya' else 'lora_B'}.weight"]
        torch.testing.assert_close(
            after, before + 0.5 * (4 if alpha is None else alpha) / 4 * (up @ down), rtol=1e-5, atol=1e-5
        )
        changed += 1
    assert changed == len(some(folder))


def test_several_merged_or_beside_give_the_same(folder: ModelFolder, tmp_path: Path) -> None:
    one, two = (make_lora(tmp_path / f"{n}.safetensors", some(folder), seed=n, alpha=8.0) for n in (1, 2))
    loras = [open_lora(str(one), 0.7, folder), open_lora(str(two), -0.3, folder)]
    plain = drawn(load_denoiser(folder, CPU, FP32))
    merged, beside = (drawn(load_denoiser(folder, CPU, FP32, loras, merged=m)) for m in (True, False))
    torch.testing.assert_close(merged, beside, rtol=1e-4, atol=1e-4)
    assert (merged - plain).abs().max() > 0.05
    nothing = drawn(load_denoiser(folder, CPU, FP32, [open_lora(str(one), 0.0, folder)]))
    assert torch.equal(nothing, plain)


def test_those_of_other_models_are_refused(folder: ModelFolder, tmp_path: Path, home: Path) -> None:
    def refused(layers: dict[str, tuple[int, ...]]) -> str:
        with pytest.raises(LoraForOther) as e:
            open_lora(str(make_lora(tmp_path / "bad.safetensors", layers)), 1, folder)
        return str(e.value)

    assert "transformer_blocks.7.attn1.to_q" in refused({"transformer_blocks.7.attn1.to_q": (32, 32)})
    assert "[48, 48]" in refused({"transformer_blocks.0.attn1.to_q": (48, 48)})
    with pytest.raises(UnknownLora, match="nothing"):
        open_lora("nothing", 1, folder)
    cut = make_lora(tmp_path / "cut.safetensors", some(folder))
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(BrokenWeights):
        open_lora(str(cut), 1, folder)
    assert open_lora(
        str(make_lora(tmp_path / "o.safetensors", some(folder), told={"base_model_sha256": "0" * 64})), 1, folder
    ).strange


def test_from_the_command_line_to_the_recipe(folder: ModelFolder, tmp_path: Path, home: Path) -> None:
    told = {
        "base_model_sha256": folder.hashes()["denoiser"],
        "dataset_sha256": "d" * 64,
        "licences": json.dumps({"CC0-1.0": 24}),
    }
    make_lora(home / "loras" / "和風.safetensors", some(folder), told=told)
    assert [(one["name"], one["rank"], one["licences"]) for one in list_loras()] == [("和風", 4, {"CC0-1.0": 24})]

    def made(*words: str) -> list[dict[str, object]]:
        got = subprocess.run(
            [
                sys.executable,
                "-m",
                "commonart_desktop",
                "generate",
                *words,
                "--model",
                str(folder.root),
                "--seed",
                "3",
                "--steps",
                "3",
                "--out",
                str(tmp_path / "out"),
                "--json",
                "--quiet",
            ],
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert got.returncode == 0, got.stderr
        return sorted((json.loads(line) for line in got.stdout.splitlines()), key=lambda r: int(r["id"]))

    rows = tmp_path / "rows.jsonl"  # one process for both: each row has its own
    rows.write_text(
        json.dumps({"prompt": "a cat"})
        + "\n"
        + json.dumps({"prompt": "a cat", "loras": "和風:0.5"}, ensure_ascii=False),
        encoding="utf-8",
    )
    plain, with_lora = made("--from", str(rows))
    beside = made("a cat", "--lora", "和風:0.5", "--lora-beside")[0]
    assert plain["seed"] == with_lora["seed"] and plain["pixel_sha256"] != with_lora["pixel_sha256"]
    assert beside["loras"] != with_lora["loras"]
    from engine.imagefile.image import read_parameters, read_recipe

    recipe = read_recipe(Path(str(with_lora["path"])))
    assert recipe["loras"][0]["licences"] == {"CC0-1.0": 24} and recipe["loras"][0]["scale"] == 0.5
    assert request_of(recipe).loras == (("和風", 0.5),)
    assert "Lora hashes" in read_parameters(Path(str(with_lora["path"])))
    again = subprocess.run(
        [
            sys.executable,
            "-m",
            "commonart_desktop",
            "generate",
            "--like",
            str(with_lora["path"]),
            "--model",
            str(folder.root),
            "--out",
            str(tmp_path / "out"),
            "--json",
            "--quiet",
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert json.loads(again.stdout)["pixel_sha256"] == with_lora["pixel_sha256"]


def test_a_recipe_names_no_file(folder: ModelFolder) -> None:
    from engine.contract.errors import BadValue

    request = ImageRequest(prompt="a", seed=1, loras=(("/etc/x.safetensors", 1.0),))
    assert ImageRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    recipe = {
        "commonart": 1,
        "app": "x",
        "request": request.to_dict() | {"model": "m"},
        "hashes": {"denoiser": "0"},
        "batch": [1, 0],
        "pixel_sha256": "0",
        "backend": {"backend": "pytorch", "device": "cpu", "dtype": "fp32"},
    }
    with pytest.raises(BadValue):
        request_of(recipe)


def test_a_peft_folder_and_a_sub_path_from_the_command_line(folder: ModelFolder, tmp_path: Path, home: Path) -> None:
    """A folder given from where it lies.

    Two of one name, asked and then told apart; and the images made again from their recipes.
    """
    from engine.imagefile.image import read_recipe

    for place, seed in (("a", 1), ("b", 2)):
        make_lora(home / "loras" / place / "ink.safetensors", some(folder), seed=seed)
    make_lora(tmp_path / "peft" / "adapter_model.safetensors", some(folder), style="peft", size=0.3)
    (tmp_path / "peft" / "adapter_config.json").write_text(
        '{"r": 4, "lora_alpha": 2, "use_rslora": true}', encoding="utf-8"
    )
    (tmp_path / "a").mkdir()  # a folder of that name without an adapter hides nothing

    def run(*words: str) -> tuple[int, list[dict[str, object]], str]:
        got = subprocess.run(
            [
                sys.executable,
                "-m",
                "commonart_desktop",
                "generate",
                *words,
                "--model",
                str(folder.root),
                "--out",
                str(tmp_path / "out"),
                "--json",
                "--quiet",
            ],
            capture_output=True,
            encoding="utf-8",
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        return got.returncode, [json.loads(line) for line in got.stdout.splitlines()], got.stderr

    common = ("cat", "--seed", "3", "--steps", "2")
    status, rows, said = run(*common, "--lora", "ink")
    assert status != 0 and rows[0]["error"]["kind"] == "ambiguous-lora" and "a/ink, b/ink" in said
    seen = set()
    for name in ("peft", "a/ink", "b/ink"):
        status, rows, said = run(*common, "--lora", f"{name}:0.5")
        assert status == 0, said
        seen.add(rows[0]["pixel_sha256"])
        recipe = read_recipe(Path(str(rows[0]["path"])))
        assert recipe["loras"][0]["name"] == name and ("adapter_config_sha256" in recipe["loras"][0]) == (
            name == "peft"
        )
        if name == "b/ink":
            assert run("--like", str(rows[0]["path"]))[1][0]["pixel_sha256"] == rows[0]["pixel_sha256"]
    assert len(seen) == 3
