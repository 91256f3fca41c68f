"""The denoiser's blocks with weights in 8 bits, by torchao: int8, or fp8 on cards that compute in it.

Weights and activations are scaled row by row (dynamic activations), so a picture's numbers do not depend on its neighbours. What lies
outside the blocks stays as it is. On a CPU this is of no use: docs/performance.md has the figures.
"""

from __future__ import annotations

import copy
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from engine.contract.errors import Phrase
from engine.contract.python_process import pip_install
from engine.models.compilation import Compiling
from engine.models.lora import LoraLinear
from engine.models.pixart import DiT

#: rows and columns of an 8-bit matrix product come in steps of so many
STEP = 16


def best_scheme(device: torch.device) -> str:
    """The smallest weights that the device computes in: "fp8", "int8", or "exact" if none."""
    if device.type != "cuda":
        return "exact"
    ability = torch.cuda.get_device_capability(device)
    return "fp8" if ability >= (8, 9) else "int8" if ability >= (8, 0) else "exact"


def unsupported_reason(device: torch.device, model: nn.Module, kind: str) -> Phrase | None:
    """A note on why weights stay as they are; None where they can be made small. ``kind`` as of ``best_scheme`` or a recipe's."""
    found = best_scheme(device)
    if found == "exact" or kind == "fp8" != found:
        return Phrase("Weights in 8 bits need a graphics card that computes in them; they stay as they are")
    if any(isinstance(m, LoraLinear) for m in model.modules()):
        return Phrase("Weights are not held in 8 bits while LoRAs run beside them; they stay as they are")
    if importlib.util.find_spec("torchao") is None:
        return Phrase(
            "Weights in 8 bits need torchao, which is not installed ({command}); they stay as they are",
            command=pip_install("commonart-desktop[quantized]"),
        )
    return None


def _wanted(module: nn.Module, _name: str = "") -> bool:
    return isinstance(module, nn.Linear) and module.in_features % STEP == 0 and module.out_features % STEP == 0


def _bare(block: nn.Module) -> nn.Module:
    """The block without a compiled stand-in for its ``forward``, which belongs to the original."""
    bare = copy.copy(block)
    bare.__dict__ = {k: v for k, v in block.__dict__.items() if k != "forward"}
    return bare


def _config(kind: str) -> Any:
    from torchao import quantization as q

    if kind == "int8":
        return q.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    return q.Float8DynamicActivationFloat8WeightConfig(granularity=q.PerRow(), set_inductor_config=False)


@torch.inference_mode()
def quantize(model: DiT, kind: str) -> DiT:
    """A copy of ``model`` whose blocks' linear layers hold ``kind`` weights; the original is left alone and what is not quantized is shared.

    Raises:
        ArithmeticError: tried once, a layer gives other numbers than it should. And what torchao raises where it cannot, of many kinds.
    """
    from torchao.quantization import quantize_

    small = copy.copy(model)
    small._modules = dict(model._modules)
    small.transformer_blocks = nn.ModuleList(copy.deepcopy(_bare(block)) for block in model.transformer_blocks)
    for block in small.transformer_blocks:  # one by one: never more than one block in both forms besides the original
        quantize_(block, _config(kind), filter_fn=_wanted)
    weight = model.transformer_blocks[0].attn1.to_q.weight  # type: ignore[union-attr]
    x = torch.randn(2 * STEP, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight)
    want, got = (one.transformer_blocks[0].ff(x).float() for one in (model, small))  # type: ignore[operator,union-attr]
    if not float((got - want).norm()) <= 0.2 * float(want.norm()):
        raise ArithmeticError("the result is wrong")
    return small.eval()


class QuantizedWeights:
    """The small copy of one denoiser, made when it is first wanted; at most one kind is kept."""

    def __init__(self, model: DiT, device: torch.device, dtype: str, tell: Callable[[Phrase], None]) -> None:
        self._model, self._device, self._dtype, self._tell = model, device, dtype, tell
        self.compiling: Compiling | None = (
            None  # of the copy: in 8 bits the steps between products cost most if they are not fused
        )
        self._kind, self._copy = "", model
        self._failed: Phrase | None = None
        self._lock = threading.Lock()  # the next micro-batch is prepared while one is at work

    def ready(self, wanted: str) -> tuple[str, Phrase | None]:
        """``wanted`` or, if that is empty, the best kind, made ready; or "exact" and why, as a note."""
        kind = wanted or best_scheme(self._device)
        with self._lock:
            why = self._failed or unsupported_reason(self._device, self._model, kind)
            if why is None and kind != self._kind:
                try:
                    self._kind, self._copy = "", self._model
                    self._kind, self._copy = kind, quantize(self._model, kind)
                    self.compiling = Compiling(self._copy, self._device, f"{self._dtype}-{kind}", self._tell)
                except (
                    Exception
                ) as e:  # torchao's kernels fail in many ways: whichever it is, the exact weights are still there
                    reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
                    why = self._failed = Phrase(
                        "Weights could not be held in 8 bits ({reason}); they stay as they are", reason=reason
                    )
        return ("exact", why) if why is not None else (kind, None)

    def model(self, kind: str, alone: bool) -> DiT:
        """The denoiser with ``kind`` weights; ``alone``: memory is tight, and the other's blocks leave the device."""
        wanted, other = (self._model, self._copy) if kind == "exact" else (self._copy, self._model)
        if alone and other is not wanted:
            other.transformer_blocks.to("cpu")
        return wanted
