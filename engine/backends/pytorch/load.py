"""The denoiser and the VAE from a model folder's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.errors import BrokenWeights, Phrase
from engine.models.lora import Adapters
from engine.models.pixart import DiT, DiTConfig
from engine.models.vae import VaeDecoder, is_plain_vae
from engine.models.weight_loading import load_weights, locate_weights, locate_weights_if_they_fit, without_init


def load_denoiser(
    folder: ModelFolder, device: torch.device, dtype: torch.dtype, loras: Sequence[LoraFile] = (), merged: bool = True
) -> DiT:
    """The transformer, weights checked against the config, with its LoRAs."""
    try:
        config = DiTConfig.from_dict(folder.denoiser_config)
        with without_init():
            model = DiT(config)
    except (ValueError, TypeError, RuntimeError, OverflowError) as e:
        raise BrokenWeights(
            path=folder.denoiser / "config.json", why=Phrase("it describes no PixArt transformer ({reason})", reason=e)
        ) from e
    adapters = Adapters(loras, merged) if loras else None
    locations = locate_weights(model, weight_files(folder.denoiser), "PixArt transformer", _without_old_buffers)
    load_weights(model, locations, device, dtype, change=adapters)
    if adapters is not None:
        adapters.attach(model)
    return model.eval()


def _without_old_buffers(name: str) -> str | None:
    return None if name.endswith(("pos_embed.pos_embed", "y_embedding")) else name


def load_vae(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Any:
    """diffusers' ``AutoencoderKL``."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.utils import logging

    logging.set_verbosity_error()
    for file in weight_files(folder.vae):
        read_header(file)
    try:
        # low_cpu_mem_usage makes diffusers refuse wrong shapes, and leave missing tensors on the meta device instead of
        # initialising them at random
        vae = AutoencoderKL.from_pretrained(
            folder.vae, local_files_only=True, use_safetensors=True, torch_dtype=dtype, variant=_variant(folder)
        )
        if type(vae.config.norm_num_groups) is not int or vae.config.norm_num_groups < 1:
            raise ValueError(f"norm_num_groups is {vae.config.norm_num_groups!r}")
        for key in ("scaling_factor", "shift_factor"):
            value = vae.config.get(key) or 0
            if type(value) not in (int, float) or abs(value) > 1e9 or (key == "scaling_factor" and not value > 0):
                raise ValueError(f"{key} is {value!r}")
    except Exception as e:  # diffusers raises many types here; in any case the part is unusable
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        raise BrokenWeights(path=folder.vae, why=Phrase("it cannot be loaded ({reason})", reason=reason)) from e
    for name, p in vae.named_parameters():
        if p.is_meta:
            raise BrokenWeights(path=folder.vae, why=Phrase("the tensor {name} is missing", name=name))
    if vae.config.latent_channels != folder.denoiser_config.get("in_channels", 4):
        raise BrokenWeights(
            path=folder.vae,
            why=Phrase(
                "it has {found} latent channels, the denoiser {wanted}",
                found=vae.config.latent_channels,
                wanted=folder.denoiser_config.get("in_channels", 4),
            ),
        )
    return vae.eval().requires_grad_(False).to(device)


def load_decoder(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> Any:
    """The VAE's decoder: ours for the usual config.

    Diffusers' ``AutoencoderKL`` otherwise, or if the weights do not fit.
    """
    config = is_plain_vae(folder.vae_config)
    if config and config["latent_channels"] == folder.denoiser_config.get("in_channels", 4):
        with without_init():
            vae = VaeDecoder(config)
        locations = locate_weights_if_they_fit(
            vae,
            weight_files(folder.vae),
            lambda name: name if name.startswith(("decoder.", "post_quant_conv.")) else None,
        )
        if locations is not None:
            load_weights(vae, locations, device, dtype, channels_last=True)
            return vae.eval()
    return load_vae(folder, device, dtype)


def _variant(folder: ModelFolder) -> str | None:
    first = weight_files(folder.vae)[0].name
    return next((v for v in ("fp16", "bf16") if f".{v}." in first), None)
