"""Attention to a short caption in few operations: the queries' and outputs' weights are multiplied into its keys and values beforehand.

``softmax((x Wq + b) K') V Wo`` is ``softmax(x (Wq K') + b K') (V Wo)``: for a caption of few tokens the two products in brackets are smaller
than ``Wq`` and ``Wo`` themselves, and they are made once for all steps. What comes out is the same up to rounding. A caption of one
token, which the empty negative prompt mostly is, gives every place the same vector, whatever is there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from engine.checkpoint.memory_plan import FOLDED


class FoldedCaption(NamedTuple):
    """One layer's captions of equal length; ``rows`` is 1 where all share one."""

    scores: Tensor | None  # [rows, width, heads * tokens]; None for one token: there is nothing to weigh
    offset: Tensor | None  # [rows, 1, heads * tokens]
    outputs: Tensor  # [rows, heads * tokens, width], with the last bias shared out among the heads; [rows, 1, width] for one token
    heads: int


def should_fold(attention: Any, tokens: int, layers: int) -> bool:
    """Whether captions of ``tokens`` are folded: by what the model is and their length only, so that neighbours change no picture.

    On CPUs, where fewer operations are less time; elsewhere fused attention is not to be beaten by loose products.
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
    """``keys`` and ``values`` ``[1, heads, tokens, head_dim]`` of one caption."""
    query, output, heads = attention.to_q, attention.to_out[0], attention.heads
    if keys.shape[2] == 1:
        return FoldedCaption(None, None, output(values.transpose(1, 2).flatten(2)), heads)
    keys, values = keys[0] * keys.shape[-1] ** -0.5, values[0]
    scores = keys @ query.weight.unflatten(0, (heads, -1))
    offset = torch.zeros_like(keys[..., 0]) if query.bias is None else (keys @ query.bias.view(heads, -1, 1))[..., 0]
    outputs = values @ output.weight.t().unflatten(0, (heads, -1))
    if output.bias is not None:
        outputs = outputs + output.bias / heads
    return FoldedCaption(
        scores.flatten(0, 1).t().contiguous()[None], offset.reshape(1, 1, -1), outputs.flatten(0, 1)[None], heads
    )


def join(rows: list[FoldedCaption]) -> FoldedCaption:
    """Those of several captions of equal length as one."""
    if len(rows) == 1:
        return rows[0]
    parts = [None if part[0] is None else torch.cat(part) for part in list(zip(*rows, strict=True))[:3]]
    return FoldedCaption(*parts, rows[0].heads)  # type: ignore[arg-type]


def add_attended(x: Tensor, folded: FoldedCaption) -> None:
    """Add to ``x [n, places, width]`` what the captions give it."""
    if folded.scores is None:
        x += folded.outputs
        return
    # row by row even where all share a caption: one large product may round otherwise, and a picture must not know of its neighbours
    scores = torch.baddbmm(folded.offset, x, folded.scores.expand(len(x), -1, -1))
    x.baddbmm_(scores.unflatten(-1, (folded.heads, -1)).softmax(-1).flatten(-2), folded.outputs.expand(len(x), -1, -1))
