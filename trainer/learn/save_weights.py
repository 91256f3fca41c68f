"""Write trained weights in the formats of PEFT and diffusers: a LoRA's file, or a complete pipeline folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.backends.pytorch.devices import DTYPES
from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.files import PART, rename, sync_folder
from engine.sampling.schedule import Schedule
from trainer.config import Config
from trainer.learn.safetensors_writer import write_tensors
from trainer.learn.trainable import architecture

INDEX = {
    "_class_name": "PixArtSigmaPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "tokenizer": ["transformers", "AutoTokenizer"],
    "transformer": ["diffusers", "PixArtTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def lora_tensors(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights under the names that diffusers writes for PEFT."""
    return {f"transformer.{name.replace('.default.', '.')}": t.detach().to(dtype) for name, t in weights.items()}


def save_lora(path: Path, weights: Mapping[str, Tensor], config: Config, metadata: Mapping[str, str]) -> str:
    """Write the LoRA's file in one piece; ``metadata`` are the header's ``commonart.*`` entries.

    Returns the SHA-256 of the file. Raises OSError.
    """
    alpha = config.lora.alpha or float(config.lora.rank)
    adapter = {
        "transformer.peft_type": "LORA",
        "transformer.r": config.lora.rank,
        "transformer.lora_alpha": alpha,
        "transformer.lora_dropout": config.lora.dropout,
        "transformer.bias": "none",
        "transformer.target_modules": sorted({n.rpartition(".lora_")[0] for n in weights}),
    }
    header = {"format": "pt", "lora_adapter_metadata": json.dumps(adapter, sort_keys=True)} | dict(metadata)
    dtype = torch.float32 if config.save_dtype == "auto" else DTYPES[config.save_dtype]
    temporary = path.with_name(f".{path.name}{PART}")
    try:
        sha256 = write_tensors(temporary, lora_tensors(weights, dtype), header)
        rename(temporary, path, overwrite=True)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return sha256


def save_model(
    path: Path, weights: Mapping[str, Tensor], config: Config, folder: ModelFolder, metadata: Mapping[str, str]
) -> str:
    """Write a complete pipeline folder; the other parts of the base model are hard-linked if possible, else copied.

    Returns the SHA-256 of the denoiser's file. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}{PART}")
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "transformer").mkdir(parents=True)
    if config.save_dtype == "auto":
        stored = {e.dtype for e in read_header(weight_files(folder.denoiser)[0]).values()}
        dtype = torch.float16 if stored == {"F16"} else torch.bfloat16 if stored == {"BF16"} else torch.float32
    else:
        dtype = DTYPES[config.save_dtype]
    sha256 = write_tensors(
        temporary / "transformer" / "diffusion_pytorch_model.safetensors",
        {n: t.detach().to(dtype) for n, t in weights.items()},
        {"format": "pt"} | dict(metadata),
    )
    _write_json(temporary / "transformer" / "config.json", architecture(config, folder))
    _link_part(folder.vae, temporary / "vae", ("config.json",))
    _link_part(folder.text_encoder, temporary / "text_encoder", ("config.json", "generation_config.json"))
    (temporary / "tokenizer").mkdir()
    for name in (
        *TOKENIZER_FILES,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "merges.txt",
    ):
        if (folder.tokenizer / name).is_file():
            shutil.copyfile(folder.tokenizer / name, temporary / "tokenizer" / name)
    _write_json(temporary / "scheduler" / "scheduler_config.json", scheduler_config(config, folder))
    encoder = (folder.text_config.get("architectures") or ["AutoModel"])[0]
    index = INDEX | {"text_encoder": ["transformers", encoder]}
    if folder.denoiser_config.get("use_additional_conditions"):
        index["_class_name"] = "PixArtAlphaPipeline"
    if (folder.root / "model_index.json").is_file():
        index = json.loads((folder.root / "model_index.json").read_text(encoding="utf-8")) | {
            "transformer": index["transformer"]
        }
    _write_json(temporary / "model_index.json", index)
    if (folder.root / "vocabulary.json").is_file():  # the result has the same vocabulary of captions
        shutil.copyfile(folder.root / "vocabulary.json", temporary / "vocabulary.json")
    if path.exists():
        shutil.rmtree(path)
    rename(temporary, path)
    sync_folder(path.parent)
    return sha256


def scheduler_config(config: Config, folder: ModelFolder) -> dict[str, Any]:
    """The base model's ``scheduler_config.json`` with the prediction type that was trained."""
    result = dict(folder.scheduler_config) or {
        "_class_name": "DPMSolverMultistepScheduler",
        "_diffusers_version": "0.42.1",
    } | asdict(Schedule())
    if config.loss.prediction != "auto":
        result["prediction_type"] = config.loss.prediction
    return result


def _link_part(source: Path, target: Path, others: Sequence[str]) -> None:
    target.mkdir()
    files = weight_files(source)
    for file in [*files, *source.glob("*.index*.json"), *(source / n for n in others)]:
        if not file.is_file():
            continue
        real = file.resolve()  # the Hugging Face cache links to blobs
        try:
            if real.stat().st_size < 64 << 20:
                raise OSError  # small files are copied, so that an edit does not change two models
            os.link(real, target / file.name)
        except OSError:
            shutil.copyfile(real, target / file.name)


def _write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
