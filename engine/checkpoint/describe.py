"""Facts of a model for people: parts, licences, sizes, hashes, and whether it fits this machine. Without torch."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder
from engine.checkpoint.memory_plan import SIXTEEN_BIT_ENCODER
from engine.checkpoint.onnxfile import GRAPH, graph_files, graph_sha256, graph_table
from engine.checkpoint.weights import TensorEntry, part_sha256, read_header, sha256_file, weight_files
from engine.contract.errors import CommonArtError, Phrase
from engine.system.json_program import phrase, report_progress
from engine.system.ram import nvidia_gpus, ram_bytes

_DTYPES = {"F32": "fp32", "BF16": "bf16", "F16": "fp16", "F64": "fp64"}
WEIGHTS = ("denoiser", "text_encoder", "vae")  # the parts that have any


def folders(model: ModelFolder) -> dict[str, str | None]:
    parts = {
        "denoiser": model.denoiser,
        "text_encoder": model.text_encoder,
        "tokenizer": model.tokenizer,
        "vae": model.vae,
        "scheduler": model.scheduler,
    }
    return {part: None if folder is None else str(folder) for part, folder in parts.items()}


def facts(model: ModelFolder) -> dict[str, Any]:
    return {"own_side": model.own_side, "multiple": model.multiple, "max_tokens": model.max_tokens}


def licence_of(folder: Path) -> tuple[str, str] | None:
    """(licence, file that says so): ``license:`` of the model card, else the first line of a licence file."""
    try:
        card = (folder / "README.md").read_bytes()[: 1 << 16].decode("utf-8", "replace")
    except OSError:
        card = ""
    front = re.match(r"\ufeff?---\s*\n(.*?)\n---", card.replace("\r\n", "\n"), re.S)
    if front:
        said = re.search(r"^license:[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", front[1], re.M)
        named = re.search(r"^license_name:[ \t]*(.+)", front[1], re.M)
        values = [v.strip(" \t\"'[]") for v in re.split(r"\n[ \t]*-|,", said[1])] if said else []
        values = [v for v in values if v]
        if named and values in ([], ["other"]):
            values = [named[1].strip(" \t\"'")]
        if values:
            return ", ".join(values)[:200], "README.md"
    for file in sorted(folder.glob("*")):
        if re.match(r"(licen[sc]e|copying)\b", file.name, re.I) and file.is_file():
            lines = file.read_bytes()[: 1 << 16].decode("utf-8", "replace").splitlines()
            return next((line.strip()[:200] for line in lines if line.strip()), file.name), file.name
    return None


def _licences(model: ModelFolder) -> list[dict[str, Any]]:
    """One entry per folder that names a licence; a pipeline's licence covers its parts too."""
    licences: dict[Path, dict[str, Any]] = {}
    for part in WEIGHTS:
        folder: Path = getattr(model, part)
        for source in (folder, folder.parent if (folder.parent / "model_index.json").is_file() else folder):
            if source in licences:
                licences[source]["parts"] += [] if part in licences[source]["parts"] else [part]
            elif found := licence_of(source):
                licences[source] = {"licence": found[0], "file": str(source / found[1]), "parts": [part]}
    return list(licences.values())


