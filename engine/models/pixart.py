"""The PixArt-Σ / PixArt-α / CommonArt β transformer, with the parameter names of diffusers'
``PixArtTransformer2DModel``.

Differences that matter for batches but not for the result (equal up to rounding with the same weights):

* captions are never padded: rows of one length attend together, keys and values are computed once per caption and
  reused at every step (``DiT.captions``), on a CPU premultiplied with their weights
  (``engine.models.caption_attention``);
* every row may have its own timestep;
* what the two halves of guidance have in common, up to the first attention to captions, is computed once.

Architecture: Chen et al., "PixArt-α" (arXiv 2310.00426, adaLN-single) and "PixArt-Σ" (arXiv 2403.04692).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.models import caption_attention
from engine.models.caption_attention import FoldedCaption
from engine.models.layers import (
    AdaLNSingle,
    Attention,
    CaptionProjection,
    DiTConfig,
    FeedForward,
    PatchEmbed,
    modulate,
    positions,
)

__all__ = ["CaptionGroup", "CaptionKV", "DiT", "DiTConfig", "ProjectedCaption"]


class CaptionKV(NamedTuple):
    """One layer's keys and values, ``[rows or 1, heads, len, dim]``, of the captions of rows ``start`` to ``stop``, all
    of one length.
    """

    start: int
    stop: int
    keys: Tensor
    values: Tensor
    folded: FoldedCaption | None = None


@dataclass(frozen=True)
class CaptionGroup:
    """Rows [start, stop) that share a caption length, with every layer's keys and values ``[rows or 1, heads, len,
    dim]``.
    """

    start: int
    stop: int
    keys: list[Tensor]
    values: list[Tensor]
    folded: list[FoldedCaption] | None = None

    def layer(self, index: int) -> CaptionKV:
        """The keys and values of one layer."""
        return CaptionKV(
            self.start, self.stop, self.keys[index], self.values[index], self.folded[index] if self.folded else None
        )


@dataclass(frozen=True)
class _Layer:
    """One caption in one layer."""

    keys: Tensor
    values: Tensor
    folded: FoldedCaption | None


ProjectedCaption = list[_Layer]


class _Block(nn.Module):
    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.scale_shift_table = nn.Parameter(torch.randn(6, config.width) / config.width**0.5)
        self.attn1 = Attention(config)
        self.attn2 = Attention(config)
        self.ff = FeedForward(config.width)
        self.eps = config.norm_eps

    def forward(self, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV], copies: int = 1) -> Tensor:
        """One block.

        Args:
            x: ``[n, tokens, width]``.
            modulation: ``[n or 1, 6, width]``.
            captions: of ``n * copies`` rows.
            copies: the rows of ``x`` are repeated so many times before the attention to captions; ``modulation`` must
                have one row then.

        Returns:
            ``[n * copies, tokens, width]``.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.scale_shift_table[None] + modulation)[:, :, None].unbind(1)
        y = modulate(x, shift1, scale1, self.eps)
        a = self.attn1
        y = F.scaled_dot_product_attention(a.split(a.to_q(y)), a.split(a.to_k(y)), a.split(a.to_v(y)))
        x = torch.addcmul(x, gate1, a.join(y))
        if copies > 1:
            x = x.repeat(copies, 1, 1)
        x = self.attend_to_captions(x, captions)
        return torch.addcmul(x, gate2, self.ff(modulate(x, shift2, scale2, self.eps)))

    def attend_to_captions(self, x: Tensor, captions: Sequence[CaptionKV]) -> Tensor:
        """``x`` plus the attention to the captions; PixArt has no norm before it.

        Where captions are folded, ``x`` is changed in place.
        """
        a = self.attn2

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k.expand(len(q), -1, -1, -1), v.expand(len(q), -1, -1, -1))

        if not any(kv.folded for kv in captions):
            q = a.split(a.to_q(x))
            parts = [attend(q[kv.start : kv.stop], kv.keys, kv.values) for kv in captions]
            return x + a.join(parts[0] if len(parts) == 1 else torch.cat(parts))
        for kv in captions:
            rows = x[kv.start : kv.stop]
            if kv.folded:
                caption_attention.add_attended(rows, kv.folded)
            else:
                rows += a.join(attend(a.split(a.to_q(rows)), kv.keys, kv.values))
        return x


