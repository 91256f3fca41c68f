"""An export that draws in a model's place, where `commonart bench --probe --onnx FOLDER` found it the faster way on
this machine's processor.

Only one of the very same parts, without LoRAs, in fp32 and not quantized may do so. It is remembered in
``compiled.json`` by machine, ONNX Runtime and the denoiser's hash, and used for pictures that leave backend and dtype
open; recipes then name the export. ``COMMONART_COMPILE=off`` and ``--backend pytorch`` put an end to it.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.onnxfile import MANIFEST
from engine.contract.errors import CommonArtError
from engine.system.tuning import TuningRecord, read_records, this_machine

CHOICE = "onnx"
_PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def _runtime() -> str:
    for name in _PACKAGES:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "?"


def exports_of(denoiser: str) -> TuningRecord:
    """What is remembered of the model with that denoiser (its SHA-256)."""
    key = f"{this_machine()} | onnxruntime {_runtime()} | denoiser {denoiser[:16]}"
    return TuningRecord(key, read_records().get(key, {}))


def is_same_model(folder: ModelFolder, export: ModelFolder) -> bool:
    """Whether ``export`` is ``folder`` and nothing else: fp32, no LoRA, no quantization."""
    if export.layout != "onnx" or not (export.root / MANIFEST).is_file():
        return False
    told = read_config(export.root / MANIFEST)
    return (
        told.get("hashes") == folder.hashes()
        and not told.get("loras")
        and told.get("dtype") == "fp32"
        and told.get("quantize", "none") == "none"
    )


def onnx_substitute(
    folder: ModelFolder, *, kind: str, device: str, dtype: str, memory: int | None
) -> ModelFolder | None:
    """The export to draw with in place of ``folder``; None where there is none, or the user chose."""
    if kind != "auto" or folder.layout == "onnx" or dtype not in ("auto", "fp32") or memory is not None:
        return None
    if os.environ.get("COMMONART_COMPILE", "").strip().lower() == "off" or not any(
        v.get("choice") == CHOICE for v in read_records().values()
    ):
        return None
    found = exports_of(folder.hashes()["denoiser"]).found
    if found.get("choice") != CHOICE or device not in ("cpu", found.get("device")):
        return None  # with "auto" a graphics card may have come since
    try:
        export = identify(Path(str(found.get("folder"))))
        return export if is_same_model(folder, export) else None
    except CommonArtError:  # it has gone or was changed: the model itself is still there
        return None
