"""What can be checked before an export starts: model, LoRAs, output path, memory and disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import LoraFile, open_lora
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.errors import BrokenWeights, NotExportable, Phrase, TooLittleDisk, TooLittleMemory
from engine.export.layout import check_output
from engine.system.ram import ram_bytes

#: : Bytes on disk: larger parts that become float16 are compared with PyTorch's float16, since float32 would need twice
#: the
#: part's memory.
FP16_REFERENCE_ABOVE = 4 << 30
#: : Memory of ONNX Runtime relative to the weights of a float16 graph on the CPU, whose kernels are float32 (measured:
#: 2.3).
FP16_RUNTIME_FACTOR = 2.4
LIBRARY_BYTES = 1 << 30  # memory of the libraries themselves, rounded up
ENCODERS = ("llama", "gpt_neox", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "t5", "umt5")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is to be exported, and how."""

    model: str
    out: Path
    dtype: str = "fp32"
    quantize: str = "none"
    loras: tuple[tuple[str, float], ...] = ()
    text_encoder: str | None = None
    vae: str | None = None


@dataclass(frozen=True)
class ExportPlan:
    """A request that passed the checks.

    ``parameters`` counts the parameters of each part of the source, ``bytes_stored`` the bytes of their tensors on
    disk.
    """

    request: ExportRequest
    folder: ModelFolder
    loras: list[LoraFile]
    parameters: dict[str, int]
    bytes_stored: dict[str, int]

    def bytes_of(self, part: str) -> int:
        """Bytes of one part's weights in the precision of the export."""
        return self.parameters[part] * (2 if self.request.dtype == "fp16" else 4)


def preflight(request: ExportRequest) -> ExportPlan:
    """Refuse early what cannot succeed.

    Raises:
        UnknownModel and what ``identify`` raises; NotExportable, ExportOut, UnknownLora, LoraForOther, TooLittleMemory,
        TooLittleDisk.
    """
    folder = open_model(request.model, request.text_encoder, request.vae)
    if folder.layout == "onnx":
        raise NotExportable(path=folder.root, why=Phrase("it is an ONNX export already"))
    kind = str(folder.text_config.get("model_type"))
    if kind not in ENCODERS:
        raise NotExportable(
            path=folder.text_encoder,
            why=Phrase("a text encoder of the kind {kind} is not supported by the exporter", kind=kind),
        )
    check_output(request.out, folder)
    tables = {
        name: [entry for file in weight_files(getattr(folder, name)) for entry in read_header(file).values()]
        for name in ("text_encoder", "denoiser", "vae")
    }
    parameters = {name: sum(_count(e.shape) for e in table) for name, table in tables.items()}
    if not all(parameters.values()):
        raise BrokenWeights(path=folder.root, why=Phrase("it holds no safetensors weights"))
    bytes_stored = {name: sum(e.stop - e.start for e in table) for name, table in tables.items()}
    plan = ExportPlan(
        request, folder, [open_lora(name, scale, folder) for name, scale in request.loras], parameters, bytes_stored
    )
    _check_memory(plan)
    _check_disk(plan)
    return plan


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def _check_memory(plan: ExportPlan) -> None:
    largest = max(plan.parameters, key=lambda name: plan.bytes_of(name))
    need = (
        int(
            max(
                1.5 * plan.bytes_stored[largest],
                (FP16_RUNTIME_FACTOR if plan.request.dtype == "fp16" else 1.5) * plan.bytes_of(largest),
            )
        )
        + LIBRARY_BYTES
    )
    have = ram_bytes()
    if have is not None and need > have:
        raise TooLittleMemory(part=largest, need=f"{need / 1e9:.1f}", have=f"{have / 1e9:.1f}")


def _check_disk(plan: ExportPlan) -> None:
    """Room for the export, a second copy of its largest part while that is quantised or repeated, and the images."""
    sizes = [plan.bytes_of(name) for name in plan.parameters]
    need = sum(sizes) + (2 * max(sizes) if plan.request.quantize == "int8" else max(sizes) // 10) + (64 << 20)
    place = plan.request.out.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if need > free:
        raise TooLittleDisk(path=plan.request.out, free=free >> 20, need=need >> 20)
    if not os.access(place, os.W_OK):
        from engine.contract.errors import OutputFolder

        raise OutputFolder(path=plan.request.out, why=Phrase("it is not permitted"))
