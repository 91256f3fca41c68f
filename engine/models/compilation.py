"""The denoiser's blocks through ``torch.compile``, where that is faster; a failure costs one attempt and a note, never
an image.

A block is compiled in two halves, around the attention to captions: how rows group by caption length changes from batch
to batch and would need another graph each time, while the halves see only ``[rows, tokens, width]``. All blocks of a
model share the two graphs. Inductor's and FX's caches are in the data folder, so that the second start compiles
nothing.

``COMMONART_COMPILE``: ``off``; ``on``; ``auto``, the default: on a GPU after the first micro-batch, on a CPU where
`commonart bench --probe` measured that it is faster (see ``engine.bench.autotune``).
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.contract.errors import Phrase
from engine.contract.paths import home
from engine.models.pixart import CaptionKV
from engine.system.tuning import TuningRecord

MODES = ("off", "auto", "on")


def mode() -> str:
    """The mode that the environment requests; ``auto`` for anything else."""
    requested = os.environ.get("COMMONART_COMPILE", "auto").strip().lower()
    return requested if requested in MODES else "auto"


def use_cache() -> None:
    """Put the compiler's caches into the data folder, unless the user has set other locations."""
    folder = home() / "cache" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    os.environ.setdefault("TORCHINDUCTOR_FX_GRAPH_CACHE", "1")
    os.environ.setdefault("TORCHINDUCTOR_AUTOGRAD_CACHE", "1")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of processes that outlives a small job


def unsupported_reason(device: torch.device) -> Phrase | None:
    """A note on why compiling cannot work on ``device``; None if it may."""
    if device.type == "cpu":
        names = ("cl", "g++", "clang++") if sys.platform == "win32" else ("g++", "clang++", "c++")
        if not os.environ.get("CXX") and not any(shutil.which(n) for n in names):
            return Phrase("The denoiser is not compiled: there is no C++ compiler here")
        return None
    if device.type == "cuda":
        import importlib.util

        if importlib.util.find_spec("triton") is None:
            return Phrase("The denoiser is not compiled: Triton is not installed")
        if torch.cuda.get_device_capability(device) < (7, 0):
            return Phrase("The denoiser is not compiled: the graphics card is too old for it")
        return None
    return Phrase("The denoiser is not compiled: PyTorch does not do it for {device}", device=device.type)


def before(block: Any, x: Tensor, modulation: Tensor) -> tuple[Tensor, Tensor]:
    """A block up to its queries for the captions: (residual ``[n, tokens, width]``, queries ``[n, heads, tokens,
    dim]``).
    """
    shift, scale, gate = (block.scale_shift_table[None, :3] + modulation[:, :3])[:, :, None].unbind(1)
    y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale)
    a = block.attn1
    y = F.scaled_dot_product_attention(a.split(a.to_q(y)), a.split(a.to_k(y)), a.split(a.to_v(y)))
    x = torch.addcmul(x, gate, a.join(y))
    return x, block.attn2.split(block.attn2.to_q(x))


def after(block: Any, x: Tensor, attended: Tensor, modulation: Tensor) -> Tensor:
    """The rest of the block, from the attention to captions ``attended [n, heads, tokens, dim]``."""
    shift, scale, gate = (block.scale_shift_table[None, 3:] + modulation[:, 3:])[:, :, None].unbind(1)
    x = x + block.attn2.join(attended)
    y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale)
    return torch.addcmul(x, gate, block.ff(y))