class DiT(nn.Module):
    """The denoiser."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = PatchEmbed(config)
        self.adaln_single = AdaLNSingle(config.width, config.use_additional_conditions)
        self.caption_projection = CaptionProjection(config.caption_channels, config.width)
        self.transformer_blocks = nn.ModuleList(_Block(config) for _ in range(config.num_layers))
        self.scale_shift_table = nn.Parameter(torch.randn(2, config.width) / config.width**0.5)
        self.proj_out = nn.Linear(config.width, config.patch_size**2 * config.out_channels)
        self._position_cache: dict[tuple[Any, ...], Tensor] = {}

    def captions(
        self, features: Sequence[Tensor], projected: dict[int, ProjectedCaption] | None = None
    ) -> list[CaptionGroup]:
        """Cross-attention keys and values of every layer, once for all steps.

        Neighbouring rows of equal length form a group. Each caption is projected alone, so its keys and values do not
        depend on its neighbours.

        Args:
            features: one ``[tokens, caption_channels]`` tensor per row, of any lengths, in row order; rows that are the
                same object share one computation.
            projected: caches results by object identity for another call with the same objects, which the caller must
                keep alive.
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
            shared = all(r is rows[0] for r in rows)
            layers = list(zip(*(rows[:1] if shared else rows), strict=True))  # the rows of each layer
            folded = [
                caption_attention.join([one.folded for one in layer if one.folded])
                for layer in layers
                if layer[0].folded
            ]
            groups.append(
                CaptionGroup(
                    start,
                    stop,
                    [_rows([one.keys for one in layer]) for layer in layers],
                    [_rows([one.values for one in layer]) for layer in layers],
                    folded or None,
                )
            )
            start = stop
        return groups

    def _project(self, feature: Tensor) -> ProjectedCaption:
        """Every layer's keys and values of one caption."""
        y = self.caption_projection(feature[None].to(self.proj_out.weight.dtype))
        attentions: list[Any] = [b.attn2 for b in self.transformer_blocks]
        folds = caption_attention.should_fold(attentions[0], len(feature), len(attentions))
        layers = []
        for a in attentions:
            keys, values = a.split(a.to_k(y)), a.split(a.to_v(y))
            layers.append(_Layer(keys, values, caption_attention.fold_caption(a, keys, values) if folds else None))
        return layers

    def _positions(self, height: int, width: int, like: Tensor) -> Tensor:
        key = (height, width, like.dtype, like.device)
        if key not in self._position_cache:
            self._position_cache = {key: positions(self.config, height, width).to(like)}  # only the last size is cached
        return self._position_cache[key]

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        captions: Sequence[CaptionGroup],
        resolution: Tensor | None = None,
        aspect: Tensor | None = None,
    ) -> Tensor:
        """Predict noise (or v) and learned variance.

        Args:
            latents: ``[n, in_channels, height, width]``, sides multiples of the patch.
            timesteps: ``[m]``, one per row, or ``[1]`` for all.
            captions: from ``captions()``, covering rows 0 to m; m is n, or a multiple of n where the latents are
                repeated so many times.
            resolution, aspect: ``[m, 2]`` pixels (height, width) and ``[m, 1]``, for ``use_additional_conditions``.

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

        if rows > n and len(modulation) > 1:  # every row has its own modulation, so all of them must be there
            x = x.repeat(rows // n, 1, 1)
        for index, block in enumerate(self.transformer_blocks):
            x = block(x, modulation, [g.layer(index) for g in captions], rows // len(x))
        shift, scale = (self.scale_shift_table[None] + embedded[:, None])[:, :, None].unbind(1)
        x = self.proj_out(modulate(x, shift, scale, 1e-6))
        x = x.reshape(rows, height, width, patch, patch, -1)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(rows, -1, tall, wide)


def _rows(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
