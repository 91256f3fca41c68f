"""Attention to a short caption in few operations, by premultiplying its keys and values with the layer's weights.

``softmax((x Wq + b) K') V Wo`` is ``softmax(x (Wq K') + b K') (V Wo)``: for a caption of few tokens the two products in
brackets are smaller than ``Wq`` and ``Wo`` themselves, and they are computed once for all steps. The result is the same
up to rounding. A caption of one token, as the empty negative prompt usually is, adds the same vector at every position.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from engine.checkpoint.memory_plan import FOLDED


class FoldedCaption(NamedTuple):
    """One layer's captions of equal length; ``rows`` is 1 where all rows share one caption.

    Attributes:
        scores: ``[rows, width, heads * tokens]``; None for one token, since there is nothing to weight.
        offset: ``[rows, 1, heads * tokens]``; None for one token.
        outputs: ``[rows, heads * tokens, width]``, with the output bias divided among the heads; ``[rows, 1, width]``
            for one token.
        heads: the number of attention heads.
    """

    scores: Tensor | None
    offset: Tensor | None
    outputs: Tensor
    heads: int


def should_fold(attention: Any, tokens: int, layers: int) -> bool:
    """Whether captions of ``tokens`` are folded: by the model and their length only, so that neighbours do not affect
    an image.

    Only on CPUs, where fewer operations take less time; elsewhere fused attention is faster than separate products.
    """
    weight, output = attention.to_q.weight, attention.to_out[0]
    if (
        weight.device.type != "cpu"
        or not torch.is_inference_mode_enabled()
        or type(attention.to_q) is not nn.Linear
        or type(output) is not nn.Linear
    ):
        return False
    width, columns = len(weight), attention.heads * tokens
    return tokens == 1 or (2 * columns <= width and 2 * width * columns * layers * weight.element_size() <= FOLDED)


def fold_caption(attention: Any, keys: Tensor, values: Tensor) -> FoldedCaption:
    """Fold one caption's ``keys`` and ``values``, both ``[1, heads, tokens, head_dim]``."""
    query, output, heads = attention.to_q, attention.to_out[0], attention.heads
    if keys.shape[2] == 1:
        return FoldedCaption(None, None, output(values.transpose(1, 2).flatten(2)), heads)
    keys, values = keys[0] * keys.shape[-1] ** -0.5, values[0]
    scores: Tensor = keys @ query.weight.unflatten(0, (heads, -1))
    offset = torch.zeros_like(keys[..., 0]) if query.bias is None else (keys @ query.bias.view(heads, -1, 1))[..., 0]
    outputs = values @ output.weight.t().unflatten(0, (heads, -1))
    if output.bias is not None:
        outputs = outputs + output.bias / heads
    return FoldedCaption(
        scores.flatten(0, 1).t().contiguous()[None], offset.reshape(1, 1, -1), outputs.flatten(0, 1)[None], heads
    )


def join(rows: list[FoldedCaption]) -> FoldedCaption:
    """Several captions of equal length as one."""
    if len(rows) == 1:
        return rows[0]
    scores = [row.scores for row in rows if row.scores is not None]
    offsets = [row.offset for row in rows if row.offset is not None]
    return FoldedCaption(
        torch.cat(scores) if scores else None,
        torch.cat(offsets) if offsets else None,
        torch.cat([row.outputs for row in rows]),
        rows[0].heads,
    )


def add_attended(x: Tensor, folded: FoldedCaption) -> None:
    """Add the attention output to ``x [n, positions, width]``, in place."""
    if folded.scores is None or folded.offset is None:
        x += folded.outputs
        return
    # row by row even where all share a caption: one large product may round differently, and an image must not depend
    # on its neighbours
    scores = torch.baddbmm(folded.offset, x, folded.scores.expand(len(x), -1, -1))
    by_head = torch.unflatten(scores, -1, (folded.heads, -1))
    x.baddbmm_(by_head.softmax(-1).flatten(-2), folded.outputs.expand(len(x), -1, -1))
