"""What is no adapter for this model is named for what it is, in one sentence with what to do."""

from __future__ import annotations

import json
import struct
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.lora import open_lora
from engine.checkpoint.lora_library import list_loras, locate_lora
from engine.checkpoint.pixart_layers import layers_of
from engine.contract.errors import (
    AmbiguousLora,
    BrokenWeights,
    CommonArtError,
    LoraForOther,
    NotSafetensors,
    UnknownLora,
    UnsupportedAdapter,
)
from tests.support.tiny_models import make_pipeline

Q = "transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return identify(make_pipeline(tmp_path_factory.mktemp("refused") / "tiny"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def pair(stem: str = Q, rank: int = 2, out: int = 32, into: int = 32) -> dict[str, Any]:
    return {f"{stem}.lora_A.weight": ones(rank, into), f"{stem}.lora_B.weight": ones(out, rank)}


def why(folder: ModelFolder, name: Path, kind: type[CommonArtError]) -> str:
    with pytest.raises(kind) as e:
        open_lora(str(name), 1.0, folder)
    assert type(e.value) is kind and e.value.advice
    assert "\n" not in str(e.value)
    return str(e.value)


def refused(
    folder: ModelFolder, tmp_path: Path, tensors: dict[str, Any], kind: type[CommonArtError], **words: str
) -> str:
    save_file(tensors, tmp_path / "x.safetensors", words or None)
    return why(folder, tmp_path / "x.safetensors", kind)


@pytest.mark.parametrize(
    ("data", "said", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "Git LFS pointer", "git lfs pull"),
        (b"\n<!DOCTYPE html><html><head><title>Sign in</title>", "web page", "signed in"),
        (b"\xef\xbb\xbf<HTML>", "web page", "signed in"),
        (b'{"error":"Invalid credentials"}', "JSON", "signed in"),
        (b"PK\x03\x04" + b"\0" * 26 + b"archive/data.pkl" + b"\0" * 50, "pickle", "commonart models convert"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "pickle", "commonart models convert"),
        (b"PK\x03\x04" + b"\0" * 26 + b"lora/ink.safetensors" + b"\0" * 50, "packed archive", "Unpack"),
        (b"\x1f\x8b\x08" + b"\0" * 50, "packed archive", "Unpack"),
        (b"GGUF\3\0\0\0" + b"\0" * 50, "GGUF", "safetensors"),
        (b"", "empty", "Fetch"),
    ],
)
def test_files_that_are_no_safetensors(
    folder: ModelFolder, tmp_path: Path, data: bytes, said: str, remedy: str
) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(data)
    assert said in why(folder, file, NotSafetensors)
    with pytest.raises(NotSafetensors) as e:
        open_lora(str(file), 1.0, folder)
    assert remedy in e.value.advice


def test_weights_of_a_model_that_are_a_pointer(tmp_path: Path) -> None:
    import torch

    from engine.backends.pytorch.load import load_denoiser

    root = make_pipeline(tmp_path / "m")
    file = root / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(NotSafetensors, match="Git LFS"):
        load_denoiser(identify(root), torch.device("cpu"), torch.float32)


