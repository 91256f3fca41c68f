"""Adapters on the denoiser: added to the weights while they are loaded, or run beside them.

Every adapter adds a difference D to a layer's weight W, computed in float32 from W as the file has it, so that neither
the order of several adapters nor whether they are merged changes D. With f the layer's factor (alpha / rank, or as
``engine.checkpoint.adapter.settings`` says) and s the strength that the user chose:

* LoRA: D = s f B A; LoHa: D = s f (w1_a w1_b) * (w2_a w2_b); LoKr: D = s f (w1 kron w2);
* DoRA as PEFT computes it: D = m (W + s f P) / |W + s f P| - W, with the length |.| of each row and P the product
  above;
* DoRA as LyCORIS computes it: D = (W + f P) (s (m / |W + f P| - 1) + 1) - W, with the length of each row or of each
  column.

Strength 0 leaves the layer alone in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.checkpoint.adapter.layers import Layer
from engine.checkpoint.lora import LoraFile

_EPS = torch.finfo(torch.float32).eps  # LyCORIS adds it to every length


@dataclass(frozen=True)
class _Change:
    """What one adapter does to one layer: its tensors in float32 by factor, and its strength."""

    layer: Layer
    tensors: dict[str, Tensor]
    strength: float

    @property
    def low_rank(self) -> bool:
        """Whether two small products do what the difference does."""
        return self.layer.kind == "lora" and not self.layer.magnitude and "mid" not in self.layer.tensors

    def matrices(self) -> tuple[Tensor, Tensor]:
        """A LoRA's ``A [rank, in]`` and ``B [out, rank]``, a convolution's window flattened into ``in``."""
        return self.tensors["down"].flatten(1), self.tensors["up"].flatten(1)

    def difference(self, weight: Tensor) -> Tensor:
        """D for the float32 ``weight`` ``[out, in, ...]``, in its shape."""
        factor, s = self.layer.factor, self.strength
        product = self._product(tuple(weight.shape[2:])).reshape(weight.shape)
        if not self.layer.magnitude:
            return product * (s * factor)
        length = self.tensors.get("magnitude", self.tensors.get("dora_scale"))
        assert length is not None
        if self.layer.magnitude == "peft":
            whole = weight + product * (s * factor)
            norm = _lengths(whole, rows=True)
            # a row of zeros has no direction; PEFT would divide by zero
            return whole * (length.reshape(norm.shape) / norm.where(norm > 0, torch.ones_like(norm))) - weight
        rows = self.layer.magnitude == "rows"
        whole = weight + product * factor
        norm = _lengths(whole, rows)
        return whole * (s * (length.reshape(norm.shape) / (norm + _EPS) - 1) + 1) - weight

    def _product(self, kernel: tuple[int, ...]) -> Tensor:
        """The factors' product, without factor and strength; as a matrix, or with the window of a convolution."""
        t = self.tensors
        if self.layer.kind == "lora":
            down, up = self.matrices()
            return _tucker(t["mid"], up.t(), down) if "mid" in t else up @ down
        if self.layer.kind == "loha":
            if "t1" in t:
                return _tucker(t["t1"], t["w1_a"], t["w1_b"]) * _tucker(t["t2"], t["w2_a"], t["w2_b"])
            return (t["w1_a"] @ t["w1_b"].flatten(1)) * (t["w2_a"] @ t["w2_b"].flatten(1))
        first = t["w1"] if "w1" in t else t["w1_a"] @ t["w1_b"]
        if "w2" in t:
            second = t["w2"]
        elif "t2" in t:
            second = _tucker(t["t2"], t["w2_a"], t["w2_b"])
        else:
            second = t["w2_a"] @ t["w2_b"].flatten(1)
        return torch.kron(first, second.flatten(1))


def _tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``core [rank, rank, height, width]``, ``a [rank, out]``, ``b [rank, in]`` -> ``[out, in, height, width]``."""
    return torch.einsum("ijkl,ip,jr->prkl", core, a, b)


def _lengths(weight: Tensor, rows: bool) -> Tensor:
    """Euclidean lengths of ``weight [out, in, ...]``: ``[out, 1, ...]`` of rows, ``[1, in, ...]`` of columns."""
    axes = [n for n in range(weight.dim()) if n != (0 if rows else 1)]
    lengths: Tensor = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    return lengths


def _changes(lora: LoraFile) -> dict[str, _Change]:
    """The adapter's tensors by module; none at strength 0."""
    from safetensors import safe_open

    if not lora.scale:
        return {}
    found = {}
    with safe_open(lora.path, "pt") as f:
        for module, layer in lora.layers.items():
            tensors = {factor: f.get_tensor(name).float() for factor, name in layer.tensors.items()}
            found[module] = _Change(layer, tensors, lora.scale)
    return found


