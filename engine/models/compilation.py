"""The denoiser's blocks through ``torch.compile``, where that wins; a failure costs one try and a note, never a picture.

A block is compiled in two halves, around the attention to captions: how rows group by caption length changes from batch to batch and
would mean another graph each time, while the halves see only ``[rows, tokens, width]``. All blocks of a model share the two graphs.
Inductor's and FX's caches lie under the data folder, so that the second start compiles nothing.

``COMMONART_COMPILE``: ``off``; ``on``; ``auto``, the default: on a GPU after the first micro-batch, on a CPU where
`commonart bench --probe` found that it wins (see ``engine.bench.autotune``).
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
    """What the environment asks for; ``auto`` where it says nothing we know."""
    asked = os.environ.get("COMMONART_COMPILE", "auto").strip().lower()
    return asked if asked in MODES else "auto"


def use_cache() -> None:
    """Point the compiler's caches into the data folder; a user's own settings stay."""
    folder = home() / "cache" / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    os.environ.setdefault("TORCHINDUCTOR_FX_GRAPH_CACHE", "1")
    os.environ.setdefault("TORCHINDUCTOR_AUTOGRAD_CACHE", "1")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of processes that outlives a small job


def possible(device: torch.device) -> Phrase | None:
    """What to tell where compiling cannot work on ``device``; None if nothing is known against it."""
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
    """A block up to its queries for the captions: (residual ``[n, tokens, width]``, queries ``[n, heads, tokens, dim]``)."""
    shift, scale, gate = (block.scale_shift_table[None, :3] + modulation[:, :3])[:, :, None].unbind(1)
    y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale)
    a = block.attn1
    y = F.scaled_dot_product_attention(a.split(a.to_q(y)), a.split(a.to_k(y)), a.split(a.to_v(y)))
    x = torch.addcmul(x, gate, a.join(y))
    return x, block.attn2.split(block.attn2.to_q(x))


def after(block: Any, x: Tensor, attended: Tensor, modulation: Tensor) -> Tensor:
    """The rest of the block, from what the captions gave ``[n, heads, tokens, dim]``."""
    shift, scale, gate = (block.scale_shift_table[None, 3:] + modulation[:, 3:])[:, :, None].unbind(1)
    x = x + block.attn2.join(attended)
    y = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=block.eps), 1 + scale)
    return torch.addcmul(x, gate, block.ff(y))


class CompiledBlocks:
    """Switches the blocks of one ``DiT`` between eager and compiled; ``on_failure`` hears once why they stay eager."""

    def __init__(self, model: Any, on_failure: Callable[[Phrase], None]) -> None:
        self.model, self.failed, self.active = model, False, False
        self._tell = on_failure
        self._lock = threading.Lock()  # the compiler works for one thread at a time
        self._ready: set[tuple[Any, ...]] = (
            set()
        )  # shapes that went through, so that threads need not wait for each other
        self._left: set[tuple[Any, ...]] = set()  # shapes for which the compiler wants no more graphs
        use_cache()
        self._before = torch.compile(before, fullgraph=True)
        self._after = torch.compile(after, fullgraph=True)

    @property
    def ready(self) -> bool:
        """Whether some shape was compiled and ran."""
        return bool(self._ready)

    def use(self, active: bool) -> None:
        """From now on; not while a step is being computed."""
        active = active and not self.failed
        if active != self.active:
            for block in self.model.transformer_blocks:
                if active:
                    block.forward = _Run(self, block)
                else:
                    block.__dict__.pop("forward", None)
            self.active = active

    def run(self, block: Any, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV], copies: int = 1) -> Tensor:
        """As ``block.forward``."""
        x = x if copies == 1 else x.repeat(copies, 1, 1)
        key = (tuple(x.shape), x.dtype, len(modulation))
        if self.failed or key in self._left:
            return _eager(block, x, modulation, captions)
        if key in self._ready:
            return self._halves(block, x, modulation, captions)
        with self._lock:
            try:
                out = self._halves(block, x, modulation, captions)
                self._ready.add(key)
                return out
            except torch.OutOfMemoryError:
                raise
            except Exception as e:  # the compiler raises many kinds: whatever it is, the eager block does the same
                if "RecompileLimit" in type(e).__name__:
                    self._left.add(key)
                elif not self.failed:
                    self.failed = True
                    self._tell(
                        Phrase(
                            "The denoiser could not be compiled ({reason}); it runs as it is, with the same pictures",
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


class Compiling:
    """When a model's blocks are compiled; asked before every micro-batch.

    The first micro-batch of a process is eager, so that nobody waits for a first picture. From the second on a GPU compiles, unless it
    failed before, and a CPU where it is known to win. Recipes tell which pictures were drawn so, and ``--like`` does the same again.
    """

    def __init__(self, model: Any, device: torch.device, dtype: str, tell: Callable[[Phrase], None]) -> None:
        self._model, self._device, self._tell = model, device, tell
        self._known = TuningRecord.of(
            device=str(device), dtype=dtype, width=model.config.width, heads=model.config.num_attention_heads
        )
        self._blocks: CompiledBlocks | None = None
        self._batches = 0
        self._why = possible(device) if mode() == "on" or (mode() == "auto" and device.type == "cuda") else None
        if self._why is not None:
            tell(self._why)

    @property
    def active(self) -> bool:
        return self._blocks is not None and self._blocks.active

    @property
    def worked(self) -> bool:
        """Whether compiled blocks ran, and none failed."""
        return self._blocks is not None and self._blocks.ready and not self._blocks.failed

    def wanted(self) -> bool:
        """By the environment, and what is known of this machine."""
        if mode() == "off" or self._why is not None:
            return False
        if mode() == "on":
            return True
        return (
            self._batches > 0
            and (self._known.choice or ("compiled" if self._device.type == "cuda" else "eager")) == "compiled"
        )

    def before_batch(self, deterministic: bool) -> None:
        """``deterministic``: the next micro-batch must be eager, whatever is known."""
        active = not deterministic and self.wanted()
        self._batches += 1
        if self._blocks is None and not active:
            return
        if self._blocks is None:
            self._blocks = CompiledBlocks(self._model, self._failed)
        elif self._blocks.ready and self._known.choice is None:
            self._known.remember("compiled")
        self._blocks.use(active)

    def _failed(self, why: Phrase) -> None:
        self._known.remember("eager", failed=str(why))
        self._tell(why)


class _Run:
    """One block's stand-in for ``forward``."""

    def __init__(self, blocks: CompiledBlocks, block: Any) -> None:
        self._blocks, self._block = blocks, block

    def __call__(self, x: Tensor, modulation: Tensor, captions: Sequence[CaptionKV], copies: int = 1) -> Tensor:
        return self._blocks.run(self._block, x, modulation, captions, copies)


def _eager(block: Any, *args: Any) -> Tensor:
    out: Tensor = type(block).forward(block, *args)
    return out


def _short(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
