"""The PixArt-Σ / PixArt-α / CommonArt β transformer, with the parameter names of diffusers' ``PixArtTransformer2DModel``.

Differences that matter for batches, none for the numbers (equal to rounding on the same weights):

* captions are never padded: rows of one length attend together, keys and values are computed once per caption and
  reused at every step (``DiT.captions``), on a CPU with the weights around them (``engine.folding``);
* every row may sit at its own timestep;
* what the two halves of guidance have in common, up to the first attention to captions, is computed once.

Architecture: Chen et al., "PixArt-α" (arXiv 2310.00426, adaLN-single) and "PixArt-Σ" (arXiv 2403.04692).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine import folding
from engine.folding import Folded
from engine.stepcache import Middle


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The architecture, in the words of the checkpoint's ``config.json``."""

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
        fixed = {"norm_type": "ada_norm_single", "activation_fn": "gelu-approximate", "attention_type": "default",
                 "norm_elementwise_affine": False, "double_self_attention": False, "only_cross_attention": False,
                 "use_linear_projection": False, "num_vector_embeds": None, "upcast_attention": False}
        for key, want in fixed.items():
            if key in data and data[key] != want:
                raise ValueError(f"{key} is {data[key]!r}, a PixArt transformer has {want!r}")
        if data.get("norm_type") is None and data.get("_class_name") == "Transformer2DModel":
            raise ValueError("norm_type is missing, a PixArt transformer has 'ada_norm_single'")
        names = cls.__dataclass_fields__
        known = {k: v for k, v in data.items() if k in names and v is not None}
        for key, value in known.items():
            kinds: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,)}[str(names[key].type)]
            if type(value) not in kinds or (type(value) is not bool and not 0 < value < 2**31):
                raise ValueError(f"{key} is {value!r}")
        for key, most in (("num_layers", 1000), ("num_attention_heads", 1024), ("attention_head_dim", 1024), ("caption_channels", 1 << 17),
                          ("in_channels", 1024), ("out_channels", 2048), ("sample_size", 1 << 14), ("patch_size", 64)):
            if known.get(key, 1) > most:  # before memory is asked for
                raise ValueError(f"{key} is {known[key]!r}")
        size, patch = int(known.get("sample_size", 128)), int(known.get("patch_size", 2))
        # The two defaults below are those of diffusers, where a config leaves the entry out or null.
        known.setdefault("interpolation_scale", max(size // 64, 1))
        known.setdefault("use_additional_conditions", size == 128)
        config = cls(**known)
        if config.cross_attention_dim != config.width:
            raise ValueError(f"cross_attention_dim is {config.cross_attention_dim}, the width is {config.width}")
        if size % patch or config.in_channels < 1 or config.out_channels < config.in_channels:
            raise ValueError("sample_size, patch_size and channels do not fit each other")
        return config


def sinusoid(x: Tensor, width: int) -> Tensor:
    """Sinusoidal features, cosine half first: ``[n]`` -> float32 ``[n, width]`` (Ho et al., arXiv 2006.11239)."""
    freqs = torch.exp(torch.arange(width // 2, dtype=torch.float32, device=x.device) * (-math.log(10000) / (width // 2)))
    angles = x.float()[:, None] * freqs
    return torch.cat([angles.cos(), angles.sin()], -1)


def positions(config: DiTConfig, height: int, width: int) -> Tensor:
    """Fixed 2-D position features, float32 ``[height * width, config.width]``; sides in patches.

    Computed in float64 as diffusers does, so that both round alike.
    """
    base = config.sample_size // config.patch_size
    rows, cols = (torch.arange(n, dtype=torch.float64) / (n / base) / config.interpolation_scale for n in (height, width))
    quarter = config.width // 4
    omega = 1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)

    def axis(place: Tensor) -> Tensor:
        angles = place[:, None] * omega
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
        return self.linear_2(F.silu(self.linear_1(x)))


class _SizeEmbeddings(nn.Module):
    """Timestep and, for PixArt-α at 1024, picture size and aspect ratio, as one vector."""

    def __init__(self, width: int, with_size: bool) -> None:
        super().__init__()
        self.timestep_embedder = _TimestepEmbedding(256, width)
        if with_size:
            self.resolution_embedder = _TimestepEmbedding(256, width // 3)
            self.aspect_ratio_embedder = _TimestepEmbedding(256, width // 3)

    def forward(self, timesteps: Tensor, resolution: Tensor | None, aspect: Tensor | None) -> Tensor:
        dtype = self.timestep_embedder.linear_1.weight.dtype
        out = self.timestep_embedder(sinusoid(timesteps, 256).to(dtype))
        if resolution is None or aspect is None:
            return out
        rows = len(timesteps)
        size = self.resolution_embedder(sinusoid(resolution.flatten(), 256).to(dtype)).reshape(rows, -1)
        ratio = self.aspect_ratio_embedder(sinusoid(aspect.flatten(), 256).to(dtype)).reshape(rows, -1)
        return out + torch.cat([size, ratio], -1)


class _AdaLNSingle(nn.Module):
    def __init__(self, width: int, with_size: bool) -> None:
        super().__init__()
        self.emb = _SizeEmbeddings(width, with_size)
        self.linear = nn.Linear(width, 6 * width)


class _CaptionProjection(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inside, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.gelu(self.linear_1(x), approximate="tanh"))


class _PatchEmbed(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.in_channels, config.width, config.patch_size, stride=config.patch_size)

    def forward(self, latents: Tensor) -> Tensor:
        """``[n, channels, height, width]`` -> ``[n, patches, width]``, contiguous: all that follows is faster for it."""
        proj = self.proj
        if type(proj) is not nn.Conv2d or not torch.is_inference_mode_enabled():
            return proj(latents).flatten(2).transpose(1, 2)
        # patches do not overlap, so the convolution is one matrix product; libraries of convolutions are slow at so few channels
        p = proj.kernel_size[0]
        patches = latents.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return F.linear(patches, proj.weight.flatten(1), proj.bias)


class _Attention(nn.Module):
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
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        return self.to_out[0](x.transpose(1, 2).flatten(2))


class _GELU(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.proj(x)
        if y.device.type != "cpu" or not torch.is_inference_mode_enabled():
            return F.gelu(y, approximate="tanh")
        # (1 + tanh z) / 2 is 1 / (1 + exp(-2 z)): on a CPU the vector code of exp2 takes a fifth of the time of tanh's. One tensor besides
        # y, since fresh memory costs more than arithmetic
        below = torch.addcmul(torch.tensor(ROOT * BITS, dtype=y.dtype), y, y, value=0.044715 * ROOT * BITS)
        return y.div_(below.mul_(y).exp2_().add_(1))


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # index 1 is dropout in diffusers: it has no parameters, but the names count it
        self.net = nn.ModuleList([_GELU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


def modulated(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """``x [n, tokens, width]`` normed over its width, then scaled by ``1 + scale`` and shifted, both ``[n or 1, 1, width]``."""
    if len(shift) == 1 and torch.is_inference_mode_enabled():  # one vector for all rows: the norm's own weights
        return F.layer_norm(x, x.shape[-1:], 1 + scale[0, 0], shift[0, 0], eps)
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=eps), 1 + scale)


class Words(NamedTuple):
    """What one layer reads of the captions of rows ``start`` to ``stop``, all of one length: keys and values ``[rows or 1, heads, len, dim]``."""

    start: int
    stop: int
    keys: Tensor
    values: Tensor
    folded: Folded | None = None


@dataclass(frozen=True)
class CaptionGroup:
    """Rows [start, stop) that share a caption length, with keys and values of every layer: ``[rows or 1, heads, len, dim]``."""

    start: int
    stop: int
    keys: list[Tensor]
    values: list[Tensor]
    folded: list[Folded] | None = None

    def words(self, layer: int) -> Words:
        """For one layer."""
        return Words(self.start, self.stop, self.keys[layer], self.values[layer], self.folded[layer] if self.folded else None)


@dataclass(frozen=True)
class _Layer:
    """One caption in one layer."""

    keys: Tensor
    values: Tensor
    folded: Folded | None


ProjectedCaption = list[_Layer]


class _Block(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(6, config.width) / config.width**0.5)
        self.attn1 = _Attention(config)
        self.attn2 = _Attention(config)
        self.ff = _FeedForward(config.width)
        self.eps = config.norm_eps

    def forward(self, x: Tensor, modulation: Tensor, captions: Sequence[Words], copies: int = 1) -> Tensor:
        """``x [n, tokens, width]``, ``modulation [n or 1, 6, width]`` -> ``[n * copies, tokens, width]``.

        ``copies``: ``captions`` stand for so many times the rows of ``x``, which part only here; ``modulation`` must have one row then.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.scale_shift_table[None] + modulation)[:, :, None].unbind(1)
        y = modulated(x, shift1, scale1, self.eps)
        a = self.attn1
        y = F.scaled_dot_product_attention(a.split(a.to_q(y)), a.split(a.to_k(y)), a.split(a.to_v(y)))
        x = torch.addcmul(x, gate1, a.join(y))
        if copies > 1:
            x = x.repeat(copies, 1, 1)
        x = self.read(x, captions)
        return torch.addcmul(x, gate2, self.ff(modulated(x, shift2, scale2, self.eps)))

    def read(self, x: Tensor, captions: Sequence[Words]) -> Tensor:
        """``x`` and what the captions give it; PixArt does not norm before it. Where captions are folded, ``x`` itself is changed."""
        a = self.attn2

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k.expand(len(q), -1, -1, -1), v.expand(len(q), -1, -1, -1))

        if not any(w.folded for w in captions):
            q = a.split(a.to_q(x))
            parts = [attend(q[w.start:w.stop], w.keys, w.values) for w in captions]
            return x + a.join(parts[0] if len(parts) == 1 else torch.cat(parts))
        for w in captions:
            rows = x[w.start:w.stop]
            if w.folded:
                folding.add_attended(rows, w.folded)
            else:
                rows += a.join(attend(a.split(a.to_q(rows)), w.keys, w.values))
        return x


class DiT(nn.Module):
    """The denoiser."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = _PatchEmbed(config)
        self.adaln_single = _AdaLNSingle(config.width, config.use_additional_conditions)
        self.caption_projection = _CaptionProjection(config.caption_channels, config.width)
        self.transformer_blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.scale_shift_table = nn.Parameter(torch.randn(2, config.width) / config.width**0.5)
        self.proj_out = nn.Linear(config.width, config.patch_size**2 * config.out_channels)
        self._places: dict[tuple[Any, ...], Tensor] = {}

    def captions(self, features: Sequence[Tensor], projected: dict[int, ProjectedCaption] | None = None) -> list[CaptionGroup]:
        """Cross-attention keys and values of every layer, once for all steps.

        ``features`` holds one ``[tokens, caption_channels]`` tensor a row, of any lengths, in row order; rows that
        are the same object share one computation. Neighbouring rows of equal length form a group. Each caption is
        projected alone, so its keys and values do not depend on its neighbours. ``projected`` keeps what is computed
        for another call with the same objects, which the caller must keep alive as long.
        """
        projected = {} if projected is None else projected
        for feature in features:
            if id(feature) not in projected:
                projected[id(feature)] = self._project(feature)
        groups, start = [], 0
        while start < len(features):
            stop = start + 1
            while stop < len(features) and len(features[stop]) == len(features[start]):
                stop += 1
            rows = [projected[id(f)] for f in features[start:stop]]
            layers = list(zip(*(rows[:1] if all(r is rows[0] for r in rows) else rows), strict=True))  # of each layer, its rows
            folded = [folding.join([one.folded for one in layer if one.folded]) for layer in layers if layer[0].folded]
            groups.append(CaptionGroup(start, stop, [_rows([one.keys for one in layer]) for layer in layers],
                                       [_rows([one.values for one in layer]) for layer in layers], folded or None))
            start = stop
        return groups

    def _project(self, feature: Tensor) -> ProjectedCaption:
        """What every layer reads of one caption."""
        y = self.caption_projection(feature[None].to(self.proj_out.weight.dtype))
        attentions: list[Any] = [b.attn2 for b in self.transformer_blocks]
        folds = folding.worth(attentions[0], len(feature), len(attentions))
        found = []
        for a in attentions:
            keys, values = a.split(a.to_k(y)), a.split(a.to_v(y))
            found.append(_Layer(keys, values, folding.fold(a, keys, values) if folds else None))
        return found

    def _positions(self, height: int, width: int, like: Tensor) -> Tensor:
        key = (height, width, like.dtype, like.device)
        if key not in self._places:
            self._places = {key: positions(self.config, height, width).to(like)}  # only the last size is kept
        return self._places[key]

    def forward(self, latents: Tensor, timesteps: Tensor, captions: Sequence[CaptionGroup],
                resolution: Tensor | None = None, aspect: Tensor | None = None, *, middle: Middle | None = None) -> Tensor:
        """Predict noise (or v) and learned variance.

        Args:
            latents: ``[n, in_channels, height, width]``, sides multiples of the patch.
            timesteps: ``[m]``, one per row, or ``[1]`` for all.
            captions: from ``captions()``, covering rows 0 to m; m is n, or a multiple of n where the latents stand for themselves so
                many times.
            resolution, aspect: ``[m, 2]`` pixels (height, width) and ``[m, 1]``, for ``use_additional_conditions``.
            middle: which blocks may be left out here, and what stands in for them; None: all are run.

        Returns:
            ``[m, out_channels, height, width]`` in the dtype of the weights.
        """
        n, _, tall, wide = latents.shape
        rows = captions[-1].stop
        patch = self.config.patch_size
        height, width = tall // patch, wide // patch
        x = self.pos_embed(latents)
        x = x + self._positions(height, width, x)
        embedded = self.adaln_single.emb(timesteps, resolution, aspect)
        modulation = self.adaln_single.linear(F.silu(embedded)).unflatten(-1, (6, -1))

        depth = len(self.transformer_blocks)

        def run(x: Tensor, start: int, stop: int) -> Tensor:
            for layer in range(start, stop):
                x = self.transformer_blocks[layer](x, modulation, [g.words(layer) for g in captions], rows // len(x))
            return x

        if len(modulation) > 1 or middle is not None and not min(middle.first, depth):  # what follows must see all rows
            x = x.repeat(rows // n, 1, 1)
        if middle is None:
            x = run(x, 0, depth)
        else:
            first, stop = min(middle.first, depth), min(middle.stop, depth)
            x = run(x, 0, first)
            x = middle.through(x, lambda x: run(x, first, stop))
            x = run(x, stop, depth)
        shift, scale = (self.scale_shift_table[None] + embedded[:, None])[:, :, None].unbind(1)
        x = self.proj_out(modulated(x, shift, scale, 1e-6))
        x = x.reshape(rows, height, width, patch, patch, -1)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(rows, -1, tall, wide)


def _rows(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
