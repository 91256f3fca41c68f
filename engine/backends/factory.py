"""Chooses and opens the backend for a model."""

from __future__ import annotations

from collections.abc import Sequence

from engine.backends.base import Backend
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.contract.errors import FeatureMissing, MissingLibrary, Phrase
from engine.contract.python_process import pip_install


def open_backend(
    folder: ModelFolder,
    *,
    kind: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    loras: Sequence[LoraFile] = (),
    merged: bool = True,
    memory: int | None = None,
) -> Backend:
    """Load a model with the backend its folder asks for, or with ``kind``; the library is imported only now.

    LoRAs are added to the weights, or run beside them if ``merged`` is false. ``memory`` is how many bytes the model
    may use of its device; None: all of it.

    Raises:
        FeatureMissing: ``kind`` cannot run this folder. MissingLibrary: what it needs is not installed.
    """
    if kind == "fake":
        from engine.backends.fake import FakeBackend

        return FakeBackend(folder, loras)
    if (kind == "onnx") != (folder.layout == "onnx") and kind != "auto":
        raise FeatureMissing(
            what=f"--backend {kind}",
            why=Phrase("{model} is an exported model; leave the option out", model=folder.name)
            if folder.layout == "onnx"
            else Phrase(
                "{model} is not an exported model; make one with: commonart export {model} OUT", model=folder.name
            ),
        )
    if folder.layout == "onnx":
        try:
            from engine.backends.onnx.backend import OnnxBackend
        except ModuleNotFoundError as e:
            raise MissingLibrary(name=e.name or "onnxruntime", command=pip_install(e.name or "onnxruntime")) from e

        return OnnxBackend(folder, device=device, dtype=dtype, loras=loras)
    try:
        from engine.backends.pytorch.backend import TorchBackend
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "diffusers", "transformers"):
            raise
        raise MissingLibrary(name=e.name, command=pip_install("commonart-desktop")) from e

    return TorchBackend(folder, device=device, dtype=dtype, loras=loras, merged=merged, memory=memory)
