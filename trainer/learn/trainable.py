"""What learns: a LoRA on the frozen denoiser, the whole denoiser, or a new one; and how the result is saved.

LoRA: Hu et al., arXiv 2106.09685, by PEFT. What learns is always kept in fp32, whatever is computed in.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from engine.backends.pytorch.devices import DTYPES
from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder
from engine.checkpoint.pixart_layers import layers_of
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.errors import BadConfig, Phrase
from engine.contract.files import PART, rename, sync_folder
from engine.models.pixart import CaptionGroup, DiT, DiTConfig
from engine.sampling.schedule import Schedule
from trainer.config import Config
from trainer.learn.data import counter_rng
from trainer.learn.safetensors_writer import write_tensors

INDEX = {
    "_class_name": "PixArtSigmaPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "tokenizer": ["transformers", "AutoTokenizer"],
    "transformer": ["diffusers", "PixArtTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def matched(patterns: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Names of the linear layers that a pattern fits.

    Raises:
        BadConfig: a pattern fits none.
    """
    names = [name for name, shape in layers_of(dict(config)).items() if len(shape) == 2]
    found: dict[str, None] = {}
    for pattern in patterns:
        hits = fnmatch.filter(names, pattern)
        if not hits:
            raise BadConfig(
                path=Phrase("the configuration"),
                key="lora.layers",
                why=Phrase("no layer is called {pattern}; one is {example}", pattern=pattern, example=names[-3]),
            )
        found |= dict.fromkeys(hits)
    return list(found)


def build(config: Config, folder: ModelFolder, device: torch.device, dtype: str) -> DiT:
    """The denoiser on ``device`` with exactly what learns requiring gradients, in train mode.

    Raises:
        BadConfig, BrokenWeights, WrongShape
    """
    torch.manual_seed(counter_rng.number(config.seed, counter_rng.WEIGHT))
    if config.kind == "scratch":
        model = _fresh(config, folder).to(device)
    else:
        model = load_denoiser(folder, device, DTYPES[dtype] if config.kind == "lora" else torch.float32)
    model.requires_grad_(config.kind != "lora")
    if config.kind == "lora":
        _inject(model, config, folder)
    if config.device.checkpointing:
        for block in model.transformer_blocks:
            block.forward = functools.partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
    return model.train()


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def _inject(model: DiT, config: Config, folder: ModelFolder) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = matched(config.lora.layers, folder.denoiser_config)
    inject_adapter_in_model(
        LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.alpha or config.lora.rank,
            lora_dropout=config.lora.dropout,
            target_modules="|".join(map(re.escape, names)),
        ),
        model,
    )
    for p in learning(model).values():
        p.data = p.data.float()


def architecture(config: Config, folder: ModelFolder) -> dict[str, Any]:
    """The denoiser's ``config.json``: the base's, with what ``[scratch]`` changes.

    Raises:
        BadConfig: the numbers describe no transformer.
    """
    base = DiTConfig.from_dict(folder.denoiser_config)
    if config.kind != "scratch":
        made = base
    else:
        s = config.scratch
        try:
            made = DiTConfig.from_dict(
                asdict(
                    replace(
                        base,
                        num_layers=s.layers or base.num_layers,
                        num_attention_heads=s.heads or base.num_attention_heads,
                        attention_head_dim=s.head_dim or base.attention_head_dim,
                        patch_size=s.patch_size or base.patch_size,
                        out_channels=s.out_channels or base.out_channels,
                        sample_size=s.sample_size or base.sample_size,
                        interpolation_scale=s.interpolation_scale or base.interpolation_scale,
                        cross_attention_dim=(s.heads or base.num_attention_heads)
                        * (s.head_dim or base.attention_head_dim),
                    )
                )
            )
            if made.width % 4:
                raise ValueError(f"heads * head_dim is {made.width}, not a multiple of 4")
        except ValueError as e:
            raise BadConfig(
                path=Phrase("the configuration"),
                key="scratch",
                why=Phrase("it describes no transformer ({reason})", reason=e),
            ) from e
    return (
        {"_class_name": "PixArtTransformer2DModel", "_diffusers_version": "0.42.1"}
        | asdict(made)
        | {
            "activation_fn": "gelu-approximate",
            "attention_type": "default",
            "dropout": 0.0,
            "norm_elementwise_affine": False,
            "norm_num_groups": 32,
            "norm_type": "ada_norm_single",
            "num_embeds_ada_norm": 1000,
            "upcast_attention": False,
        }
    )


