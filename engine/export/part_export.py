"""One part of a model loaded, exported and let go again; what PyTorch gives for the gate's inputs is kept beside it."""

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
from engine.models.text_encoder import CaptionEncoder, Feature

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
#: parts of the model folder by parts of the export
SOURCES = {"text_encoder": "text_encoder", "transformer": "denoiser", "vae_decoder": "vae", "vae_encoder": "vae"}


def open_source(job: dict[str, Any]) -> ModelFolder:
    """The model folder that a job names."""
    parts = {k: Path(job["source"][k]) for k in ("text_encoder", "vae")}
    return identify(Path(job["source"]["root"]), **parts, name=job["source"]["name"])


def loras_of(job: dict[str, Any], folder: ModelFolder) -> list[LoraFile]:
    return [open_lora(name, scale, folder) for name, scale in job["loras"]]


def load(
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


def trial_inputs(part: str, folder: ModelFolder, config: Any, no_marks: bool) -> list[dict[str, torch.Tensor]]:
    """What the gate asks every graph: batches of 1 and 3, square and not, captions of several lengths behind padding."""
    torch.manual_seed(20240907)
    make = exporter_config(part, config, "fp32")

    def dummy(**shapes: int) -> dict[str, torch.Tensor]:
        return dict(make.generate_dummy_inputs(framework="pt", **shapes))

    patch = int(folder.denoiser_config.get("patch_size", 2))
    side = max(2, min(int(folder.denoiser_config.get("sample_size", 64)), 64) // patch)  # in patches
    most = min(folder.max_tokens, 64)
    if part == "text_encoder":
        one, three = dummy(batch_size=1, sequence_length=5), dummy(batch_size=3, sequence_length=most)
        one["attention_mask"][:] = 1
        for row, length in enumerate((most, max(2, most // 2), 2)):
            three["attention_mask"][row] = (torch.arange(most) < length).long()
        return [one, three, *([_nothing(three)] if no_marks else [])]
    if part == "transformer":
        return [
            dummy(batch_size=1, sequence_length=1, height=side * patch, width=side * patch),
            dummy(batch_size=3, sequence_length=most, height=(side // 2 + 1) * patch, width=side * patch),
            _nothing(
                dummy(batch_size=1, sequence_length=9, height=side * patch, width=2 * patch), "encoder_attention_mask"
            ),
        ]
    tall = 1 if part == "vae_decoder" else folder.vae_scale
    side = min(side * patch, 32)
    return [
        dummy(batch_size=1, height=side * tall, width=side * tall),
        dummy(batch_size=3, height=side // 2 * tall, width=(side // 2 + 3) * tall),
    ]


def _nothing(inputs: dict[str, torch.Tensor], mask: str = "attention_mask") -> dict[str, torch.Tensor]:
    """One caption with everything masked: the empty caption of a tokenizer that adds no marks."""
    return {k: v[:1] if k != mask else torch.zeros_like(v[:1]) for k, v in inputs.items()}


def graph(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: PyTorch's answers to ``trial_inputs`` into ``job["reference"]``, then the graph into ``job["file"]``."""
    began = time.monotonic()
    folder, part, dtype = open_source(job), job["part"], job["dtype"]
    loras = loras_of(job, folder) if part == "transformer" else []
    module, config, tokenizer = load(part, folder, torch.float16 if job["stored"] else torch.float32, loras)
    reference, overflow = Path(job["reference"]), False
    if not reference.exists():
        no_marks = tokenizer is not None and len(tokenizer("")["input_ids"]) == 0
        kept: dict[str, np.ndarray[Any, Any]] = {}
        with torch.inference_mode():
            for n, inputs in enumerate(trial_inputs(part, folder, config, no_marks)):
                own = next(module.parameters()).dtype
                given = {
                    k: v.to(own) if v.is_floating_point() and k not in ("timestep", "resolution", "aspect_ratio") else v
                    for k, v in inputs.items()
                }
                kept |= {f"{n}/{k}": v.numpy() for k, v in inputs.items()}
                kept[f"{n}/out"] = module(**given).float().numpy()
        np.savez(reference, **kept)  # type: ignore[arg-type]
    if dtype != "fp32":
        if not job["stored"]:
            del module
            gc.collect()
            module, config, _ = load(part, folder, DTYPES[dtype], loras)
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
        # torch.onnx raises kinds of its own, all of RuntimeError, for what it cannot trace or translate
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        raise NotExportable(
            path=getattr(folder, SOURCES[part]), why=Phrase("no graph can be made of it ({reason})", reason=reason)
        ) from e
    return {"seconds": round(time.monotonic() - began, 1), "overflow": overflow}


@torch.inference_mode()
def _overflows(module: torch.nn.Module, reference: Path) -> bool:
    """Whether PyTorch itself, in half precision, leaves the numbers: ONNX Runtime's CPU would hide that behind wider kernels."""
    with np.load(reference) as kept:
        inputs = {
            name[2:]: torch.from_numpy(kept[name]) for name in kept.files if name.startswith("0/") and name != "0/out"
        }
    given = {
        k: v.half() if v.is_floating_point() and k not in ("timestep", "resolution", "aspect_ratio") else v
        for k, v in inputs.items()
    }
    return not bool(torch.isfinite(module(**given)).all())


def features_of(folder: ModelFolder, texts: Sequence[str], stored: bool) -> dict[str, Feature]:
    """PyTorch's features in the gate's own precision: the backend would keep a large encoder in bfloat16, and remember."""
    encoder = CaptionEncoder(folder, device=torch.device("cpu"), dtype=torch.float16 if stored else torch.float32)
    return {text: encoder.encode(text) for text in texts}


def quantize(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: ``job["file"]`` in place, by ``engine.export.quantize``."""
    from engine.export.quantize import to_int8

    began = time.monotonic()
    changed = to_int8(Path(job["file"]))
    return {"seconds": round(time.monotonic() - began, 1), "layers": changed}
