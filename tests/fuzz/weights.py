"""Targets: safetensors, LoRAs, model folders, ONNX files, the manifest of an export, and pickles on their way to
safetensors.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from safetensors.numpy import save

from engine.checkpoint.describe import licence_of
from engine.checkpoint.layout import identify
from engine.checkpoint.lora import open_lora
from engine.checkpoint.lora_header import metadata, told_by
from engine.checkpoint.onnxfile import MANIFEST, check_promised, graph_sha256, graph_table, promised, tensors_of
from engine.checkpoint.pixart_layers import layers_of
from engine.checkpoint.unpickle import read
from engine.checkpoint.weights import check_finite, read_header, remembered_hash, weight_files
from tests.data.tiny_onnx import __file__ as tiny_onnx
from tests.fuzz.core import Files, Target
from tests.fuzz.mutate import damaged, dumps, twisted, values


def _several(*work: Callable[[], Any], strict: bool = False) -> Any:
    """The answers of those that have one; if all refuse (``strict``: if one does), the last refusal."""
    from engine.contract.errors import CommonArtError

    found, trouble = [], None
    for one in work:
        try:
            found.append(one())
        except CommonArtError as error:
            trouble = error
    if trouble is not None and (not found or strict):
        raise trouble
    return json.loads(json.dumps(found, default=str))


_CONFIG = {
    "_class_name": "PixArtTransformer2DModel",
    "num_attention_heads": 1,
    "attention_head_dim": 4,
    "num_layers": 1,
    "caption_channels": 4,
    "patch_size": 2,
    "out_channels": 8,
    "sample_size": 8,
}
_TOLD = {
    "commonart.base_model": "mini",
    "commonart.licences": '{"CC0-1.0": 3}',
    "commonart.dataset_sha256": "a" * 64,
    "lora_adapter_metadata": '{"transformer.r": 2, "transformer.lora_alpha": 4, "alpha_pattern": {"x": 1}}',
}


_SETTINGS: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "use_rslora": True,
    "use_dora": False,
    "rank_pattern": {"to_q": 2, "^blocks.0.*": 3},
    "alpha_pattern": {r"transformer_blocks\.0\.attn[12]\.to_k": 1},
    "init_lora_weights": True,
}
_Q, _PATCH = "transformer_blocks.0.attn1.to_q", "pos_embed.proj"


def _ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


@cache
def _lora_files() -> tuple[bytes, ...]:
    """One of each kind and style: diffusers, PEFT with a convolution and DoRA, kohya, LyCORIS' LoHa and LoKr."""
    plain, flat = {}, _Q.replace(".", "_")
    for name, (out, into) in list(layers_of(_CONFIG).items())[7:10]:
        plain |= {
            f"transformer.{name}.lora_A.weight": _ones(2, into),
            f"transformer.{name}.lora_B.weight": _ones(out, 2),
        }
    peft = {
        f"base_model.model.{_PATCH}.lora_A.weight": _ones(2, 4, 2, 2),
        f"base_model.model.{_PATCH}.lora_B.weight": _ones(4, 2, 1, 1),
        f"base_model.model.{_Q}.lora_A.default.weight": _ones(2, 4),
        f"base_model.model.{_Q}.lora_B.default.weight": _ones(4, 2),
        f"base_model.model.{_Q}.lora_magnitude_vector": _ones(4),
    }
    kohya = {
        f"lora_unet_{flat}.lora_down.weight": _ones(2, 4),
        f"lora_unet_{flat}.lora_up.weight": _ones(4, 2),
        f"lora_unet_{flat}.alpha": np.ones((), np.float16),
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": _ones(2, 4),
    }
    loha = {
        f"lycoris_{flat}.hada_{n}": _ones(*s)
        for n, s in (("w1_a", (4, 2)), ("w1_b", (2, 4)), ("w2_a", (4, 2)), ("w2_b", (2, 4)))
    }
    lokr = {
        f"lycoris_{flat}.lokr_w1": _ones(2, 2),
        f"lycoris_{flat}.lokr_w2_a": _ones(2, 1),
        f"lycoris_{flat}.lokr_w2_b": _ones(1, 2),
        f"lycoris_{flat}.dora_scale": _ones(1, 4),
        f"lycoris_{flat}.alpha": _ones(),
    }
    return tuple(bytes(save(tensors, _TOLD)) for tensors in (plain, peft, kohya, loha, lokr))


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _with(table: Any, rest: bytes) -> bytes:
    head = dumps(table)
    return struct.pack("<Q", len(head)) + head + rest


def _loras() -> SearchStrategy[Files]:
    def retold(data: bytes) -> SearchStrategy[bytes]:
        table, rest = _split(data)
        packed = twisted(_SETTINGS).map(lambda s: dumps(s).decode("utf-8", "replace"))
        settings = packed.map(lambda s: table | {"__metadata__": {"lora_adapter_metadata": s}})
        plain = twisted({"r": "2", "lora_alpha": "4", "use_rslora": "True"}).map(lambda m: table | {"__metadata__": m})
        return st.one_of(twisted(table), settings, plain).map(lambda t: _with(t, rest))

    files = list(_lora_files())
    config = st.one_of(twisted(_SETTINGS).map(dumps), damaged([dumps(_SETTINGS)]))
    body = st.one_of(damaged(files), st.sampled_from(files).flatmap(retold), st.sampled_from(files))
    return st.builds(lambda d, c: {"a.safetensors": d, "adapter_config.json": c}, body, config)