def test_real_pickles(folder: ModelFolder, tmp_path: Path) -> None:
    """Also the one that a PEFT folder of old versions holds."""
    import torch

    (tmp_path / "peft").mkdir()
    for name, zipped in (("x.pt", True), ("y.bin", False), ("peft/adapter_model.bin", True), ("z.safetensors", True)):
        torch.save({"a": torch.ones(3)}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    for name in ("x.pt", "y.bin", "peft", "z.safetensors"):
        assert "pickle" in why(folder, tmp_path / name, NotSafetensors)


@pytest.mark.parametrize(
    ("stem", "into", "words", "base"),
    [
        ("lora_unet_down_blocks_2_attentions_0_transformer_blocks_0_attn2_to_k", 2048, {}, "SDXL"),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 768, {}, "Stable Diffusion 1"),
        ("unet.up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", 640, {}, "Stable Diffusion"),
        ("lora_unet_input_blocks_4_1_proj_in", 640, {"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        ("lora_unet_double_blocks_0_img_attn_qkv", 3072, {}, "FLUX"),
        ("transformer.single_transformer_blocks.0.attn.to_q", 3072, {}, "FLUX"),
        ("transformer.transformer_blocks.0.attn.to_q", 1536, {}, "Stable Diffusion 3"),
        ("transformer.transformer_blocks.0.img_mlp.net.2", 3072, {}, "Qwen-Image"),
        ("diffusion_model.blocks.0.self_attn.q", 1536, {}, "Wan"),
        ("base_model.model.model.layers.0.self_attn.q_proj", 4096, {}, "a language model"),
        ("diffusion_model.blocks.0.attn.qkv", 1152, {}, "PixArt's first code"),
    ],
)
def test_other_bases(
    folder: ModelFolder, tmp_path: Path, stem: str, into: int, words: dict[str, str], base: str
) -> None:
    a, b = ("lora_down", "lora_up") if stem.startswith("lora_") else ("lora_A", "lora_B")
    tensors = {f"{stem}.{a}.weight": ones(2, into), f"{stem}.{b}.weight": ones(64, 2)}
    assert base in refused(folder, tmp_path, tensors, LoraForOther, **words)
    if stem.startswith("lora_unet"):  # the text encoder's part does not hide the base
        tensors |= {k.replace("lora_unet", "lora_te_text_model_encoder"): v for k, v in tensors.items()}
        assert base in refused(folder, tmp_path, tensors, LoraForOther, **words)


def test_another_width_and_another_depth(folder: ModelFolder, tmp_path: Path) -> None:
    assert "[1152, 1152]" in refused(folder, tmp_path, pair(out=1152, into=1152), LoraForOther)
    assert "blocks.9" in refused(folder, tmp_path, pair("transformer_blocks.9.attn1.to_q"), LoraForOther)
    for stem, tensors in (
        ("loha", {"hada_w1_a": (48, 2), "hada_w1_b": (2, 48), "hada_w2_a": (48, 2), "hada_w2_b": (2, 48)}),
        ("lokr", {"lokr_w1": (6, 6), "lokr_w2": (8, 8)}),
        ("lokr", {"lokr_w1": (5, 6), "lokr_w2_a": (8, 1), "lokr_w2_b": (1, 8)}),
    ):
        named = {f"{Q}.{k}": ones(*shape) for k, shape in tensors.items()}
        assert Q in refused(folder, tmp_path, named, LoraForOther), stem


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        (f"base_model.model.{Q}.ia3_l", (32, 1), "IA3"),
        (f"lycoris_{Q.replace('.', '_')}.on_input", (1,), "IA3"),
        (f"base_model.model.{Q}.oft_R.weight", (4, 28), "OFT"),
        (f"lycoris_{Q.replace('.', '_')}.oft_blocks", (4, 8, 8), "OFT"),
        (f"base_model.model.{Q}.boft_R", (2, 4, 8, 8), "BOFT"),
        (f"lycoris_{Q.replace('.', '_')}.a1.weight", (2, 32), "GLoRA"),
        (f"lycoris_{Q.replace('.', '_')}.lambda_layer", (1, 2), "T-LoRA"),
        (f"lycoris_{Q.replace('.', '_')}.diff", (32, 32), "LyCORIS full"),
        (f"base_model.model.{Q}.vera_lambda_b", (32,), "VeRA"),
        (f"base_model.model.{Q}.lora_E", (2, 1), "AdaLoRA"),
        (f"base_model.model.{Q}.lora_B.bias", (32,), "lora_bias"),
        ("controlnet_x_embedder.weight", (4, 4), "ControlNet"),
        ("control_model.input_hint_block.0.weight", (4, 4), "ControlNet"),
        ("image_proj.proj.weight", (4, 4), "IP-Adapter"),
        ("emb_params", (4, 768), "Textual Inversion"),
    ],
)
def test_other_kinds_of_adapters(
    folder: ModelFolder, tmp_path: Path, name: str, shape: tuple[int, ...], kind: str
) -> None:
    said = refused(folder, tmp_path, {name: ones(*shape)}, UnsupportedAdapter)
    assert f"of the kind {kind}" in said or kind in said
    assert kind in refused(folder, tmp_path, {name: ones(*shape)} | pair(), UnsupportedAdapter)


def test_layers_saved_whole_beside_an_adapter(folder: ModelFolder, tmp_path: Path) -> None:
    """PEFT's modules_to_save, and bias="all"."""
    for name in ("base_model.model.proj_out.weight", f"base_model.model.{Q}.bias"):
        said = refused(folder, tmp_path, pair("base_model.model." + Q) | {name: ones(32)}, UnsupportedAdapter)
        assert name in said and "as a whole" in said