def _fresh(config: Config, folder: ModelFolder) -> DiT:
    """Random weights; nothing is predicted at first and captions come in slowly, as PixArt starts (arXiv 2310.00426)."""
    model = DiT(DiTConfig.from_dict(architecture(config, folder)))
    embedder: Any = model.adaln_single.emb.timestep_embedder
    for linear in (embedder.linear_1, embedder.linear_2):
        nn.init.normal_(linear.weight, std=0.02)
    for block in model.transformer_blocks:
        nn.init.zeros_(block.attn2.to_out[0].weight)  # type: ignore[union-attr,index,arg-type]
    nn.init.zeros_(model.proj_out.weight)
    nn.init.zeros_(model.proj_out.bias)
    return model


class TrainableDenoiser(nn.Module):
    """The denoiser as one call, so that sharding may gather its weights around it."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit

    def forward(
        self, latents: Tensor, timesteps: Tensor, features: Sequence[Tensor], sizes: dict[str, Tensor]
    ) -> Tensor:
        """``[n, c, h, w]``, ``[n]``, one ``[tokens, channels]`` a row -> ``[n, out_channels, h, w]``."""
        return self.dit(latents, timesteps, packed_captions(self.dit, features), **sizes)


def packed_captions(model: DiT, features: Sequence[Tensor]) -> list[CaptionGroup]:
    """``DiT.captions`` for rows that all differ: one matrix product a layer over the tokens of all captions, none padded.

    Rows should come sorted by length: neighbours of equal length attend together.
    """
    lengths = [len(f) for f in features]
    y = model.caption_projection(torch.cat(list(features))[None].to(_dtype(model)))
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    spans: list[tuple[int, int]] = []
    for row, length in enumerate(lengths):
        if spans and lengths[spans[-1][0]] == length:
            spans[-1] = (spans[-1][0], row + 1)
        else:
            spans.append((row, row + 1))
    keys: list[list[Tensor]] = [[] for _ in spans]
    values: list[list[Tensor]] = [[] for _ in spans]
    for block in model.transformer_blocks:
        a: Any = block.attn2
        for name, into in (("to_k", keys), ("to_v", values)):
            whole = getattr(a, name)(y)[0]
            for n, (i, j) in enumerate(spans):
                into[n].append(a.split(whole[starts[i] : starts[j]].unflatten(0, (j - i, lengths[i]))))
    return [CaptionGroup(i, j, k, v) for (i, j), k, v in zip(spans, keys, values, strict=True)]


def _dtype(model: DiT) -> torch.dtype:
    return model.caption_projection.linear_1.weight.dtype


def lora_tensors(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """PEFT's names as diffusers writes them."""
    return {f"transformer.{name.replace('.default.', '.')}": t.detach().to(dtype) for name, t in weights.items()}


def save_lora(path: Path, weights: Mapping[str, Tensor], config: Config, words: Mapping[str, str]) -> str:
    """Write the LoRA's file whole; ``words`` are the header's ``commonart.*``. Returns its SHA-256. Raises OSError."""
    alpha = config.lora.alpha or float(config.lora.rank)
    told = {
        "transformer.peft_type": "LORA",
        "transformer.r": config.lora.rank,
        "transformer.lora_alpha": alpha,
        "transformer.lora_dropout": config.lora.dropout,
        "transformer.bias": "none",
        "transformer.target_modules": sorted({n.rpartition(".lora_")[0] for n in weights}),
    }
    header = {"format": "pt", "lora_adapter_metadata": json.dumps(told, sort_keys=True)} | dict(words)
    dtype = torch.float32 if config.save_dtype == "auto" else DTYPES[config.save_dtype]
    aside = path.with_name(f".{path.name}{PART}")
    try:
        sha256 = write_tensors(aside, lora_tensors(weights, dtype), header)
        rename(aside, path, overwrite=True)
        sync_folder(path.parent)
    finally:
        aside.unlink(missing_ok=True)
    return sha256