class Adapters:
    """The adapters of a model that is being loaded: call it with every weight as it comes from the file, then
    ``attach``.

    ``merged``: differences are added to the weights, in float32, before they are cast to the model's dtype. Else the
    weights stay, and ``attach`` puts the adapters beside their layers.
    """

    def __init__(self, loras: Sequence[LoraFile], merged: bool) -> None:
        self._all = [_changes(one) for one in loras]
        self._merged = merged
        self._dense: dict[str, Tensor] = {}

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """The tensor called ``name``, with every adapter's share where they are merged."""
        module, _, leaf = name.rpartition(".")
        changes = [one[module] for one in self._all if module in one] if leaf == "weight" else []
        if not self._merged:
            dense = [c.difference(weight.float()) for c in changes if not c.low_rank]
            if dense:
                self._dense[module] = torch.stack(dense).sum(0)
            return weight
        whole = weight
        for change in changes:
            if change.low_rank:
                down, up = change.matrices()
                alpha = change.strength * change.layer.factor
                whole = torch.addmm(whole.float().flatten(1), up, down, alpha=alpha).view(weight.shape)
            else:
                whole = whole.float() + change.difference(weight.float())
        return whole

    def attach(self, model: nn.Module) -> None:
        """Put adapters that are not merged beside the layers of ``model``, in the dtype and on the device of its
        weights.
        """
        if self._merged:
            return
        for name in dict.fromkeys(module for one in self._all for module in one):
            base = model.get_submodule(name)
            assert isinstance(base, (nn.Linear, nn.Conv2d))
            like, sides = base.weight, []
            for change in (one[name] for one in self._all if name in one):
                if change.low_rank:
                    down, up = change.matrices()
                    sides.append((down.to(like), (up * (change.strength * change.layer.factor)).to(like)))
            dense = self._dense.pop(name).to(like) if name in self._dense else None
            owner, _, leaf = name.rpartition(".")
            beside = (LoraLinear if isinstance(base, nn.Linear) else LoraConv2d)(base, sides, dense)
            setattr(model.get_submodule(owner), leaf, beside)


class _Beside(nn.Module):
    """A layer with adapters beside it.

    ``sides`` are ``A [rank, in]`` and ``B [out, rank]``, ``dense`` a difference in the weight's shape.
    """

    dense: Tensor | None

    def __init__(self, base: Any, sides: Sequence[tuple[Tensor, Tensor]], dense: Tensor | None = None) -> None:
        super().__init__()
        self.base = base
        for n, (down, up) in enumerate(sides):
            self.register_buffer(f"down_{n}", down)
            self.register_buffer(f"up_{n}", up)
        self.register_buffer("dense", dense)
        self._count = len(sides)

    @property
    def weight(self) -> Tensor:
        found: Tensor = self.base.weight
        return found


class LoraLinear(_Beside):
    """A linear layer with adapters beside it; ``[..., in]`` -> ``[..., out]``."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        for n in range(self._count):
            y = y + F.linear(F.linear(x, getattr(self, f"down_{n}")), getattr(self, f"up_{n}"))
        return y if self.dense is None else y + F.linear(x, self.dense)


class LoraConv2d(_Beside):
    """A convolution with adapters beside it; ``[n, in, height, width]`` -> ``[n, out, height, width]``."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        for n in range(self._count):
            down, up = getattr(self, f"down_{n}"), getattr(self, f"up_{n}")
            y = y + F.conv2d(self._base(x, down.unflatten(1, self.weight.shape[1:])), up[:, :, None, None])
        return y if self.dense is None else y + self._base(x, self.dense)

    def _base(self, x: Tensor, weight: Tensor) -> Tensor:
        b = self.base
        return F.conv2d(x, weight, None, b.stride, b.padding, b.dilation, b.groups)