def test_weights_of_a_whole_model(folder: ModelFolder, tmp_path: Path) -> None:
    said = refused(folder, tmp_path, {f"{Q}.weight": ones(32, 32), f"{Q}.bias": ones(32)}, UnsupportedAdapter)
    assert "weights of a model" in said


@pytest.mark.parametrize(
    "stem",
    [
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
        "text_encoder.model.layers.0.self_attn.q_proj",
        "text_encoder.encoder.block.0.layer.0.SelfAttention.q",
        "lycoris_text_model_encoder_layers_0_self_attn_q_proj",
    ],
)
def test_a_text_encoders_part_is_named(folder: ModelFolder, tmp_path: Path, stem: str) -> None:
    assert "only a text encoder" in refused(folder, tmp_path, pair(stem), UnsupportedAdapter)
    said = refused(folder, tmp_path, pair(stem) | pair("transformer." + Q), UnsupportedAdapter)
    assert "the text encoder too" in said and stem in said


# damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tensor", [f"{Q}.lora_A.weight", f"{Q}.alpha"])
def test_numbers_that_are_none(folder: ModelFolder, tmp_path: Path, number: float, tensor: str) -> None:
    tensors = pair() | {f"{Q}.alpha": np.asarray(4, np.float32)}
    tensors[tensor] = np.full_like(tensors[tensor], number)
    assert tensor in refused(folder, tmp_path, tensors, BrokenWeights)


def test_not_a_number_in_eight_bits(folder: ModelFolder, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file as save

    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
        tensors = {k: torch.from_numpy(v).to(dtype) for k, v in pair().items()}
        save(tensors, tmp_path / "x.safetensors")
        open_lora(str(tmp_path / "x.safetensors"), 1.0, folder)
        tensors[f"{Q}.lora_B.weight"][3, 1] = float("nan")
        save(tensors, tmp_path / "y.safetensors")
        assert "lora_B" in why(folder, tmp_path / "y.safetensors", BrokenWeights)


def test_rank_zero(folder: ModelFolder, tmp_path: Path) -> None:
    assert "rank 0" in refused(folder, tmp_path, pair(rank=0), BrokenWeights)


def test_ranks_may_differ(folder: ModelFolder, tmp_path: Path) -> None:
    names = list(layers_of(folder.denoiser_config))[8:12]
    save_file({k: v for n, name in enumerate(names) for k, v in pair(name, n + 1).items()}, tmp_path / "x.safetensors")
    found = open_lora(str(tmp_path / "x.safetensors"), 1.0, folder)
    assert [found.layers[name].rank for name in names] == [1, 2, 3, 4]
    assert {layer.factor for layer in found.layers.values()} == {1.0}


HALVES: list[dict[str, tuple[int, ...]]] = [
    {"lora_A.weight": (2, 32)},
    {"lora_B.weight": (32, 2)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32, 3)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32,)},
    {"lora_down.weight": (2, 32), "lora_up.weight": (32, 2), "lora_mid.weight": (2, 2, 1, 1)},
    {"alpha": (1,)},
    {"dora_scale": (32, 1)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "dora_scale": (31, 1)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "lora_magnitude_vector": (31,)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "lora_magnitude_vector": (32,), "dora_scale": (32, 1)},
    {"hada_w1_a": (32, 2), "hada_w1_b": (2, 32), "hada_w2_a": (32, 2)},
    {"hada_w1_a": (32, 2), "hada_w1_b": (2, 32), "hada_w2_a": (32, 3), "hada_w2_b": (3, 32)},
    {"hada_w1_a": (2, 32), "hada_w1_b": (2, 32), "hada_w2_a": (2, 32), "hada_w2_b": (2, 32), "hada_t1": (2, 2, 1, 1)},
    {"lokr_w1": (4, 4)},
    {"lokr_w2": (8, 8)},
    {"lokr_w1": (4, 4), "lokr_w2_a": (8, 2)},
    {"lokr_w1": (4, 4), "lokr_w1_a": (4, 2), "lokr_w1_b": (2, 4), "lokr_w2": (8, 8)},
    {"lokr_w1": (4, 4), "lokr_w2": (8, 8), "lokr_w2_a": (8, 2), "lokr_w2_b": (2, 8)},
    {"lokr_w1": (4, 4), "lokr_w2_a": (8, 2), "lokr_w2_b": (3, 8)},
    {"lokr_w1_a": (4, 1), "lokr_w1_b": (1, 4), "lokr_w2_a": (8, 2), "lokr_w2_b": (2, 8)},
    {"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "lokr_w1": (4, 4), "lokr_w2": (8, 8)},
]


