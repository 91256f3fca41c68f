"""Load one part of a model, save PyTorch's outputs for the parity check, and export the part as a graph."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from engine.backends.pytorch.load import load_denoiser, load_vae
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.lora import LoraFile, open_lora
from engine.contract.errors import NotExportable, Phrase
from engine.export.configs import exporter_config
from engine.export.graphs import Denoiser, TextEncoder, VaeDecoder, VaeEncoder, write_graph
from engine.export.layout import SOURCES
from engine.models.text_encoder import CaptionEncoder, Feature

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


def open_source(job: dict[str, Any]) -> ModelFolder:
    """The model folder that a job names."""
    parts = {k: Path(job["source"][k]) for k in ("text_encoder", "vae")}
    return identify(Path(job["source"]["root"]), **parts, name=job["source"]["name"])


def open_loras(job: dict[str, Any], folder: ModelFolder) -> list[LoraFile]:
    """The LoRAs that a job names."""
    return [open_lora(name, scale, folder) for name, scale in job["loras"]]


def load_part(
    part: str, folder: ModelFolder, dtype: torch.dtype, loras: Sequence[LoraFile]
) -> tuple[torch.nn.Module, Any, Any]:
    """(module with the graph's inputs, the part's config, its tokenizer or None)."""
    cpu = torch.device("cpu")
    if part == "transformer":
        model = load_denoiser(folder, cpu, dtype, loras)
        return Denoiser(model), model.config, None
    if part == "text_encoder":
        encoder = CaptionEncoder(folder, device=cpu, dtype=dtype)
        return TextEncoder(encoder.model).eval(), encoder.model.config, encoder.tokenizer
    vae = load_vae(folder, cpu, dtype)
    return (VaeDecoder if part == "vae_decoder" else VaeEncoder)(vae).eval(), SimpleNamespace(**vae.config), None


def sample_inputs(
    part: str, folder: ModelFolder, config: Any, no_special_tokens: bool
) -> list[dict[str, torch.Tensor]]:
    """The inputs of the parity check: batches of 1 and 3, square and not, padded captions of several lengths."""
    torch.manual_seed(20240907)
    exporter = exporter_config(part, config, "fp32")

    def dummy(**shapes: int) -> dict[str, torch.Tensor]:
        return dict(exporter.generate_dummy_inputs(framework="pt", **shapes))

    patch = int(folder.denoiser_config.get("patch_size", 2))
    side = max(2, min(int(folder.denoiser_config.get("sample_size", 64)), 64) // patch)  # in patches
    longest = min(folder.max_tokens, 64)
    if part == "text_encoder":
        one, three = dummy(batch_size=1, sequence_length=5), dummy(batch_size=3, sequence_length=longest)
        one["attention_mask"][:] = 1
        for row, length in enumerate((longest, max(2, longest // 2), 2)):
            three["attention_mask"][row] = (torch.arange(longest) < length).long()
        return [one, three, *([_fully_masked(three)] if no_special_tokens else [])]
    if part == "transformer":
        return [
            dummy(batch_size=1, sequence_length=1, height=side * patch, width=side * patch),
            dummy(batch_size=3, sequence_length=longest, height=(side // 2 + 1) * patch, width=side * patch),
            _fully_masked(
                dummy(batch_size=1, sequence_length=9, height=side * patch, width=2 * patch), "encoder_attention_mask"
            ),
        ]
    tall = 1 if part == "vae_decoder" else folder.vae_scale
    side = min(side * patch, 32)
    return [
        dummy(batch_size=1, height=side * tall, width=side * tall),
        dummy(batch_size=3, height=side // 2 * tall, width=(side // 2 + 3) * tall),
    ]


def _fully_masked(inputs: dict[str, torch.Tensor], mask: str = "attention_mask") -> dict[str, torch.Tensor]:
    """One caption with everything masked: the empty caption of a tokenizer without special tokens."""
    return {k: v[:1] if k != mask else torch.zeros_like(v[:1]) for k, v in inputs.items()}


def export_graph(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: PyTorch's outputs for ``sample_inputs`` into ``job["reference"]``, then the graph into ``job["file"]``."""
    began = time.monotonic()
    folder, part, dtype = open_source(job), job["part"], job["dtype"]
    loras = open_loras(job, folder) if part == "transformer" else []
    module, config, tokenizer = load_part(
        part, folder, torch.float16 if job["fp16_reference"] else torch.float32, loras
    )
    reference, overflow = Path(job["reference"]), False
    if not reference.exists():
        no_special_tokens = tokenizer is not None and len(tokenizer("")["input_ids"]) == 0
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        with torch.inference_mode():
            for n, inputs in enumerate(sample_inputs(part, folder, config, no_special_tokens)):
                own = next(module.parameters()).dtype
                converted = {
                    k: v.to(own) if v.is_floating_point() and k not in ("timestep", "resolution", "aspect_ratio") else v
                    for k, v in inputs.items()
                }
                arrays |= {f"{n}/{k}": v.numpy() for k, v in inputs.items()}
                arrays[f"{n}/out"] = module(**converted).float().numpy()
        np.savez(reference, **arrays)  # type: ignore[arg-type]
    if dtype != "fp32":
        if not job["fp16_reference"]:
            del module
            gc.collect()
            module, config, _ = load_part(part, folder, DTYPES[dtype], loras)
        overflow = _overflows(module, reference)
    if isinstance(module, TextEncoder):
        module.trace_ready()
        if not (
            folder.tokenizer / "tokenizer.json"
        ).is_file():  # SentencePiece alone: runtimes without transformers read only the other form
            tokenizer.backend_tokenizer.save(str(Path(job["file"]).parent.parent / "tokenizer.json"))
    patch, tall = (
        int(folder.denoiser_config.get("patch_size", 2)),
        {"transformer": 1, "vae_encoder": folder.vae_scale}.get(part, 1),
    )
    step = tall * (patch if part == "transformer" else 1)
    try:
        write_graph(
            module,
            exporter_config(part, config, dtype),
            Path(job["file"]),
            batch_size=2,
            sequence_length=7,
            height=6 * step,
            width=10 * step,
        )
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as e:
        # torch.onnx raises subclasses of RuntimeError for what it cannot trace or translate
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        raise NotExportable(
            path=getattr(folder, SOURCES[part]), why=Phrase("no graph can be made of it ({reason})", reason=reason)
        ) from e
    return {"seconds": round(time.monotonic() - began, 1), "overflow": overflow}


