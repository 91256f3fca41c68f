"""Layers of the PixArt transformer: configuration, embeddings, attention, feed-forward and norm, with diffusers'
parameter names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The architecture, with the keys of the checkpoint's ``config.json``."""

    num_attention_heads: int = 16
    attention_head_dim: int = 72
    in_channels: int = 4
    out_channels: int = 8  # noise and a learned variance; the second half is not used in sampling
    num_layers: int = 28
    cross_attention_dim: int = 1152
    caption_channels: int = 4096
    sample_size: int = 128  # latent side the positions were trained at
    patch_size: int = 2
    interpolation_scale: float = 2.0
    attention_bias: bool = True
    norm_eps: float = 1e-6
    use_additional_conditions: bool = False  # PixArt-α at 1024: size and aspect are embedded too

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DiTConfig:
        """Read a diffusers config, of today's class name or the legacy ``Transformer2DModel``.

        Raises:
            ValueError: the config describes another architecture; the text says which entry.
        """
        fixed = {
            "norm_type": "ada_norm_single",
            "activation_fn": "gelu-approximate",
            "attention_type": "default",
            "norm_elementwise_affine": False,
            "double_self_attention": False,
            "only_cross_attention": False,
            "use_linear_projection": False,
            "num_vector_embeds": None,
            "upcast_attention": False,
        }
        for key, want in fixed.items():
            if key in data and data[key] != want:
                raise ValueError(f"{key} is {data[key]!r}, a PixArt transformer has {want!r}")
        if data.get("norm_type") is None and data.get("_class_name") == "Transformer2DModel":
            raise ValueError("norm_type is missing, a PixArt transformer has 'ada_norm_single'")
        names = cls.__dataclass_fields__
        values = {k: v for k, v in data.items() if k in names and v is not None}
        for key, value in values.items():
            kinds: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,)}[str(names[key].type)]
            if type(value) not in kinds or (type(value) is not bool and not 0 < value < 2**31):
                raise ValueError(f"{key} is {value!r}")
        for key, most in (
            ("num_layers", 1000),
            ("num_attention_heads", 1024),
            ("attention_head_dim", 1024),
            ("caption_channels", 1 << 17),
            ("in_channels", 1024),
            ("out_channels", 2048),
            ("sample_size", 1 << 14),
            ("patch_size", 64),
        ):
            if values.get(key, 1) > most:  # before memory is allocated
                raise ValueError(f"{key} is {values[key]!r}")
        size, patch = int(values.get("sample_size", 128)), int(values.get("patch_size", 2))
        # The two defaults below are those of diffusers, where a config leaves the entry out or null.
        values.setdefault("interpolation_scale", max(size // 64, 1))
        values.setdefault("use_additional_conditions", size == 128)
        config = cls(**values)
        if config.cross_attention_dim != config.width:
            raise ValueError(f"cross_attention_dim is {config.cross_attention_dim}, the width is {config.width}")
        if size % patch or config.in_channels < 1 or config.out_channels < config.in_channels:
            raise ValueError("sample_size, patch_size and channels do not fit each other")
        return config


def sinusoid(x: Tensor, width: int) -> Tensor:
    """Sinusoidal features, cosine half first: ``[n]`` -> float32 ``[n, width]`` (Ho et al., arXiv 2006.11239)."""
    freqs = torch.exp(
        torch.arange(width // 2, dtype=torch.float32, device=x.device) * (-math.log(10000) / (width // 2))
    )
    angles = x.float()[:, None] * freqs
    return torch.cat([angles.cos(), angles.sin()], -1)


def positions(config: DiTConfig, height: int, width: int) -> Tensor:
    """Fixed 2-D position features, float32 ``[height * width, config.width]``; sides in patches.

    Computed in float64 as diffusers does, so that both round alike.
    """
    base = config.sample_size // config.patch_size
    rows, cols = (
        torch.arange(n, dtype=torch.float64) / (n / base) / config.interpolation_scale for n in (height, width)
    )
    quarter = config.width // 4
    omega = 1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)

    def axis(position: Tensor) -> Tensor:
        angles = position[:, None] * omega
        return torch.cat([angles.sin(), angles.cos()], -1)

    across = axis(cols)[None].expand(height, width, -1)
    down = axis(rows)[:, None].expand(height, width, -1)
    return torch.cat([across, down], -1).reshape(height * width, -1).float()


ROOT = math.sqrt(8 / math.pi)  # twice the factor in GELU's tanh form (Hendrycks and Gimpel, arXiv 1606.08415)
BITS = -math.log2(math.e)  # 2 to the power of this times z is e to the power of -z


class _TimestepEmbedding(nn.Module):
    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inside, outside)
        self.linear_2 = nn.Linear(outside, outside)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.silu(self.linear_1(x)))
        return out


