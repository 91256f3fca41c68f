"""What can be known before work starts: whether the model, the LoRAs and the place fit, and whether memory and disk suffice."""

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
from engine.export.layout import check_out
from engine.system.ram import ram_bytes

STORED = (
    4 << 30
)  # bytes on disk: above, what becomes float16 is compared with PyTorch's float16; float32 would need twice the part's memory
WIDENED = 2.4  # times the weights of a float16 graph: what ONNX Runtime holds on the CPU, whose kernels are float32 (seen: 2.3)
BASE = 1 << 30  # bytes that the libraries themselves take, rounded up
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
    """A wish that can be granted. ``numbers`` counts the parameters of each part of the source."""

    wish: ExportRequest
    folder: ModelFolder
    loras: list[LoraFile]
    numbers: dict[str, int]
    stored: dict[str, int]

    def bytes_of(self, part: str) -> int:
        """Weights of one part in the precision of the export."""
        return self.numbers[part] * (2 if self.wish.dtype == "fp16" else 4)


def preflight(wish: ExportRequest) -> ExportPlan:
    """Everything that can be refused early.

    Raises:
        UnknownModel and what ``identify`` raises; NotExportable, ExportOut, UnknownLora, LoraForOther, TooLittleMemory,
        TooLittleDisk.
    """
    folder = open_model(wish.model, wish.text_encoder, wish.vae)
    if folder.layout == "onnx":
        raise NotExportable(path=folder.root, why=Phrase("it is an ONNX export already"))
    kind = str(folder.text_config.get("model_type"))
    if kind not in ENCODERS:
        raise NotExportable(
            path=folder.text_encoder,
            why=Phrase("a text encoder of the kind {kind} has not been taught to the exporter", kind=kind),
        )
    check_out(wish.out, folder)
    tables = {
        name: [entry for file in weight_files(getattr(folder, name)) for entry in read_header(file).values()]
        for name in ("text_encoder", "denoiser", "vae")
    }
    numbers = {name: sum(_count(e.shape) for e in table) for name, table in tables.items()}
    if not all(numbers.values()):
        raise BrokenWeights(path=folder.root, why=Phrase("it holds no safetensors weights"))
    stored = {name: sum(e.stop - e.start for e in table) for name, table in tables.items()}
    plan = ExportPlan(wish, folder, [open_lora(name, scale, folder) for name, scale in wish.loras], numbers, stored)
    _memory(plan)
    _disk(plan)
    return plan


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def _memory(plan: ExportPlan) -> None:
    largest = max(plan.numbers, key=lambda name: plan.bytes_of(name))
    need = (
        int(max(1.5 * plan.stored[largest], (WIDENED if plan.wish.dtype == "fp16" else 1.5) * plan.bytes_of(largest)))
        + BASE
    )
    have = ram_bytes()
    if have is not None and need > have:
        raise TooLittleMemory(part=largest, need=f"{need / 1e9:.1f}", have=f"{have / 1e9:.1f}")


def _disk(plan: ExportPlan) -> None:
    """The export, once more its largest part while that is quantised or made again, and the pictures."""
    sizes = [plan.bytes_of(name) for name in plan.numbers]
    need = sum(sizes) + (2 * max(sizes) if plan.wish.quantize == "int8" else max(sizes) // 10) + (64 << 20)
    place = plan.wish.out.absolute()
    while not place.is_dir() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if need > free:
        raise TooLittleDisk(path=plan.wish.out, free=free >> 20, need=need >> 20)
    if not os.access(place, os.W_OK):
        from engine.contract.errors import OutputFolder

        raise OutputFolder(path=plan.wish.out, why=Phrase("it is not permitted"))