@pytest.mark.parametrize("parts", HALVES, ids=lambda p: ",".join(p))
def test_factors_without_their_partners(folder: ModelFolder, tmp_path: Path, parts: dict[str, tuple[int, ...]]) -> None:
    said = refused(folder, tmp_path, {f"{Q}.{k}": ones(*s) for k, s in parts.items()}, BrokenWeights)
    assert Q in said and "no partner" in said


def test_one_layer_under_two_names_and_two_adapters(folder: ModelFolder, tmp_path: Path) -> None:
    tensors = pair("transformer." + Q) | pair("unet." + Q)
    assert "twice" in refused(folder, tmp_path, tensors, BrokenWeights)
    two = {f"{Q}.lora_{x}.{name}.weight": ones(*s) for name in ("a", "b") for x, s in (("A", (2, 32)), ("B", (32, 2)))}
    assert "several adapters" in refused(folder, tmp_path, two, UnsupportedAdapter)


def test_integers_are_no_factors(folder: ModelFolder, tmp_path: Path) -> None:
    tensors = {k: v.astype(np.int8) for k, v in pair().items()}
    assert "I8" in refused(folder, tmp_path, tensors, UnsupportedAdapter)


SETTINGS: list[tuple[dict[str, Any], type[CommonArtError], str]] = [
    ({"peft_type": "IA3"}, UnsupportedAdapter, "IA3"),
    ({"peft_type": "OFT"}, UnsupportedAdapter, "OFT"),
    ({"peft_type": "LOKR", "r": 2, "alpha": 2}, BrokenWeights, "LoKr"),
    ({"r": 16, "lora_alpha": 4}, BrokenWeights, "rank 2"),
    ({"r": 2, "rank_pattern": {"to_q": 3}}, BrokenWeights, "say 3"),
    ({"r": 2, "use_dora": True}, BrokenWeights, "DoRA"),
    ({"r": 2, "lora_alpha": "4"}, BrokenWeights, "alpha"),
    ({"r": 2, "lora_alpha": float("nan")}, BrokenWeights, "alpha"),
    ({"r": 0}, BrokenWeights, "(r)"),
    ({"r": True}, BrokenWeights, "(r)"),
    ({"r": 2, "use_rslora": "yes"}, BrokenWeights, "use_rslora"),
    ({"r": 2, "alpha_pattern": ["to_q"]}, BrokenWeights, "alpha_pattern"),
    ({"r": 2, "alpha_pattern": {"to_q(": 1}}, BrokenWeights, "alpha_pattern"),
    ({"r": 2, "alpha_pattern": {"(.*)*x": 1}}, BrokenWeights, "alpha_pattern"),
    ({"r": 2, "alpha_pattern": {".*.*.*.*x": 1}}, BrokenWeights, "alpha_pattern"),
    ({"r": 2, "init_lora_weights": "pissa_niter_4"}, UnsupportedAdapter, "pissa"),
    ({"r": 2, "use_qalora": True}, UnsupportedAdapter, "use_qalora"),
]


@pytest.mark.parametrize(("given", "kind", "said"), SETTINGS, ids=lambda v: str(v)[:40])
def test_settings_that_do_not_fit(
    folder: ModelFolder, tmp_path: Path, given: dict[str, Any], kind: type[CommonArtError], said: str
) -> None:
    packed = json.dumps({f"transformer.{k}": v for k, v in given.items()})
    assert said in refused(folder, tmp_path, pair(), kind, lora_adapter_metadata=packed)
    (tmp_path / "peft").mkdir()
    save_file(pair("base_model.model." + Q), tmp_path / "peft" / "adapter_model.safetensors")
    (tmp_path / "peft" / "adapter_config.json").write_text(json.dumps(given), encoding="utf-8")
    assert said in why(folder, tmp_path / "peft", kind)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '"x"', "[" * 50_000])
def test_settings_that_are_none(folder: ModelFolder, tmp_path: Path, text: str) -> None:
    assert "settings" in refused(folder, tmp_path, pair(), BrokenWeights, lora_adapter_metadata=text)
    (tmp_path / "peft").mkdir()
    save_file(pair(), tmp_path / "peft" / "adapter_model.safetensors")
    (tmp_path / "peft" / "adapter_config.json").write_text(text, encoding="utf-8")
    assert "settings" in why(folder, tmp_path / "peft", BrokenWeights)


