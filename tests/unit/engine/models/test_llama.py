"""Our own Llama and VAE decoder give, bit by bit, what transformers and diffusers give.

What is not plain is left to those.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.backends.pytorch.load import load_decoder, load_vae
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import open_model
from engine.models.llama import is_plain_llama as plain_llama
from engine.models.llama import open_llama, open_tokenizer
from engine.models.text_encoder import CaptionEncoder
from engine.models.vae import VaeDecoder
from engine.models.vae import is_plain_vae as plain_vae
from tests.support.tiny_models import make_commonart, make_pipeline

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """CommonArt's layout, no begin mark, heads that share keys."""
    from transformers import LlamaConfig, LlamaForCausalLM

    root = tmp_path_factory.mktemp("grouped")
    denoiser, text, vae = make_commonart(root)
    torch.manual_seed(1)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=512,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
        )
    ).save_pretrained(text)
    return identify(denoiser, text_encoder=text, vae=vae)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_are_those_of_transformers(grouped: ModelFolder, dtype: torch.dtype) -> None:
    for model in (open_model("commonart-mini"), grouped):
        mine, theirs = open_llama(model, device=CPU, dtype=dtype), CaptionEncoder(model, device=CPU, dtype=dtype)
        assert mine is not None
        for text in ("", "すし", "りんご、青い背景", "a red apple " * 60):  # none, one and many tokens, and too many
            a, b = mine.encode(text), theirs.encode(text)
            assert torch.equal(a.states, b.states) and a.cut == b.cut and a.states.dtype == dtype


def test_pixels_are_those_of_diffusers(grouped: ModelFolder) -> None:
    z = torch.randn(1, 4, 24, 40, generator=torch.Generator().manual_seed(0))
    for model in (open_model("commonart-mini"), grouped):
        mine, theirs = load_decoder(model, CPU, torch.float32), load_vae(model, CPU, torch.float32)
        assert isinstance(mine, VaeDecoder)
        for tiled in (False, True):
            for vae in (mine, theirs):
                (vae.enable_tiling if tiled else vae.disable_tiling)()
            with torch.inference_mode():
                a, b = mine.decode(z)[0], theirs.decode(z, return_dict=False)[0]
            assert a.shape == b.shape and torch.allclose(
                a, b, rtol=0, atol=1e-4
            )  # channels side by side: another order of sums
        mine.to(memory_format=torch.contiguous_format)
        mine.disable_tiling()
        theirs.disable_tiling()
        with torch.inference_mode():
            assert torch.equal(mine.decode(z)[0], theirs.decode(z, return_dict=False)[0])


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "qwen2"},
        {"rope_parameters": {"rope_type": "llama3"}},
        {"rope_scaling": {"type": "linear"}},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"hidden_size": -1},
        {"num_key_value_heads": 3},
        {"head_dim": 7},
        {"quantization_config": {}},
        {"rms_norm_eps": "x"},
    ],
)
def test_what_is_no_plain_llama(change: dict[str, Any]) -> None:
    config = open_model("commonart-mini").text_config
    assert plain_llama(config) and not plain_llama(config | change)


@pytest.mark.parametrize(
    "change",
    [
        {"up_block_types": ["AttnUpDecoderBlock2D"] * 3},
        {"act_fn": "gelu"},
        {"norm_num_groups": 5},
        {"block_out_channels": []},
        {"scaling_factor": 0},
        {"layers_per_block": 10**9},
        {"shift_factor": "x"},
        {"use_post_quant_conv": 1},
    ],
)
def test_what_is_no_plain_vae(change: dict[str, Any]) -> None:
    config = open_model("commonart-mini").vae_config
    assert plain_vae(config) and plain_vae(config | change) is None


def test_tokenizers_with_rules_in_code_are_left_alone(grouped: ModelFolder) -> None:
    assert open_tokenizer(grouped) is not None
    file = grouped.tokenizer / "tokenizer_config.json"
    before = json.loads(file.read_text(encoding="utf-8"))
    try:
        for change in ({"tokenizer_class": "GPTNeoXTokenizer"}, {"add_bos_token": True}, {"eos_token": "<other>"}):
            file.write_text(json.dumps(before | change), encoding="utf-8")
            assert open_tokenizer(grouped) is None
    finally:
        file.write_text(json.dumps(before), encoding="utf-8")


def test_wrong_weights_go_the_way_that_tells_what_is_wrong(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from engine.contract.errors import BrokenWeights

    make_pipeline(tmp_path)
    model = identify(tmp_path)
    for file, name in (
        (model.text_encoder / "model.safetensors", "model.norm.weight"),
        (model.vae / "diffusion_pytorch_model.safetensors", "decoder.conv_in.weight"),
    ):
        tensors = load_file(file)
        del tensors[name]
        save_file(tensors, file, {"format": "pt"})
    assert open_llama(model, device=CPU, dtype=torch.float32) is None
    with pytest.raises(BrokenWeights):
        load_decoder(model, CPU, torch.float32)


def test_a_picture_needs_neither_library(tmp_path: Path) -> None:
    """The heavy imports stay away from the way to the first picture: they cost more than the picture."""
    text = """
import sys
from engine import pipeline
from engine.backends.factory import open_backend
from engine.checkpoint.library import open_model
from engine.contract.request import ImageRequest
backend = open_backend(open_model("commonart-mini"), device="cpu")
some = [pipeline.settle(ImageRequest(prompt="すし", seed=1, steps=2), backend.folder)]
pipeline.decode(backend, pipeline.denoise_batch(backend, some, pipeline.encode(backend, some)))
backend.libraries()
heavy = ("diffusers", "transformers", "torch._dynamo", "sympy", "onnxruntime", "torchao")
print([m for m in heavy if m in sys.modules])
"""
    import os

    told = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env=os.environ | {"COMMONART_HOME": str(tmp_path), "PYTHONUTF8": "1"},
    )
    assert told.stdout.strip() == "[]"


def test_a_language_model_in_8_bits(grouped: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near the exact features, with either kind of tokenizer; kept in a store of its own."""
    from engine.backends.pytorch.encode import Encoder
    from engine.backends.row_threads import RowThreads
    from engine.models import llama

    exact = open_llama(grouped, device=CPU, dtype=torch.float32)
    small = open_llama(grouped, device=CPU, dtype=torch.float32, small=True)
    assert (
        exact and small and {p.dtype for n, p in small._model.named_parameters() if "proj.weight" in n} == {torch.int8}
    )
    for text in ("すし", "a red apple " * 60, ""):
        a, b = exact.encode(text), small.encode(text)
        assert a.cut == b.cut and not torch.equal(a.states, b.states)
        assert float((a.states - b.states).norm() / a.states.norm()) < 0.03
    monkeypatch.setattr(llama, "open_tokenizer", lambda _: None)
    again = open_llama(grouped, device=CPU, dtype=torch.float32, small=True)
    assert again and all(
        torch.equal(again.encode(t).states, small.encode(t).states) for t in ("すし", "a red apple " * 60, "")
    )
    stores = {
        Encoder(grouped, "ab" * 32, CPU, torch.float32, lambda _: RowThreads(1), small=yes)._store.file("x").parts[-4]
        for yes in (False, True)
    }
    assert len(stores) == 2
