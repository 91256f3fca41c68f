"""Modules without values, and the one way to load weights into them from safetensors files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.checkpoint.weights import read_header
from engine.contract.errors import BrokenWeights, CommonArtError, Phrase, WrongShape

#: by each parameter's name in the module: the file and the tensor's name there
Locations = dict[str, tuple[Path, str]]


class _NoRandom(TorchFunctionMode):
    """Skips random initialisation, since every value comes from a file.

    On the meta device it would only import torch's tracing machinery, which takes longer than loading a small model.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        if (
            func in (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.div, torch.Tensor.__truediv__)
            or getattr(func, "__module__", None) == "torch.nn.init"
        ):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextlib.contextmanager
def without_init() -> Iterator[None]:
    """Modules created in here have shapes but neither memory nor values.

    Only for modules whose every parameter is set afterwards.
    """
    with torch.device("meta"), _NoRandom():
        yield


def _match(
    module: nn.Module, files: Sequence[Path], rename: Callable[[str], str | None], part: str
) -> tuple[Locations, CommonArtError | None]:
    """The location of each parameter, and the first thing that does not fit."""
    expected = {name: tuple(p.shape) for name, p in module.named_parameters()}
    locations: Locations = {}
    for file in files:
        for name, entry in read_header(file).items():
            target = rename(name)
            if target is None:
                continue
            if target not in expected or target in locations:
                why = Phrase("the tensor {name} belongs to no {part}", name=name, part=part)
                return locations, BrokenWeights(path=file, why=why)
            if expected[target] != entry.shape:
                shapes = {"found": list(entry.shape), "expected": list(expected[target])}
                return locations, WrongShape(path=file, tensor=name, **shapes)
            locations[target] = file, name
    missing = next((name for name in expected if name not in locations), None)
    if missing is not None:
        return locations, BrokenWeights(path=files[0], why=Phrase("the tensor {name} is missing", name=missing))
    return locations, None


def locate_weights(
    module: nn.Module, files: Sequence[Path], part: str, rename: Callable[[str], str | None] = lambda name: name
) -> Locations:
    """Where each parameter of ``module`` is.

    Args:
        module: built in ``without_init``.
        files: safetensors files.
        part: what the module is, for error messages.
        rename: gives a tensor's name in the module, or None to skip it.

    Raises:
        WrongShape, BrokenWeights: the files do not fit the module (the tensor is named), or a file's header cannot be
            read.
    """
    locations, problem = _match(module, files, rename, part)
    if problem is not None:
        raise problem
    return locations


def locate_weights_if_they_fit(
    module: nn.Module, files: Sequence[Path], rename: Callable[[str], str | None]
) -> Locations | None:
    """As ``locate_weights``, but None where the files do not fit the module.

    Raises:
        BrokenWeights: a file's header cannot be read.
    """
    locations, problem = _match(module, files, rename, "")
    return locations if problem is None else None


def load_weights(
    module: nn.Module,
    locations: Locations,
    device: torch.device,
    dtype: torch.dtype,
    *,
    change: Callable[[str, Tensor], Tensor] | None = None,
    channels_last: bool = False,
) -> None:
    """Read every parameter, in ``dtype`` on ``device``; none requires a gradient.

    On the CPU, in the dtype of the file, parameters remain views of the memory map.

    Args:
        module: built in ``without_init``.
        locations: from ``locate_weights``; names may be below ``module``.
        device: where the parameters go.
        dtype: what they are cast to.
        change: gets each parameter's name and tensor before the cast, as LoRAs do that are merged.
        channels_last: all are copies, and convolutions have their channels side by side, which is 10 to 25 % faster for
            small maps on a CPU and was never seen to be slower.
    """
    from safetensors import safe_open

    for file in dict.fromkeys(file for file, _ in locations.values()):
        with safe_open(file, "pt") as f:
            for target, (source, name) in locations.items():
                if source != file:
                    continue
                tensor = f.get_tensor(name)
                if change:
                    tensor = change(target, tensor)
                tensor = tensor.to(device=device, dtype=dtype)
                if channels_last:  # all of them are copied: one remaining view would keep the complete map
                    tensor = tensor.clone(
                        memory_format=torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
                    )
                owner, _, leaf = target.rpartition(".")
                setattr(module.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=False))
