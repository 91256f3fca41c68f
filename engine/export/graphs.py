"""Thin modules with the inputs and outputs of the ONNX graphs, and the function that writes them."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from optimum.exporters.base import ExporterConfig
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models.pixart import DiT, DiTConfig

OPSET = 18  # read by ONNX Runtime 1.14 and later, TensorRT 8.6, OpenVINO 2023
LARGE = 1 << 20  # bytes: larger weights are stored outside the graph, in model.onnx_data


def positions(config: DiTConfig, height: int, width: int) -> Tensor:
    """``engine.models.layers.positions`` for sides that are known only at run time, float32 ``[1, height * width,
    config.width]``.

    float64 until the last step, as there; cos(x) is written as sin(x + π/2), since ONNX Runtime has no float64 cosine
    on the CPU. Sides enter as the last position plus one: a quotient of symbolic sizes would not reach the graph.
    """
    base = config.sample_size // config.patch_size
    quarter = config.width // 4
    omega = 1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)

    def axis(count: int) -> Tensor:
        index = torch.arange(count, dtype=torch.float64)
        angles = (index / ((index[-1:] + 1) / base) / config.interpolation_scale)[:, None] * omega
        return torch.cat([angles.sin(), (angles + math.pi / 2).sin()], -1).float()

    across, down = axis(width)[None].expand(height, width, -1), axis(height)[:, None].expand(height, width, -1)
    return torch.cat([across, down], -1).reshape(1, height * width, -1)


class Denoiser(nn.Module):
    """``engine.models.pixart`` with padded captions and a mask, as pipelines pass them to the graph.

    Padding gets the bias of -10000 that diffusers gives it: it fits float16, vanishes in the softmax, and where a whole
    caption is masked leaves all positions equal, as there.
    """

    def __init__(self, model: DiT) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
        timestep: Tensor,
        resolution: Tensor | None = None,
        aspect_ratio: Tensor | None = None,
    ) -> Tensor:
        """``[n, c, h, w]``, ``[n, tokens, channels]``, ``[n, tokens]`` of 1 and 0, ``[n]``, ``[n, 2]``, ``[n, 1]`` ->
        ``[n, out, h, w]``.
        """
        m, config = self.model, self.model.config
        x = m.pos_embed.proj(hidden_states)
        n, _, height, width = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = x + positions(config, height, width).to(x.dtype)
        embedded = m.adaln_single.emb(timestep, resolution, aspect_ratio)
        modulation = m.adaln_single.linear(F.silu(embedded)).unflatten(-1, (6, -1))
        bias = ((1 - encoder_attention_mask.to(x.dtype)) * -10000.0)[:, None, None]
        captions = m.caption_projection(encoder_hidden_states)
        for block in m.transformer_blocks:
            x = self._block(block, x, modulation, captions, bias)
        shift, scale = (m.scale_shift_table[None] + embedded[:, None]).chunk(2, 1)
        x = m.proj_out(torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale))
        patch, out = config.patch_size, config.out_channels
        x = x.reshape(n, height, width, patch, patch, out).permute(0, 5, 1, 3, 2, 4)
        noise: Tensor = x.reshape(n, out, height * patch, width * patch)
        return noise

    @staticmethod
    def _block(block: Any, x: Tensor, modulation: Tensor, captions: Tensor, bias: Tensor) -> Tensor:
        """``engine.models.pixart._Block.forward`` with a mask in place of groups of equal length."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (block.scale_shift_table[None] + modulation).chunk(6, 1)
        a = block.attn1
        y = torch.addcmul(shift1, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale1)
        y = F.scaled_dot_product_attention(a.split(a.to_q(y)), a.split(a.to_k(y)), a.split(a.to_v(y)))
        x = torch.addcmul(x, gate1, a.join(y))
        a = block.attn2
        y = F.scaled_dot_product_attention(
            a.split(a.to_q(x)), a.split(a.to_k(captions)), a.split(a.to_v(captions)), attn_mask=bias
        )
        x = x + a.join(y)
        y = torch.addcmul(shift2, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale2)
        return torch.addcmul(x, gate2, block.ff(y))


class TextEncoder(nn.Module):
    """Token ids and their mask to the last hidden states, ``[n, tokens]`` twice -> ``[n, tokens, channels]``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._decoder = model.config.model_type not in ("t5", "umt5")
        self._options = {"use_cache": False} if self._decoder else {}

    def trace_ready(self) -> TextEncoder:
        """Register attention that can be traced; its results equal PyTorch's. Returns self."""
        if self._decoder:
            from transformers import AttentionInterface, AttentionMaskInterface
            from transformers.masking_utils import sdpa_mask

            AttentionInterface.register("commonart-export", _attention)
            AttentionMaskInterface.register("commonart-export", sdpa_mask)
            self.model.set_attn_implementation("commonart-export")
        return self

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        out: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **self._options).last_hidden_state
        return out


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Scaled dot product attention in which a fully masked position gets zeros, as in PyTorch's kernels.

    An empty caption without special tokens is all padding, and its features are the values of such positions. The
    graph's softmax would give them an average of everything instead. Shared key and value heads are expanded here,
    since not every exporter can.
    """
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (x[:, :, None].expand(-1, -1, shared, -1, -1).flatten(1, 2) for x in (key, value))
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, is_causal=attention_mask is None
    )
    if attention_mask is not None:
        out = out * attention_mask.any(-1, keepdim=True).to(out.dtype)
    return out.transpose(1, 2).contiguous(), None


class VaeDecoder(nn.Module):
    """Latents to images, ``[n, latent, h, w]`` -> ``[n, 3, 8 h, 8 w]`` (for three halvings)."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latent_sample: Tensor) -> Tensor:
        out: Tensor = self.decoder(
            latent_sample if self.post_quant_conv is None else self.post_quant_conv(latent_sample)
        )
        return out


class VaeEncoder(nn.Module):
    """Images to mean and log variance, ``[n, 3, h, w]`` -> ``[n, 2 * latent, h / 8, w / 8]``."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.quant_conv, self.encoder = vae.quant_conv, vae.encoder

    def forward(self, sample: Tensor) -> Tensor:
        out: Tensor = self.encoder(sample)
        return out if self.quant_conv is None else self.quant_conv(out)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' warnings about intended things (shared axes, no torchvision)."""
    loggers = [
        logging.getLogger(n)
        for n in ("torch.onnx", "torch.export", "torch.fx", "torch._dynamo", "onnxscript", "onnx_ir")
    ]
    before = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, before, strict=True):
                one.setLevel(level)


def write_graph(module: nn.Module, config: ExporterConfig, file: Path, **shapes: int) -> None:
    """Export ``module`` with the inputs, outputs and dynamic axes of ``config``; weights go to ``file``'s name +
    ``_data``.

    ``shapes`` are optimum's (batch_size, sequence_length, height, width): the sizes to trace with. They must differ
    from each other and from 1, so that no axis is mistaken for another or for a fixed one.
    """
    inputs = config.generate_dummy_inputs(framework="pt", **shapes)
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (),
            kwargs=inputs,
            input_names=list(config.inputs),
            output_names=list(config.outputs),
            dynamo=True,
            dynamic_shapes={name: dict(config.inputs[name]) for name in inputs},
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        onnx_ir.save(program.model, file, external_data=f"{file.name}_data" if weights > LARGE else None)