def save_model(
    path: Path, weights: Mapping[str, Tensor], config: Config, folder: ModelFolder, words: Mapping[str, str]
) -> str:
    """Write a complete pipeline folder; the base's other parts are linked where the disk can, else copied.

    Returns the SHA-256 of the denoiser's file. Raises OSError.
    """
    aside = path.with_name(f".{path.name}{PART}")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / "transformer").mkdir(parents=True)
    if config.save_dtype == "auto":
        stored = {e.dtype for e in read_header(weight_files(folder.denoiser)[0]).values()}
        dtype = torch.float16 if stored == {"F16"} else torch.bfloat16 if stored == {"BF16"} else torch.float32
    else:
        dtype = DTYPES[config.save_dtype]
    sha256 = write_tensors(
        aside / "transformer" / "diffusion_pytorch_model.safetensors",
        {n: t.detach().to(dtype) for n, t in weights.items()},
        {"format": "pt"} | dict(words),
    )
    _json(aside / "transformer" / "config.json", architecture(config, folder))
    _part(folder.vae, aside / "vae", ("config.json",))
    _part(folder.text_encoder, aside / "text_encoder", ("config.json", "generation_config.json"))
    (aside / "tokenizer").mkdir()
    for name in (
        *TOKENIZER_FILES,
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "merges.txt",
    ):
        if (folder.tokenizer / name).is_file():
            shutil.copyfile(folder.tokenizer / name, aside / "tokenizer" / name)
    _json(aside / "scheduler" / "scheduler_config.json", scheduler(config, folder))
    encoder = (folder.text_config.get("architectures") or ["AutoModel"])[0]
    index = INDEX | {"text_encoder": ["transformers", encoder]}
    if folder.denoiser_config.get("use_additional_conditions"):
        index["_class_name"] = "PixArtAlphaPipeline"
    if (folder.root / "model_index.json").is_file():
        index = json.loads((folder.root / "model_index.json").read_text(encoding="utf-8")) | {
            "transformer": index["transformer"]
        }
    _json(aside / "model_index.json", index)
    if (folder.root / "vocabulary.json").is_file():  # the words the captions may use stay known
        shutil.copyfile(folder.root / "vocabulary.json", aside / "vocabulary.json")
    if path.exists():
        shutil.rmtree(path)
    rename(aside, path)
    sync_folder(path.parent)
    return sha256


def scheduler(config: Config, folder: ModelFolder) -> dict[str, Any]:
    """The base's ``scheduler_config.json`` with the prediction that was trained."""
    told = dict(folder.scheduler_config) or {
        "_class_name": "DPMSolverMultistepScheduler",
        "_diffusers_version": "0.42.1",
    } | asdict(Schedule())
    if config.loss.prediction != "auto":
        told["prediction_type"] = config.loss.prediction
    return told


def _part(source: Path, target: Path, others: Sequence[str]) -> None:
    target.mkdir()
    files = weight_files(source)
    for file in [*files, *source.glob("*.index*.json"), *(source / n for n in others)]:
        if not file.is_file():
            continue
        real = file.resolve()  # the Hugging Face cache links to blobs
        try:
            if real.stat().st_size < 64 << 20:
                raise OSError  # small files are copied, so that nobody edits two models at once
            os.link(real, target / file.name)
        except OSError:
            shutil.copyfile(real, target / file.name)


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")