class CompiledBlocks:
    """Switches the blocks of one ``DiT`` between eager and compiled.

    ``on_failure`` is called once with the reason if compiling fails.
    """

    def __init__(self, model: Any, on_failure: Callable[[Phrase], None]) -> None:
        self.model, self.failed, self.active = model, False, False
        self._on_failure = on_failure
        self._lock = threading.Lock()  # the compiler serves one thread at a time
        self._compiled_shapes: set[tuple[Any, ...]] = set()  # so that threads need not wait for each other
        self._eager_shapes: set[tuple[Any, ...]] = set()  # shapes for which the compiler refuses more graphs
        use_cache()
        self._before = torch.compile(before, fullgraph=True)
        self._after = torch.compile(after, fullgraph=True)

    @property
    def ready(self) -> bool:
        """Whether some shape was compiled and ran."""
        return bool(self._compiled_shapes)

    def use(self, active: bool) -> None:
        """Switch from now on; must not be called while a step is being computed."""
        active = active and not self.failed
        if active != self.active:
            for block in self.model.transformer_blocks:
                if active:
                    block.forward = _CompiledForward(self, block)
                else:
                    block.__dict__.pop("forward", None)
            self.active = active

    def run(self, block: Any, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV], copies: int = 1) -> Tensor:
        """As ``block.forward``."""
        x = x if copies == 1 else x.repeat(copies, 1, 1)
        key = (tuple(x.shape), x.dtype, len(modulation))
        if self.failed or key in self._eager_shapes:
            return _eager(block, x, modulation, captions)
        if key in self._compiled_shapes:
            return self._halves(block, x, modulation, captions)
        with self._lock:
            try:
                out = self._halves(block, x, modulation, captions)
                self._compiled_shapes.add(key)
                return out
            except torch.OutOfMemoryError:
                raise
            except Exception as e:  # the compiler raises many types; whichever it is, the eager block computes the same
                if "RecompileLimit" in type(e).__name__:
                    self._eager_shapes.add(key)
                elif not self.failed:
                    self.failed = True
                    self._on_failure(
                        Phrase(
                            "The denoiser could not be compiled ({reason}); it runs as it is, with the same images",
                            reason=_short(e),
                        )
                    )
        return _eager(block, x, modulation, captions)

    def _halves(self, block: Any, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV]) -> Tensor:
        x, q = self._before(block, x, modulation)
        parts = [
            F.scaled_dot_product_attention(q[i:j], k.expand(j - i, -1, -1, -1), v.expand(j - i, -1, -1, -1))
            for i, j, k, v, _ in captions
        ]
        out: Tensor = self._after(block, x, parts[0] if len(parts) == 1 else torch.cat(parts), modulation)
        return out


class CompilationPolicy:
    """Decides when a model's blocks are compiled; called before every micro-batch.

    The first micro-batch of a process is eager, so that nobody waits for a first image. From the second on a GPU
    compiles, unless it failed before, and a CPU where it was measured to be faster. Recipes record which images were
    generated so, and ``--like`` follows them.
    """

    def __init__(self, model: Any, device: torch.device, dtype: str, notify: Callable[[Phrase], None]) -> None:
        self._model, self._device, self._notify = model, device, notify
        self._record = TuningRecord.of(
            device=str(device), dtype=dtype, width=model.config.width, heads=model.config.num_attention_heads
        )
        self._blocks: CompiledBlocks | None = None
        self._batches = 0
        self._why = (
            unsupported_reason(device) if mode() == "on" or (mode() == "auto" and device.type == "cuda") else None
        )
        if self._why is not None:
            notify(self._why)

    @property
    def active(self) -> bool:
        """Whether the next step runs compiled blocks."""
        return self._blocks is not None and self._blocks.active

    @property
    def worked(self) -> bool:
        """Whether compiled blocks ran, and none failed."""
        return self._blocks is not None and self._blocks.ready and not self._blocks.failed

    def wanted(self) -> bool:
        """Whether to compile, by the environment and the measurements on this machine."""
        if mode() == "off" or self._why is not None:
            return False
        if mode() == "on":
            return True
        default = "compiled" if self._device.type == "cuda" else "eager"
        return self._batches > 0 and (self._record.choice or default) == "compiled"

    def before_batch(self, deterministic: bool) -> None:
        """Choose for the next micro-batch; with ``deterministic`` it is eager in any case."""
        active = not deterministic and self.wanted()
        self._batches += 1
        if self._blocks is None and not active:
            return
        if self._blocks is None:
            self._blocks = CompiledBlocks(self._model, self._failed)
        elif self._blocks.ready and self._record.choice is None:
            self._record.remember("compiled")
        self._blocks.use(active)

    def _failed(self, why: Phrase) -> None:
        self._record.remember("eager", failed=str(why))
        self._notify(why)


class _CompiledForward:
    """Replaces ``forward`` of one block."""

    def __init__(self, blocks: CompiledBlocks, block: Any) -> None:
        self._blocks, self._block = blocks, block

    def __call__(self, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV], copies: int = 1) -> Tensor:
        return self._blocks.run(self._block, x, modulation, captions, copies)


def _eager(block: Any, *args: Any) -> Tensor:
    out: Tensor = type(block).forward(block, *args)
    return out


def _short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
