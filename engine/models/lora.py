"""LoRA on the denoiser: added to the weights while they are loaded, or run beside them.

W' = W + scale * alpha / rank * B A (Hu et al., arXiv 2106.09685, section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.checkpoint.lora import LoraFile


def _tensors(lora: LoraFile) -> dict[str, tuple[Tensor, Tensor, float]]:
    """module -> float32 A ``[rank, in]``, float32 B ``[out, rank]``, and the factor of their product."""
    from safetensors import safe_open

    found = {}
    with safe_open(lora.path, "pt") as f:
        for module, pair in lora.pairs.items():
            alpha = float(f.get_tensor(pair.alpha)) if isinstance(pair.alpha, str) else pair.alpha
            factor = lora.scale * (pair.rank if alpha is None else alpha) / pair.rank
            found[module] = f.get_tensor(pair.down).float(), f.get_tensor(pair.up).float(), factor
    return found


class Merge:
    """Adds LoRAs to weights as they come from the file, in float32, before they are cast to the model's dtype."""

    def __init__(self, loras: Sequence[LoraFile]) -> None:
        self._all = [_tensors(one) for one in loras]

    def __call__(self, name: str, weight: Tensor) -> Tensor:
        """The tensor called ``name`` with every LoRA's share."""
        module, _, leaf = name.rpartition(".")
        if leaf != "weight":
            return weight
        for tensors in self._all:
            if module in tensors:
                down, up, factor = tensors[module]
                weight = torch.addmm(weight.float(), up, down, alpha=factor)
        return weight


class LoraLinear(nn.Module):
    """A linear layer with LoRAs beside it; ``[..., in]`` -> ``[..., out]``."""

    def __init__(self, base: nn.Linear, sides: Sequence[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.base = base
        for n, (down, up) in enumerate(sides):
            self.register_buffer(f"down_{n}", down)
            self.register_buffer(f"up_{n}", up)
        self._count = len(sides)

    @property
    def weight(self) -> Tensor:
        return self.base.weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.base(x)
        for n in range(self._count):
            y = y + nn.functional.linear(nn.functional.linear(x, getattr(self, f"down_{n}")), getattr(self, f"up_{n}"))
        return y


def attach(model: nn.Module, loras: Sequence[LoraFile]) -> None:
    """Put LoRAs beside the layers of ``model``, in the dtype and on the device of its weights."""
    sides: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for one in loras:
        for module, (down, up, factor) in _tensors(one).items():
            sides.setdefault(module, []).append((down, up * factor))
    for name, pairs in sides.items():
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        like = base.weight
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, LoraLinear(base, [(d.to(like), u.to(like)) for d, u in pairs]))