@torch.inference_mode()
def _overflows(module: torch.nn.Module, reference: Path) -> bool:
    """Whether PyTorch itself overflows in half precision: ONNX Runtime's wider CPU kernels would hide it."""
    with np.load(reference) as arrays:
        inputs = {
            name[2:]: torch.from_numpy(arrays[name])
            for name in arrays.files
            if name.startswith("0/") and name != "0/out"
        }
    converted = {
        k: v.half() if v.is_floating_point() and k not in ("timestep", "resolution", "aspect_ratio") else v
        for k, v in inputs.items()
    }
    return not bool(torch.isfinite(module(**converted)).all())


def encode_captions(folder: ModelFolder, texts: Sequence[str], fp16: bool) -> dict[str, Feature]:
    """PyTorch's features in the precision of the check: the backend would run a large encoder in bfloat16 and cache
    them.
    """
    encoder = CaptionEncoder(folder, device=torch.device("cpu"), dtype=torch.float16 if fp16 else torch.float32)
    return {text: encoder.encode(text) for text in texts}


def quantize(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: quantise ``job["file"]`` in place, with ``engine.export.quantize``."""
    from engine.export.quantize import quantize_to_int8

    began = time.monotonic()
    layers = quantize_to_int8(Path(job["file"]))
    return {"seconds": round(time.monotonic() - began, 1), "layers": layers}
