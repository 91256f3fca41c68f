"""The trainable model: a LoRA on the frozen denoiser, the complete denoiser, or a new one.

LoRA: Hu et al., arXiv 2106.09685, by PEFT. Trainable parameters are always fp32, whatever the dtype of computation.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from engine.backends.pytorch.devices import DTYPES
from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.pixart_layers import layers_of
from engine.contract.errors import BadConfig, Phrase
from engine.models.pixart import CaptionGroup, DiT, DiTConfig
from trainer.config import Config
from trainer.learn.data import counter_rng


def match_layers(patterns: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Names of the linear layers that match a pattern.

    Raises:
        BadConfig: a pattern matches none.
    """
    names = [name for name, shape in layers_of(dict(config)).items() if len(shape) == 2]
    matches: dict[str, None] = {}
    for pattern in patterns:
        hits = fnmatch.filter(names, pattern)
        if not hits:
            raise BadConfig(
                path=Phrase("the configuration"),
                key="lora.layers",
                why=Phrase("no layer is called {pattern}; one is {example}", pattern=pattern, example=names[-3]),
            )
        matches |= dict.fromkeys(hits)
    return list(matches)


def build(config: Config, folder: ModelFolder, device: torch.device, dtype: str) -> DiT:
    """The denoiser on ``device`` in train mode; exactly the trainable parameters require gradients.

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
            block.forward = functools.partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)
    return model.train()


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters by name."""
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def _inject(model: DiT, config: Config, folder: ModelFolder) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = match_layers(config.lora.layers, folder.denoiser_config)
    inject_adapter_in_model(
        LoraConfig(
            r=config.lora.rank,
            lora_alpha=config.lora.alpha or config.lora.rank,  # type: ignore[arg-type]  # PEFT takes a float, too
            lora_dropout=config.lora.dropout,
            target_modules="|".join(map(re.escape, names)),
        ),
        model,
    )
    for p in trainable_parameters(model).values():
        p.data = p.data.float()


def architecture(config: Config, folder: ModelFolder) -> dict[str, Any]:
    """The denoiser's ``config.json``: that of the base model with the changes in ``[scratch]``.

    Raises:
        BadConfig: the values do not describe a transformer.
    """
    base = DiTConfig.from_dict(folder.denoiser_config)
    if config.kind != "scratch":
        result = base
    else:
        s = config.scratch
        try:
            result = DiTConfig.from_dict(
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
            if result.width % 4:
                raise ValueError(f"heads * head_dim is {result.width}, not a multiple of 4")
        except ValueError as e:
            raise BadConfig(
                path=Phrase("the configuration"),
                key="scratch",
                why=Phrase("it describes no transformer ({reason})", reason=e),
            ) from e
    return (
        {"_class_name": "PixArtTransformer2DModel", "_diffusers_version": "0.42.1"}
        | asdict(result)
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
    """A model with random weights, initialised as in PixArt (arXiv 2310.00426).

    The output and the captions' influence are zero at first.
    """
    model = DiT(DiTConfig.from_dict(architecture(config, folder)))
    embedder: Any = model.adaln_single.emb.timestep_embedder
    for linear in (embedder.linear_1, embedder.linear_2):
        nn.init.normal_(linear.weight, std=0.02)
    for block in model.transformer_blocks:
        nn.init.zeros_(block.attn2.to_out[0].weight)  # type: ignore[union-attr,index]
    nn.init.zeros_(model.proj_out.weight)
    nn.init.zeros_(model.proj_out.bias)
    return model


class TrainableDenoiser(nn.Module):
    """The denoiser as a single call, so that sharding can gather its weights around it."""

    def __init__(self, dit: DiT) -> None:
        super().__init__()
        self.dit = dit

    def forward(
        self, latents: Tensor, timesteps: Tensor, features: Sequence[Tensor], sizes: dict[str, Tensor]
    ) -> Tensor:
        """``[n, c, h, w]``, ``[n]``, one ``[tokens, channels]`` per row -> ``[n, out_channels, h, w]``."""
        out: Tensor = self.dit(latents, timesteps, packed_captions(self.dit, features), **sizes)
        return out


def packed_captions(model: DiT, features: Sequence[Tensor]) -> list[CaptionGroup]:
    """``DiT.captions`` for rows that all differ.

    It takes one matrix product per layer over all captions' tokens, without padding.

    Rows should be sorted by length: neighbours of equal length share one attention call.
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
            projected = getattr(a, name)(y)[0]
            for n, (i, j) in enumerate(spans):
                into[n].append(a.split(projected[starts[i] : starts[j]].unflatten(0, (j - i, lengths[i]))))
    return [CaptionGroup(i, j, k, v) for (i, j), k, v in zip(spans, keys, values, strict=True)]


def _dtype(model: DiT) -> torch.dtype:
    return model.caption_projection.linear_1.weight.dtype
