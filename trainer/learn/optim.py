"""Optimisers, the learning rate schedule and averaged weights (EMA)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from engine.contract.errors import FeatureMissing, MissingLibrary, Phrase
from engine.contract.python_process import pip_install
from trainer import config


class CAME(torch.optim.Optimizer):
    """Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization" (arXiv 2307.02047), algorithm 2.

    Second moments are stored as row and column means of each matrix (Shazeer and Stern, arXiv 1804.04235), the first
    moment in full; the instability (u - m)^2, factored the same way, damps steps that disagree with earlier ones.
    Vectors and scalars store a full second moment and are not damped. Weight decay is decoupled.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        eps: tuple[float, float] = (1e-30, 1e-16),
        threshold: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "threshold": threshold, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        (first, second, third), (tiny, small) = group["betas"], group["eps"]
        assert p.grad is not None
        state, grad = self.state[p], p.grad.float()
        matrix = grad.dim() >= 2
        if not state:
            state["exp_avg"] = torch.zeros_like(p, dtype=torch.float32)
            if matrix:
                rows, columns = grad.shape[0], grad[0].numel()
                for name in ("sq", "unsure"):
                    state[f"{name}_row"], state[f"{name}_col"] = grad.new_zeros(rows), grad.new_zeros(columns)
            else:
                state["sq"] = torch.zeros_like(grad)
        square = grad.square() + tiny
        update = grad * (
            _factored(state, "sq", square, second) if matrix else state["sq"].lerp_(square, 1 - second).rsqrt()
        )
        update /= max(1.0, float(update.square().mean().sqrt()) / group["threshold"])
        mean = state["exp_avg"].lerp_(update, 1 - first)
        update = mean * _factored(state, "unsure", (update - mean).square() + small, third) if matrix else mean
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(update.to(p.dtype), alpha=-group["lr"])


def _factored(state: dict[str, Any], name: str, square: Tensor, beta: float) -> Tensor:
    """1 / sqrt of the factored moment, updated with ``square`` and in its shape."""
    flat = square.flatten(1)
    row = state[f"{name}_row"].lerp_(flat.mean(1), 1 - beta)
    column = state[f"{name}_col"].lerp_(flat.mean(0), 1 - beta)
    factored: Tensor = (row / row.mean()).rsqrt()[:, None] * column.rsqrt()[None]
    return factored.view_as(square)


def build_optimiser(
    parameters: list[torch.nn.Parameter], options: config.Optimiser, device: torch.device
) -> torch.optim.Optimizer:
    """The configured optimiser for parameters on ``device``.

    Raises:
        MissingLibrary, FeatureMissing: 8-bit AdamW without a CUDA device or its library.
    """
    demand(options, device)
    betas = options.betas
    if options.name == "came":
        return CAME(parameters, lr=options.lr, betas=(betas[0], betas[1], betas[2]), weight_decay=options.weight_decay)
    common: dict[str, Any] = {
        "lr": options.lr,
        "betas": (betas[0], betas[1]),
        "eps": options.eps,
        "weight_decay": options.weight_decay,
    }
    if options.name == "adamw8bit":
        from bitsandbytes.optim import AdamW8bit

        eight: torch.optim.Optimizer = AdamW8bit(parameters, **common)
        return eight
    return torch.optim.AdamW(parameters, **common, fused=options.fused and device.type in ("cpu", "cuda", "mps"))


def demand(options: config.Optimiser, device: torch.device) -> None:
    """Check that the optimiser is available here, before anything is prepared.

    Raises:
        FeatureMissing, MissingLibrary: 8-bit AdamW without a CUDA device or its library.
    """
    if options.name == "adamw8bit" and device.type != "cuda":
        raise FeatureMissing(what="adamw8bit", why=Phrase("it needs an NVIDIA GPU; use adamw or came"))
    if options.name == "adamw8bit" and not importlib.util.find_spec("bitsandbytes"):
        raise MissingLibrary(name="bitsandbytes", command=pip_install("bitsandbytes"))


def rate(step: int, steps: int, options: config.Schedule) -> float:
    """The factor of the peak learning rate at step ``step`` (from 0) of ``steps``."""
    up = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    progress = min(1.0, step / max(1, steps))
    curve = {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 + 0.5 * math.cos(math.pi * progress)}[options.kind]
    return up * (options.floor + (1 - options.floor) * curve)


class Ema:
    """Exponential moving average of the weights, fp32, on their device.

    The decay grows as (1 + step) / (10 + step) up to ``decay``.
    """

    def __init__(self, named: dict[str, torch.nn.Parameter], decay: float) -> None:
        self.decay = decay
        self._named = named
        self.weights = {name: p.detach().float().clone() for name, p in named.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Include the weights after step ``step`` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), [p.detach().float() for p in self._named.values()], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange averaged and trained weights; a second call undoes it."""
        for name, p in self._named.items():
            trained = p.detach().clone()
            p.copy_(self.weights[name])
            self.weights[name].copy_(trained)


def state_of(optimiser: torch.optim.Optimizer, names: dict[Tensor, str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state as flat tensors named ``parameter/entry``, and its entries that are plain values."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for p, state in optimiser.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{names[p]}/{key}"] = value
            else:
                plain[f"{names[p]}/{key}"] = value
    return tensors, plain


def restore(
    optimiser: torch.optim.Optimizer,
    named: dict[str, torch.nn.Parameter],
    tensors: dict[str, Tensor],
    plain: dict[str, Any],
) -> None:
    """The inverse of ``state_of``."""
    optimiser.state.clear()
    fused = {p for g in optimiser.param_groups if g.get("fused") or g.get("capturable") for p in g["params"]}
    for full, value in (tensors | plain).items():
        name, _, key = full.rpartition("/")
        p = named[name]
        if isinstance(value, Tensor):
            # a step counter stays on the CPU, except for kernels that read it on the device
            value = value.to("cpu" if key == "step" and p not in fused else p.device)
        optimiser.state[p][key] = value
