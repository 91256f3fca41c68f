"""The denoiser's blocks with weights in 8 bits, by torchao: int8, or fp8 on cards that compute in it.

Weights and activations are scaled row by row (dynamic activations), so an image does not depend on its neighbours.
Layers outside the blocks are unchanged. On a CPU this is of no use: docs/performance.md has the figures.
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
from engine.models.compilation import CompilationPolicy
from engine.models.lora import LoraLinear
from engine.models.pixart import DiT

#: the rows and columns of an 8-bit matrix product must be multiples of this
STEP = 16


def best_scheme(device: torch.device) -> str:
    """The smallest weights that the device computes in: "fp8", "int8", or "exact" if none."""
    if device.type != "cuda":
        return "exact"
    capability = torch.cuda.get_device_capability(device)
    return "fp8" if capability >= (8, 9) else "int8" if capability >= (8, 0) else "exact"


def unsupported_reason(device: torch.device, model: nn.Module, kind: str) -> Phrase | None:
    """A note on why weights are not quantized; None where they can be. ``kind`` is from ``best_scheme`` or a recipe."""
    best = best_scheme(device)
    if best == "exact" or kind == "fp8" != best:
        return Phrase("Weights in 8 bits need a graphics card that computes in them; they stay as they are")
    if any(isinstance(m, LoraLinear) for m in model.modules()):
        return Phrase("Weights are not held in 8 bits while LoRAs run beside them; they stay as they are")
    if importlib.util.find_spec("torchao") is None:
        return Phrase(
            "Weights in 8 bits need torchao, which is not installed ({command}); they stay as they are",
            command=pip_install("commonart-desktop[quantized]"),
        )
    return None


def _is_quantizable(module: nn.Module, _name: str = "") -> bool:
    return isinstance(module, nn.Linear) and module.in_features % STEP == 0 and module.out_features % STEP == 0


def _without_compiled_forward(block: nn.Module) -> nn.Module:
    """A shallow copy of the block without a compiled ``forward``, which belongs to the original."""
    eager = copy.copy(block)
    eager.__dict__ = {k: v for k, v in block.__dict__.items() if k != "forward"}
    return eager


def _config(kind: str) -> Any:
    from torchao import quantization as q

    if kind == "int8":
        return q.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    return q.Float8DynamicActivationFloat8WeightConfig(granularity=q.PerRow(), set_inductor_config=False)


@torch.inference_mode()
def quantize(model: DiT, kind: str) -> DiT:
    """A copy of ``model`` whose blocks' linear layers have ``kind`` weights; the original is unchanged and other layers
    are shared.

    Raises:
        ArithmeticError: a trial shows that a layer's result is wrong. Also whatever torchao raises, of many types.
    """
    from torchao.quantization import quantize_

    small = copy.copy(model)
    small._modules = dict(model._modules)
    small.transformer_blocks = nn.ModuleList(
        copy.deepcopy(_without_compiled_forward(block)) for block in model.transformer_blocks
    )
    for block in small.transformer_blocks:  # one by one: never more than one block in both forms besides the original
        quantize_(block, _config(kind), filter_fn=_is_quantizable)
    first: tuple[Any, Any] = model.transformer_blocks[0], small.transformer_blocks[0]
    weight: torch.Tensor = first[0].attn1.to_q.weight
    x = torch.randn(2 * STEP, weight.shape[1], generator=torch.Generator().manual_seed(0)).to(weight)
    expected, result = (block.ff(x).float() for block in first)
    if not float((result - expected).norm()) <= 0.2 * float(expected.norm()):
        raise ArithmeticError("the result is wrong")
    return small.eval()


class QuantizedWeights:
    """The quantized copy of one denoiser, created when it is first needed; at most one kind is in memory."""

    def __init__(self, model: DiT, device: torch.device, dtype: str, notify: Callable[[Phrase], None]) -> None:
        self._model, self._device, self._dtype, self._notify = model, device, dtype, notify
        #: of the copy: in 8 bits the operations between products cost most if they are not fused
        self.compilation: CompilationPolicy | None = None
        self._kind, self._copy = "", model
        self._failed: Phrase | None = None
        self._lock = threading.Lock()  # the next micro-batch is prepared while another one is computed

    def prepare(self, wanted: str) -> tuple[str, Phrase | None]:
        """Create the copy of kind ``wanted`` or, if that is empty, of the best kind.

        Returns its kind, or "exact" and a note.
        """
        kind = wanted or best_scheme(self._device)
        with self._lock:
            why = self._failed or unsupported_reason(self._device, self._model, kind)
            if why is None and kind != self._kind:
                try:
                    self._kind, self._copy = "", self._model
                    self._kind, self._copy = kind, quantize(self._model, kind)
                    dtype = f"{self._dtype}-{kind}"
                    self.compilation = CompilationPolicy(self._copy, self._device, dtype, self._notify)
                except (
                    Exception
                ) as e:  # torchao's kernels fail in many ways; in any case the exact weights are still there
                    reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
                    why = self._failed = Phrase(
                        "Weights could not be held in 8 bits ({reason}); they stay as they are", reason=reason
                    )
        return ("exact", why) if why is not None else (kind, None)

    def model(self, kind: str, alone: bool) -> DiT:
        """The denoiser with ``kind`` weights.

        With ``alone`` memory is tight, and the other's blocks leave the device.
        """
        wanted, other = (self._model, self._copy) if kind == "exact" else (self._copy, self._model)
        if alone and other is not wanted:
            other.transformer_blocks.to("cpu")
        return wanted
