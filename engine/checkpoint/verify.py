"""Reading every number of a model and checking it against its config. No torch."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.checkpoint.config_files import read_config
from engine.checkpoint.describe import WEIGHTS, tables
from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder
from engine.checkpoint.onnxfile import GRAPH, check_graph, check_promised, graph_files, promised
from engine.checkpoint.weights import TensorEntry, check_finite, read_header, sha256_file, weight_files
from engine.contract.errors import BrokenWeights, CommonArtError, Phrase, WrongShape, WrongTokenizer
from engine.system.json_program import report_progress

Shapes = dict[str, tuple[int, ...]]


def denoiser_shapes(config: dict[str, Any]) -> Shapes:
    """Every tensor that the transformer of this config has. Must agree with ``engine.models.pixart.DiT``; a test holds
    them together.

    Raises:
        ValueError, TypeError: it describes no PixArt transformer.
    """

    def number(key: str, default: int) -> int:
        value = config.get(key)
        parsed = default if value is None else int(value)
        if not 1 <= parsed <= 1 << 20:
            raise ValueError(f"{key} is {value!r}")
        return parsed

    wide = number("num_attention_heads", 16) * number("attention_head_dim", 72)
    if number("cross_attention_dim", 1152) != wide:
        raise ValueError(f"cross_attention_dim is {config.get('cross_attention_dim')}, the width is {wide}")
    patch, layers = number("patch_size", 2), number("num_layers", 28)
    if layers > 1000:
        raise ValueError(f"num_layers is {layers}")
    sizes = config.get("use_additional_conditions")
    bias = config.get("attention_bias")
    shapes: Shapes = {
        "scale_shift_table": (2, wide),
        "pos_embed.proj.weight": (wide, number("in_channels", 4), patch, patch),
        "pos_embed.proj.bias": (wide,),
    }

    def linear(name: str, outside: int, inside: int, biased: bool = True) -> None:
        shapes[f"{name}.weight"] = (outside, inside)
        if biased:
            shapes[f"{name}.bias"] = (outside,)

    third = wide // 3
    embedders = {"timestep": wide} | (
        {"resolution": third, "aspect_ratio": third}
        if (number("sample_size", 128) == 128 if sizes is None else sizes)
        else {}
    )
    for name, outside in embedders.items():
        linear(f"adaln_single.emb.{name}_embedder.linear_1", outside, 256)
        linear(f"adaln_single.emb.{name}_embedder.linear_2", outside, outside)
    linear("adaln_single.linear", 6 * wide, wide)
    linear("caption_projection.linear_1", wide, number("caption_channels", 4096))
    linear("caption_projection.linear_2", wide, wide)
    linear("proj_out", patch * patch * number("out_channels", 8), wide)
    for n in range(layers):
        block = f"transformer_blocks.{n}"
        shapes[f"{block}.scale_shift_table"] = (6, wide)
        for attention in ("attn1", "attn2"):
            for name in ("to_q", "to_k", "to_v"):
                linear(f"{block}.{attention}.{name}", wide, wide, True if bias is None else bool(bias))
            linear(f"{block}.{attention}.to_out.0", wide, wide)
        linear(f"{block}.ff.net.0.proj", 4 * wide, wide)
        linear(f"{block}.ff.net.2", wide, 4 * wide)
    return shapes


def _check_denoiser(model: ModelFolder) -> None:
    try:
        wanted = denoiser_shapes(model.denoiser_config)
    except (ValueError, TypeError) as e:
        raise BrokenWeights(
            path=model.denoiser / "config.json", why=Phrase("it describes no PixArt transformer ({reason})", reason=e)
        ) from e
    files = weight_files(model.denoiser)
    for file in files:
        for name, entry in read_header(file).items():
            want = wanted.pop(name, None)
            if want is None:
                if not name.endswith(("pos_embed.pos_embed", "y_embedding")):  # buffers of older versions
                    raise BrokenWeights(
                        path=file,
                        why=Phrase("the tensor {name} belongs to no {part}", name=name, part="PixArt transformer"),
                    )
            elif want != entry.shape:
                raise WrongShape(path=file, tensor=name, found=list(entry.shape), expected=list(want))
    if wanted:
        raise BrokenWeights(path=files[0], why=Phrase("the tensor {name} is missing", name=next(iter(wanted))))


def _check_index(index: Path) -> None:
    """Each tensor that the list of shards names is in that shard."""
    weight_map = read_config(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise BrokenWeights(path=index, why=Phrase("its table cannot be read"))
    tables: dict[str, dict[str, TensorEntry]] = {}
    for tensor, name in weight_map.items():
        shard = index.parent / Path(str(name)).name
        if not shard.is_file():
            raise BrokenWeights(path=shard, why=Phrase("this shard is missing"))
        if shard.name not in tables:
            tables[shard.name] = read_header(shard)
        if tensor not in tables[shard.name]:
            raise BrokenWeights(path=shard, why=Phrase("the tensor {name} is missing", name=tensor))


def _check_channels(model: ModelFolder) -> None:
    text, vae, denoiser = model.text_config, model.vae_config, model.denoiser_config
    features, wanted = text.get("hidden_size", text.get("d_model")), denoiser.get("caption_channels")
    if features and wanted and features != wanted:
        raise BrokenWeights(
            path=model.text_encoder,
            why=Phrase(
                "its features have {found} channels, the denoiser reads {wanted}", found=features, wanted=wanted
            ),
        )
    if vae.get("latent_channels", 4) != denoiser.get("in_channels", 4):
        raise BrokenWeights(
            path=model.vae,
            why=Phrase(
                "it has {found} latent channels, the denoiser {wanted}",
                found=vae.get("latent_channels", 4),
                wanted=denoiser.get("in_channels", 4),
            ),
        )


def _check_tokenizer(model: ModelFolder) -> None:
    """Its JSON files are JSON; and tokenizer.json has no more tokens than the encoder has rows."""
    for file in sorted(model.tokenizer.glob("*token*.json")):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise WrongTokenizer(path=file, why=Phrase("it is not JSON")) from e
    table = model.tokenizer / "tokenizer.json"
    if not table.is_file():
        return
    try:
        data = json.loads(table.read_text(encoding="utf-8"))
        vocabulary = data["model"]["vocab"]  # {token: id}, or for Unigram [[token, score], ...]
        tokens = set(vocabulary) if isinstance(vocabulary, dict) else {row[0] for row in vocabulary}
        tokens |= {row["content"] for row in data.get("added_tokens") or []}
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise WrongTokenizer(path=table, why=Phrase("its table cannot be read")) from e
    entries = tables(graph_files(model.text_encoder) if model.layout == "onnx" else weight_files(model.text_encoder))
    rows = [
        e.shape[0]
        for n, e in entries.items()
        if re.search(r"(^|\.)(embed_tokens|embed_in|wte|shared)\.weight$", n) and e.shape
    ]
    if rows and len(tokens) > rows[0]:
        raise WrongTokenizer(
            path=model.tokenizer,
            why=Phrase("it has {tokens} tokens, the encoder knows {rows}", tokens=len(tokens), rows=rows[0]),
        )


def verify(model: ModelFolder) -> dict[str, Any]:
    """Read every file of a model from end to end; nothing remembered counts.

    The first problem is also the ``error``.
    """
    rows: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    broken: set[Path] = set()
    exported = model.layout == "onnx"
    checks, skipped = (
        ["header", "size", "finite", "sha256"],
        ["denoiser-shapes"] if exported else ["text-encoder-shapes", "vae-shapes"],
    )
    listed: dict[Path, tuple[str, bool]] = {}
    for part in WEIGHTS:
        folder: Path = getattr(model, part)
        used = graph_files(folder) if exported else weight_files(folder)
        for file in sorted({*used, *([] if exported else folder.glob("*.safetensors")), folder / "config.json"}):
            listed.setdefault(file, (part, file in used or file.suffix == ".json"))
    for file in sorted({*(model.tokenizer / n for n in TOKENIZER_FILES), *model.tokenizer.glob("*token*.json")}):
        if file.is_file():
            listed.setdefault(file, ("tokenizer", True))
    if model.scheduler:
        listed[model.scheduler / "scheduler_config.json"] = ("scheduler", True)
    done, total = 0, sum(f.stat().st_size * (2 if f.suffix == ".safetensors" else 1) for f in listed)

    def step(n: int) -> None:
        nonlocal done
        done += n
        report_progress(done, total)

    for file, (part, needed) in listed.items():
        row: dict[str, Any] = {
            "part": part,
            "path": str(file),
            "bytes": file.stat().st_size,
            "used": needed,
            "problem": None,
        }
        rows.append(row)
        try:
            if file.suffix == ".safetensors":
                try:
                    check_finite(file)  # reads the header and the size first
                except (MemoryError, OverflowError, struct.error) as e:
                    raise BrokenWeights(path=file, why=Phrase("its table cannot be read")) from e
                finally:
                    step(row["bytes"])
            elif file.name == GRAPH:
                check_graph(file)
            elif file.suffix == ".json" and part != "tokenizer":
                read_config(file)
        except CommonArtError as e:
            row["problem"] = e.to_wire()
            problems.append(row["problem"])
            broken.add(file.parent)
        row["sha256"] = sha256_file(file, step)

    def also(name: str, folders: set[Path], check: Callable[[], None]) -> None:
        if folders & broken:  # its problem was already reported
            if name not in skipped:
                skipped.append(name)
            return
        if name not in checks:
            checks.append(name)
        try:
            check()
        except CommonArtError as e:
            problems.append(e.to_wire())

    if exported:
        if promised(model.root):
            also("export-hashes", set(), lambda: check_promised(model.root, remembered=False))
        else:
            skipped.append("export-hashes")
    for folder in dict.fromkeys([model.denoiser, model.text_encoder, model.vae]):
        for index in sorted(folder.glob("*.safetensors.index*.json")):
            also("index", {folder}, lambda index=index: _check_index(index))  # type: ignore[misc]
    if not exported:
        also("denoiser-shapes", {model.denoiser}, lambda: _check_denoiser(model))
    also("channels", {model.denoiser, model.text_encoder, model.vae}, lambda: _check_channels(model))
    also("tokenizer", {model.tokenizer, model.text_encoder}, lambda: _check_tokenizer(model))
    out: dict[str, Any] = {
        "name": model.name,
        "root": str(model.root),
        "files": rows,
        "checks": checks,
        "skipped": skipped,
        "problems": problems,
    }
    return out | ({"error": problems[0]} if problems else {})