class _SizeEmbeddings(nn.Module):
    """Timestep and, for PixArt-α at 1024, image size and aspect ratio, as one vector."""

    def __init__(self, width: int, with_size: bool) -> None:
        super().__init__()
        self.timestep_embedder = _TimestepEmbedding(256, width)
        if with_size:
            self.resolution_embedder = _TimestepEmbedding(256, width // 3)
            self.aspect_ratio_embedder = _TimestepEmbedding(256, width // 3)

    def forward(self, timesteps: Tensor, resolution: Tensor | None, aspect: Tensor | None) -> Tensor:
        dtype = self.timestep_embedder.linear_1.weight.dtype
        out: Tensor = self.timestep_embedder(sinusoid(timesteps, 256).to(dtype))
        if resolution is None or aspect is None:
            return out
        rows = len(timesteps)
        size = self.resolution_embedder(sinusoid(resolution.flatten(), 256).to(dtype)).reshape(rows, -1)
        ratio = self.aspect_ratio_embedder(sinusoid(aspect.flatten(), 256).to(dtype)).reshape(rows, -1)
        return out + torch.cat([size, ratio], -1)


class AdaLNSingle(nn.Module):
    def __init__(self, width: int, with_size: bool) -> None:
        super().__init__()
        self.emb = _SizeEmbeddings(width, with_size)
        self.linear = nn.Linear(width, 6 * width)


class CaptionProjection(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inside, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.gelu(self.linear_1(x), approximate="tanh"))
        return out


class PatchEmbed(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.in_channels, config.width, config.patch_size, stride=config.patch_size)

    def forward(self, latents: Tensor) -> Tensor:
        """``[n, channels, height, width]`` -> ``[n, patches, width]``, contiguous, which makes what follows faster."""
        proj = self.proj
        if type(proj) is not nn.Conv2d or not torch.is_inference_mode_enabled():
            embedded: Tensor = proj(latents)
            return embedded.flatten(2).transpose(1, 2)
        # patches do not overlap, so the convolution is one matrix product; convolution libraries are slow at so few
        # channels
        p = proj.kernel_size[0]
        patches = torch.unflatten(torch.unflatten(latents, 3, (-1, p)), 2, (-1, p)).permute(0, 2, 4, 1, 3, 5)
        return F.linear(patches.flatten(3).flatten(1, 2), proj.weight.flatten(1), proj.bias)


class Attention(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width, bias = config.width, config.attention_bias
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(width, width, bias=bias)
        self.to_k = nn.Linear(width, width, bias=bias)
        self.to_v = nn.Linear(width, width, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def split(self, x: Tensor) -> Tensor:
        """``[n, tokens, width]`` -> ``[n, heads, tokens, head_dim]``."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """``[n, heads, tokens, head_dim]`` -> ``[n, tokens, width]``, after the output layer."""
        out: Tensor = self.to_out[0](x.transpose(1, 2).flatten(2))
        return out


class _GELU(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.proj(x)
        if y.device.type != "cpu" or torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
            return F.gelu(y, approximate="tanh")
        # (1 + tanh z) / 2 is 1 / (1 + exp(-2 z)): on a CPU the vector code of exp2 takes a fifth of the time of tanh's.
        # Only one tensor besides y, since fresh memory costs more than arithmetic
        below = torch.addcmul(torch.tensor(ROOT * BITS, dtype=y.dtype), y, y, value=0.044715 * ROOT * BITS)
        return y.div_(below.mul_(y).exp2_().add_(1))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # index 1 is dropout in diffusers: it has no parameters, but the names count it
        self.net = nn.ModuleList([_GELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net[2](self.net[0](x))
        return out


def modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """``x [n, tokens, width]`` normed over its width, then scaled by ``1 + scale`` and shifted, both ``[n or 1, 1,
    width]``.
    """
    if len(shift) == 1 and torch.is_inference_mode_enabled():  # one vector for all rows can be the norm's own weights
        return F.layer_norm(x, x.shape[-1:], 1 + scale[0, 0], shift[0, 0], eps)
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)