class _Model:
    """What ``open_lora`` asks of a model folder."""

    denoiser, denoiser_config = Path("denoiser"), _CONFIG

    @staticmethod
    def hashes() -> dict[str, str]:
        return {"denoiser": "0" * 64}


def _lora_read(folder: Path) -> Any:
    path = folder / "a.safetensors"
    return _several(
        lambda: {k: asdict(e) for k, e in read_header(path).items()},
        lambda: metadata(path),
        lambda: told_by(path),
        lambda: check_finite(path),
        lambda: open_lora(str(path), 1.0, _Model()).record(),
        lambda: open_lora(str(folder), 1.0, _Model()).to_wire(),
    )  # type: ignore[arg-type]


_MODEL: dict[str, Any] = {
    "model_index.json": {"_class_name": "PixArtSigmaPipeline"},
    "transformer/config.json": _CONFIG,
    "vae/config.json": {"_class_name": "AutoencoderKL", "block_out_channels": [8, 8]},
    "text_encoder/config.json": {"model_type": "llama", "architectures": ["X"]},
    "tokenizer/tokenizer.json": {},
    "tokenizer/tokenizer_config.json": {"model_max_length": 512},
    "commonart_export.json": {"max_tokens": 5, "files": {}},
    "transformer/diffusion_pytorch_model.safetensors.index.json": {
        "weight_map": {"w": "diffusion_pytorch_model-1.safetensors", "v": "../x.safetensors"}
    },
}


def _models() -> SearchStrategy[Files]:
    weights = bytes(save({"w": np.zeros((2, 2), np.float32)}))
    fixed = {
        "vae/diffusion_pytorch_model.safetensors": weights,
        "text_encoder/model.safetensors": weights,
        "transformer/diffusion_pytorch_model-1.safetensors": weights,
        "README.md": b"---\nlicense: cc-by-4.0\n---\n",
    }
    configs = st.fixed_dictionaries({name: twisted(data).map(dumps) for name, data in _MODEL.items()})
    return st.builds(
        lambda c, whole, card: (
            fixed
            | c
            | {"README.md": card}
            | ({"transformer/diffusion_pytorch_model.safetensors": weights} if whole else {})
        ),
        configs,
        st.booleans(),
        damaged([fixed["README.md"]]),
    )


def _model(folder: Path) -> Any:
    def whole() -> Any:
        found = identify(folder)
        return [asdict(found), found.hashes()]

    def layers() -> Any:
        return len(layers_of(identify(folder).denoiser_config))

    return _several(
        whole, lambda: weight_files(folder / "transformer"), lambda: licence_of(folder), layers, strict=True
    )


@cache
def _graphs() -> tuple[bytes, ...]:
    import zipfile

    with zipfile.ZipFile(Path(tiny_onnx).with_name("tiny_onnx.zip")) as pack:
        found = sorted((pack.read(n) for n in pack.namelist() if n.endswith(".onnx")), key=len)
    return tuple(found[:3])


def _onnx() -> SearchStrategy[Files]:
    return st.one_of(damaged(_graphs()), damaged([g[:300] for g in _graphs()])).map(
        lambda d: {"model.onnx": d, "model.onnx.data": b"\0" * 64}
    )


def _graph(folder: Path) -> Any:
    return _several(
        lambda: len(tensors_of(folder / "model.onnx")), lambda: len(graph_table(folder)), lambda: graph_sha256(folder)
    )


def _manifests() -> SearchStrategy[Files]:
    files = {
        "transformer/model.onnx": "a" * 64,
        "../outside": "b" * 64,
        "/etc/passwd": "c" * 64,
        "tokenizer/x.json": {"sha256": "d" * 64},
    }
    manifest = {"version": 1, "files": files}
    listed = {"version": 1, "files": [{"path": "transformer/model.onnx", "sha256": "a" * 64, "bytes": 3}]}
    body = st.one_of(
        twisted(manifest).map(dumps), twisted(listed).map(dumps), values.map(dumps), damaged([dumps(manifest)])
    )
    return body.map(lambda d: {MANIFEST: d, "transformer/model.onnx": b"abc", "parity.json": d})


def _manifest(folder: Path) -> Any:
    return _several(lambda: promised(folder), lambda: check_promised(folder))


@cache
def _pickles() -> tuple[bytes, ...]:
    import torch

    found = []
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"a": torch.ones(3), "b": torch.zeros(2, 2).half()}, out, _use_new_zipfile_serialization=zipped)
        found.append(out.getvalue())
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            import os

            return os.system, ("echo no > /tmp/fuzz-was-here",)

    out = io.BytesIO()
    torch.save({"a": Evil()}, out, _use_new_zipfile_serialization=False)
    return *found, out.getvalue(), pickle.dumps([Evil()])


def _pickled() -> SearchStrategy[Files]:
    return damaged(_pickles()).map(lambda d: {"a.bin": d})


def _pickle(folder: Path) -> Any:
    found = read(folder / "a.bin")
    try:
        return {name: [tensor.nbytes, len(found.storages.contiguous(tensor))] for name, tensor in found.tensors.items()}
    finally:
        found.storages.__exit__(None, None, None)


def _examined(folder: Path) -> Any:
    return remembered_hash(folder / "a.safetensors")


TARGETS = (
    Target("loras", "safetensors heads and LoRAs", _loras, _lora_read),
    Target("models", "model folders", _models, _model),
    Target("onnx", "ONNX files", _onnx, _graph),
    Target("manifests", "the manifest of an export", _manifests, _manifest),
    Target("pickles", "pickled weights to be converted", _pickled, _pickle, allowed=("pickle.find_class",)),
)
