"""The decoding half of diffusers' ``AutoencoderKL`` as Stable Diffusion, PixArt and CommonArt use it, with its
parameter names.

The same operations in the same order, so the same values bit by bit; but without the encoder's weights, and without
importing diffusers' model classes, which takes longer than loading a model. ``is_plain_vae`` rejects configs that need
anything else.

Architecture: Rombach et al., arXiv 2112.10752; tiles with blended edges as ``AutoencoderKL.tiled_decode``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: diffusers' defaults for entries that a config omits
DEFAULTS: dict[str, Any] = {
    "out_channels": 3,
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [64],
    "layers_per_block": 1,
    "act_fn": "silu",
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 32,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
OVERLAP = 0.25  # of a tile's side


def is_plain_vae(config: dict[str, Any]) -> dict[str, Any] | None:
    """The entries that this module reads, with defaults; None if the config needs something else or is invalid."""
    values = {k: config.get(k, v) for k, v in DEFAULTS.items()}
    counts = [
        values[k] for k in ("out_channels", "layers_per_block", "latent_channels", "norm_num_groups", "sample_size")
    ]
    channels = values["block_out_channels"]
    if (
        not isinstance(channels, list)
        or not 0 < len(channels) < 9
        or any(type(n) is not int or not 0 < n <= 1 << 14 for n in (*counts, *channels))
    ):
        return None
    if (
        values["up_block_types"] != ["UpDecoderBlock2D"] * len(channels)
        or values["act_fn"] != "silu"
        or any(n % values["norm_num_groups"] for n in channels)
    ):
        return None
    if values["layers_per_block"] > 64 or any(
        type(values[k]) is not bool for k in ("use_post_quant_conv", "mid_block_add_attention")
    ):
        return None
    scale, shift = values["scaling_factor"], values["shift_factor"] or 0
    if type(scale) not in (int, float) or not 0 < scale < 1e9 or type(shift) not in (int, float) or abs(shift) > 1e9:
        return None
    return values


class _Resnet(nn.Module):
    def __init__(self, inside: int, outside: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inside, eps=1e-6)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outside, eps=1e-6)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inside, outside, 1) if inside != outside else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        out: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + y
        return out


class _Attention(nn.Module):
    """One head as wide as the map has channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        y = self.group_norm(x.view(n, c, h * w)).transpose(1, 2)
        q, k, v = (layer(y)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        y = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        out: Tensor = y.transpose(1, 2).reshape(n, c, h, w) + x
        return out


class _MidBlock(nn.Module):
    def __init__(self, channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([_Attention(channels, groups)] if attention else [])
        self.resnets = nn.ModuleList([_Resnet(channels, channels, groups) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        out: Tensor = self.resnets[1](x)
        return out


class _Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class _UpBlock(nn.Module):
    def __init__(self, inside: int, outside: int, layers: int, groups: int, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([_Resnet(inside if n == 0 else outside, outside, groups) for n in range(layers)])
        self.upsamplers = nn.ModuleList([] if last else [_Upsample(outside)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class _Decoder(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        channels, groups = list(reversed(config["block_out_channels"])), config["norm_num_groups"]
        self.conv_in = nn.Conv2d(config["latent_channels"], channels[0], 3, padding=1)
        self.mid_block = _MidBlock(channels[0], groups, config["mid_block_add_attention"])
        self.up_blocks = nn.ModuleList(
            [
                _UpBlock(
                    channels[max(0, n - 1)], outside, config["layers_per_block"] + 1, groups, n == len(channels) - 1
                )
                for n, outside in enumerate(channels)
            ]
        )
        self.conv_norm_out = nn.GroupNorm(groups, channels[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(channels[-1], config["out_channels"], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(x)))
        return out


class VaeDecoder(nn.Module):
    """Latents to pixels; ``config`` is from ``is_plain_vae``."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.decoder = _Decoder(config)
        self.post_quant_conv = (
            nn.Conv2d(config["latent_channels"], config["latent_channels"], 1)
            if config["use_post_quant_conv"]
            else None
        )
        self.tiled = False
        self._side = int(config["sample_size"] / 2 ** (len(config["block_out_channels"]) - 1))  # of a tile, in latents

    @property
    def dtype(self) -> torch.dtype:
        return self.decoder.conv_in.weight.dtype

    def enable_tiling(self) -> None:
        """Decode what is larger than the model was trained on in overlapping tiles: less memory, edges blended."""
        self.tiled = True

    def disable_tiling(self) -> None:
        self.tiled = False

    def decode(self, z: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """Pixels of scaled latents, with the signature of diffusers' method.

        Args:
            z: ``[n, latent_channels, h, w]``, already scaled.
            return_dict: ignored.

        Returns:
            A tuple of one tensor ``[n, out_channels, h * scale, w * scale]``, from -1 to 1.
        """
        if self.tiled and max(z.shape[-2:]) > self._side:
            return (self._decode_tiled(z),)
        return (self._decode(z),)

    def _decode(self, z: Tensor) -> Tensor:
        out: Tensor = self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z))
        return out

    def _decode_tiled(self, z: Tensor) -> Tensor:
        side, step = self._side, max(1, int(self._side * (1 - OVERLAP)))
        scale = 2 ** (len(self.config["block_out_channels"]) - 1)
        blend = int(side * scale * OVERLAP)
        keep = side * scale - blend
        above: list[Tensor] = []
        rows = []
        for top in range(0, z.shape[2], step):
            tiles = [self._decode(z[:, :, top : top + side, left : left + side]) for left in range(0, z.shape[3], step)]
            for n, tile in enumerate(tiles):
                if above:
                    _blend(above[n], tile, blend, 2)
                if n:
                    _blend(tiles[n - 1], tile, blend, 3)
            rows.append(torch.cat([tile[:, :, :keep, :keep] for tile in tiles], 3))
            above = tiles
        return torch.cat(rows, 2)


def _blend(before: Tensor, after: Tensor, width: int, dim: int) -> None:
    """Fade from the end of ``before`` into the start of ``after``, in place."""
    width = min(before.shape[dim], after.shape[dim], width)
    shape = [1, 1, 1, 1]
    shape[dim] = width
    share = (torch.arange(width, dtype=torch.float64) / width).to(after).view(shape)
    start = after.narrow(dim, 0, width)
    start.copy_(before.narrow(dim, before.shape[dim] - width, width) * (1 - share) + start * share)