def tables(files: Iterable[Path]) -> dict[str, TensorEntry]:
    """Tensors of safetensors files, or of an ONNX graph with its external data."""
    files = list(files)
    if files and files[0].name == GRAPH:
        return graph_table(files[0].parent)
    return {name: entry for file in files for name, entry in read_header(file).items()}


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def activations(model: ModelFolder, width: int) -> int:
    """Bytes besides the weights for one image at the model's own size, with values of ``width`` bytes.

    Denoising needs two rows (guidance) of about 14 token-wide tensors and the captions' keys and values; decoding about
    three full-size maps of the VAE's second width. They are not needed at the same time: the larger counts.
    """
    config = model.denoiser_config
    wide = int(config.get("num_attention_heads") or 16) * int(config.get("attention_head_dim") or 72)
    tokens = (model.own_side // model.multiple) ** 2
    captions = 2 * int(config.get("num_layers") or 28) * model.max_tokens * wide
    draw = 2 * (14 * tokens * wide + captions)
    channels = list(model.vae_config.get("block_out_channels", [128, 256]))
    return width * max(draw, 3 * model.own_side**2 * int(channels[min(1, len(channels) - 1)]))


RULE = Phrase(
    "Weights of all parts, and for one image at the model's own size the larger of what denoising two rows and "
    "what decoding needs"
)


def _memory(model: ModelFolder, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ram, gpus = ram_bytes(), nvidia_gpus()
    out: dict[str, Any] = {"rule": phrase(RULE), "ram": ram, "gpus": gpus}
    if model.layout == "onnx":  # its values have the width of the export
        dtype = "fp16" if parts["denoiser"]["dtype"] == "fp16" else "fp32"
        weights, encoder = (sum(parts[p]["bytes"] for p in names) for names in (("denoiser", "vae"), ("text_encoder",)))
        out[dtype] = _fits(weights, encoder, activations(model, 2 if dtype == "fp16" else 4), ram, gpus)
        return out
    for dtype, width in (("fp32", 4), ("bf16", 2)):
        weights = width * (parts["denoiser"]["parameters"] + parts["vae"]["parameters"])
        encoder_width = 2 if parts["text_encoder"]["bytes"] > SIXTEEN_BIT_ENCODER else width
        encoder = encoder_width * parts["text_encoder"]["parameters"]
        out[dtype] = _fits(weights, encoder, activations(model, width), ram, gpus)
    return out


def _fits(
    weights: int, encoder: int, working: int, ram: int | None, gpus: list[dict[str, Any]] | None
) -> dict[str, Any]:
    total = weights + encoder + working
    return {
        "weights": weights,
        "text_encoder": encoder,
        "activations": working,
        "total": total,
        "fits_ram": None if ram is None else total <= ram,
        "fits_gpu": None if gpus is None else total <= max(g["bytes"] for g in gpus),
    }


def info(model: ModelFolder) -> dict[str, Any]:
    """All facts of one model. A damaged part has a ``problem``; its hash, and then the memory, is null."""
    files_of, hash_of = (graph_files, graph_sha256) if model.layout == "onnx" else (weight_files, part_sha256)
    files = {part: files_of(getattr(model, part)) for part in WEIGHTS}
    done, total = 0, sum(f.stat().st_size for group in files.values() for f in group)
    parts: dict[str, dict[str, Any]] = {}
    for part, group in files.items():
        row: dict[str, Any] = {
            "folder": str(getattr(model, part)),
            "bytes": sum(f.stat().st_size for f in group),
            "dtype": None,
            "parameters": None,
            "sha256": None,
            "problem": None,
        }
        parts[part] = row
        try:
            table = tables(group)
            sizes: Counter[str] = Counter()
            for entry in table.values():
                sizes[entry.dtype] += entry.stop - entry.start
            row["dtype"] = next((_DTYPES.get(d, d.lower()) for d, _ in sizes.most_common(1)), None)
            row["parameters"] = sum(_count(e.shape) for e in table.values())
            at = done

            def step(n: int) -> None:
                nonlocal at
                at += n
                report_progress(at, total)

            row["sha256"] = hash_of(getattr(model, part), step)
        except CommonArtError as e:
            row["problem"] = e.to_wire()
        done += row["bytes"]
        report_progress(done, total)
    valid = all(row["problem"] is None for row in parts.values())
    tokenizer = [f for f in (model.tokenizer / n for n in TOKENIZER_FILES) if f.is_file()]
    listing = "".join(f"{f.name} {sha256_file(f)}\n" for f in tokenizer)
    parts["tokenizer"] = {
        "folder": str(model.tokenizer),
        "bytes": sum(f.stat().st_size for f in tokenizer),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }
    if model.scheduler:
        parts["scheduler"] = {"folder": str(model.scheduler)}
    return {
        "name": model.name,
        "root": str(model.root),
        "layout": model.layout,
        "parts": parts,
        "licences": _licences(model),
        "hashes": model.hashes() if valid else None,
        "memory": _memory(model, parts) if valid else None,
    } | facts(model)