# names ------------------------------------------------------------------------------------------------------------


def put(home: Path, *names: str) -> None:
    for n, name in enumerate(names):
        file = home / "loras" / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(pair(rank=n + 1), file)


def test_two_files_of_one_name(folder: ModelFolder, home: Path) -> None:
    put(home, "a/ink", "b/ink", "paper")
    for name in ("ink", "ink.safetensors"):
        with pytest.raises(AmbiguousLora) as e:
            open_lora(name, 1.0, folder)
        assert "a/ink, b/ink" in e.value.advice
    for name, rank in (("a/ink", 1), ("b/ink", 2), ("b/ink.safetensors", 2), ("b\\ink", 2), ("paper", 3)):
        found = open_lora(name, 1.0, folder)
        assert {layer.rank for layer in found.layers.values()} == {rank}
        # what the recipe keeps finds the same file again
        assert (locate_lora(found.name) == found.path and "/" in found.name) or name == "paper"
    assert [one["name"] for one in list_loras()] == ["a/ink", "b/ink", "paper"]


def test_a_name_in_the_folder_itself_is_no_less_ambiguous(folder: ModelFolder, home: Path) -> None:
    put(home, "ink", "b/ink")
    with pytest.raises(AmbiguousLora) as e:
        open_lora("ink", 1.0, folder)
    assert "b/ink" in e.value.advice and "loras/ink" in e.value.advice
    for name, rank in (("b/ink", 2), ("loras/ink", 1)):
        found = open_lora(name, 1.0, folder)
        assert {layer.rank for layer in found.layers.values()} == {rank} and found.name == name
    assert [one["name"] for one in list_loras()] == ["b/ink", "loras/ink"]


def test_a_relative_path_leads_nowhere_but_into_the_folder(
    folder: ModelFolder, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may come out of a recipe or a prompt file."""
    save_file(pair(), tmp_path / "ink.safetensors")
    monkeypatch.chdir(tmp_path)
    put(home, "x/y")
    for name in ("ink.safetensors", "./ink.safetensors", "../ink", "x/../../ink", "x/../x/y", "."):
        with pytest.raises(UnknownLora):
            open_lora(name, 1.0, folder)


def test_folders_of_peft_are_known_by_their_own_name(folder: ModelFolder, home: Path) -> None:
    put(home, "ink/adapter_model", "paper/adapter_model", "wash/pytorch_lora_weights")
    assert [one["name"] for one in list_loras()] == ["ink", "paper", "wash"]
    for name in ("ink", "paper", "wash"):
        assert open_lora(name, 1.0, folder).name == name


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_in_either_form_of_unicode(folder: ModelFolder, home: Path, form: Any) -> None:
    put(home, unicodedata.normalize(form, "がぎ/ゴザ"))
    for other in ("NFC", "NFD"):
        for name in ("ゴザ", "がぎ/ゴザ"):
            assert locate_lora(unicodedata.normalize(other, name)).is_file()


def test_a_folder_of_several_and_of_none(folder: ModelFolder, tmp_path: Path, home: Path) -> None:
    put(home, "x")
    (tmp_path / "d").mkdir()
    with pytest.raises(UnknownLora):
        open_lora(str(tmp_path / "d"), 1.0, folder)
    for name in ("a", "b"):
        save_file(pair(), tmp_path / "d" / f"{name}.safetensors")
        if name == "a":
            assert open_lora(str(tmp_path / "d"), 1.0, folder).path.name == "a.safetensors"
    with pytest.raises(AmbiguousLora):
        open_lora(str(tmp_path / "d"), 1.0, folder)
    save_file(pair(), tmp_path / "d" / "pytorch_lora_weights.safetensors")
    assert open_lora(str(tmp_path / "d"), 1.0, folder).name == "d"


def test_a_table_that_lies_about_a_factor(folder: ModelFolder, tmp_path: Path) -> None:
    head = json.dumps({f"{Q}.alpha": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\0" * 16)
    assert "no partner" in why(folder, tmp_path / "x.safetensors", BrokenWeights)
    tensors = pair() | {f"{Q}.alpha": ones(2, 2)}
    assert "no number" in refused(folder, tmp_path, tensors, BrokenWeights)
