"""Targets: safetensors, LoRAs, model folders, ONNX files, the manifest of an export, and pickles on their way to safetensors."""

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
from engine.checkpoint.lora import layers_of, metadata, open_lora, told_by
from engine.checkpoint.onnxfile import MANIFEST, check_promised, graph_sha256, graph_table, promised, tensors_of
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


@cache
def _lora() -> bytes:
    tensors = {}
    for name, (out, into) in list(layers_of(_CONFIG).items())[6:9]:
        tensors |= {
            f"transformer.{name}.lora_A.weight": np.ones((2, into), np.float32),
            f"transformer.{name}.lora_B.weight": np.ones((out, 2), np.float32),
        }
    return bytes(save(tensors, _TOLD))


@cache
def _table() -> dict[str, Any]:
    data = _lora()
    return dict(json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]]))


def _with(table: Any) -> bytes:
    head = dumps(table)
    data = _lora()
    return struct.pack("<Q", len(head)) + head + data[8 + struct.unpack("<Q", data[:8])[0] :]


def _loras() -> SearchStrategy[Files]:
    table = st.one_of(
        twisted(_table()),
        twisted(_table() | {"__metadata__": _TOLD | {"commonart.licences": "[[1]]", "lora_adapter_metadata": "[]"}}),
    )
    return st.one_of(damaged([_lora()]), table.map(_with)).map(lambda d: {"a.safetensors": d})


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
