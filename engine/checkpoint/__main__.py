"""``python -m engine.checkpoint COMMAND``: list, look at, check and convert models. One JSON document on standard output."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from engine.checkpoint import convert as converting
from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder, identify, read_config
from engine.checkpoint.library import Found, find_all, open_model, recall
from engine.checkpoint.machine import nvidia_gpus, ram_bytes
from engine.checkpoint.weights import Entry, check_finite, part_sha256, read_header, sha256_file, weight_files
from engine.contract.errors import BrokenWeights, CommonArtError, Phrase, WrongShape, WrongTokenizer
from engine.program import Parser, phrase, run_program, tell_progress

Shapes = dict[str, tuple[int, ...]]
_DTYPES = {"F32": "fp32", "BF16": "bf16", "F16": "fp16", "F64": "fp64"}
_WEIGHTS = ("denoiser", "text_encoder", "vae")  # the parts that have any


def _folders(model: ModelFolder) -> dict[str, str | None]:
    parts = {"denoiser": model.denoiser, "text_encoder": model.text_encoder, "tokenizer": model.tokenizer, "vae": model.vae,
             "scheduler": model.scheduler}
    return {part: None if folder is None else str(folder) for part, folder in parts.items()}


# list, resolve ----------------------------------------------------------------------------------------------------


def _facts(model: ModelFolder) -> dict[str, Any]:
    return {"own_side": model.own_side, "multiple": model.multiple, "max_tokens": model.max_tokens}


def _listed(found: Found) -> dict[str, Any]:
    row: dict[str, Any] = {"name": found.name, "path": str(found.path), "source": found.source}
    try:
        before = {k: Path(v) for k, v in recall(found.path).items() if k in ("text_encoder", "vae") and Path(v).is_dir()}
        model = identify(found.path, **before, name=found.name)
        return row | {"ok": True, "problem": None, "parts": _folders(model)} | _facts(model)
    except CommonArtError as e:
        problem = e
    except Exception as e:  # a config of any nonsense spoils its own line only
        problem = CommonArtError(why=f"{type(e).__name__}: {e}")
    return row | {"ok": False, "problem": problem.to_wire(), "parts": None, "own_side": None, "multiple": None, "max_tokens": None}


def list_models() -> dict[str, Any]:
    """Every model of this machine, with its parts or with what is wrong; no weights are read."""
    return {"models": [_listed(found) for found in find_all()]}


def resolve(model: ModelFolder) -> dict[str, Any]:
    """What a front end must know before it queues a picture."""
    return {"name": model.name, "root": str(model.root), "layout": model.layout, "parts": _folders(model)} | _facts(model)


# info -------------------------------------------------------------------------------------------------------------


def licence_of(folder: Path) -> tuple[str, str] | None:
    """(licence, file that says so): ``license:`` of the model card, else the first line of a licence file."""
    try:
        card = (folder / "README.md").read_bytes()[:1 << 16].decode("utf-8", "replace")
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
            lines = file.read_bytes()[:1 << 16].decode("utf-8", "replace").splitlines()
            return next((line.strip()[:200] for line in lines if line.strip()), file.name), file.name
    return None


def _licences(model: ModelFolder) -> list[dict[str, Any]]:
    """One entry per folder that says something; a part's pipeline speaks for it too."""
    told: dict[Path, dict[str, Any]] = {}
    for part in _WEIGHTS:
        folder: Path = getattr(model, part)
        for place in (folder, folder.parent if (folder.parent / "model_index.json").is_file() else folder):
            if place in told:
                told[place]["parts"] += [] if part in told[place]["parts"] else [part]
            elif found := licence_of(place):
                told[place] = {"licence": found[0], "file": str(place / found[1]), "parts": [part]}
    return list(told.values())


def _tables(files: Iterable[Path]) -> dict[str, Entry]:
    return {name: entry for file in files for name, entry in read_header(file).items()}


def _count(shape: tuple[int, ...]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def activations(model: ModelFolder, width: int) -> int:
    """Bytes besides the weights for one picture at the model's own size, with numbers of ``width`` bytes.

    Drawing holds two rows (guidance) of about 14 token-wide tensors and the captions' keys and values; decoding about
    three full-size maps of the VAE's second width. They do not happen at once: the larger counts.
    """
    config = model.denoiser_config
    wide = int(config.get("num_attention_heads") or 16) * int(config.get("attention_head_dim") or 72)
    tokens = (model.own_side // model.multiple) ** 2
    captions = 2 * int(config.get("num_layers") or 28) * model.max_tokens * wide
    draw = 2 * (14 * tokens * wide + captions)
    channels = list(model.vae_config.get("block_out_channels", [128, 256]))
    return width * max(draw, 3 * model.own_side ** 2 * int(channels[min(1, len(channels) - 1)]))


RULE = Phrase("Weights of all parts, and for one picture at the model's own size the larger of what drawing two rows and what decoding holds")


def _memory(model: ModelFolder, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ram, gpus = ram_bytes(), nvidia_gpus()
    out: dict[str, Any] = {"rule": phrase(RULE), "ram": ram, "gpus": gpus}
    for dtype, width in (("fp32", 4), ("bf16", 2)):
        weights = width * (parts["denoiser"]["parameters"] + parts["vae"]["parameters"])
        # the PyTorch backend keeps language models above 4 GiB in 16 bits, see engine/backends/pytorch/encode.py
        encoder = (2 if parts["text_encoder"]["bytes"] > 4 << 30 else width) * parts["text_encoder"]["parameters"]
        total = weights + encoder + activations(model, width)
        out[dtype] = {
            "weights": weights, "text_encoder": encoder, "activations": total - weights - encoder, "total": total,
            "fits_ram": None if ram is None else total <= ram,
            "fits_gpu": None if gpus is None else total <= max(g["bytes"] for g in gpus)}
    return out


def info(model: ModelFolder) -> dict[str, Any]:
    """All about one model. A damaged part is told as its ``problem``; its hash, and then the memory, is null."""
    files = {part: weight_files(getattr(model, part)) for part in _WEIGHTS}
    done, total = 0, sum(f.stat().st_size for group in files.values() for f in group)
    parts: dict[str, dict[str, Any]] = {}
    for part, group in files.items():
        row: dict[str, Any] = {"folder": str(getattr(model, part)), "bytes": sum(f.stat().st_size for f in group),
                               "dtype": None, "parameters": None, "sha256": None, "problem": None}
        parts[part] = row
        try:
            table = _tables(group)
            sizes: Counter[str] = Counter()
            for entry in table.values():
                sizes[entry.dtype] += entry.stop - entry.start
            row["dtype"] = next((_DTYPES.get(d, d.lower()) for d, _ in sizes.most_common(1)), None)
            row["parameters"] = sum(_count(e.shape) for e in table.values())
            at = done

            def step(n: int) -> None:
                nonlocal at
                at += n
                tell_progress(at, total)

            row["sha256"] = part_sha256(getattr(model, part), step)
        except CommonArtError as e:
            row["problem"] = e.to_wire()
        done += row["bytes"]
        tell_progress(done, total)
    whole = all(row["problem"] is None for row in parts.values())
    tokenizer = [f for f in (model.tokenizer / n for n in TOKENIZER_FILES) if f.is_file()]
    listing = "".join(f"{f.name} {sha256_file(f)}\n" for f in tokenizer)
    parts["tokenizer"] = {"folder": str(model.tokenizer), "bytes": sum(f.stat().st_size for f in tokenizer),
                          "sha256": hashlib.sha256(listing.encode()).hexdigest()}
    if model.scheduler:
        parts["scheduler"] = {"folder": str(model.scheduler)}
    return {"name": model.name, "root": str(model.root), "layout": model.layout, "parts": parts, "licences": _licences(model),
            "hashes": model.hashes() if whole else None, "memory": _memory(model, parts) if whole else None} | _facts(model)


# verify -----------------------------------------------------------------------------------------------------------


def denoiser_shapes(config: dict[str, Any]) -> Shapes:
    """Every tensor that the transformer of this config has. Must agree with ``engine.dit.DiT``; a test holds them together.

    Raises:
        ValueError, TypeError: it describes no PixArt transformer.
    """
    def number(key: str, default: int) -> int:
        value = config.get(key)
        found = default if value is None else int(value)
        if not 1 <= found <= 1 << 20:
            raise ValueError(f"{key} is {value!r}")
        return found

    wide = number("num_attention_heads", 16) * number("attention_head_dim", 72)
    if number("cross_attention_dim", 1152) != wide:
        raise ValueError(f"cross_attention_dim is {config.get('cross_attention_dim')}, the width is {wide}")
    patch, layers = number("patch_size", 2), number("num_layers", 28)
    if layers > 1000:
        raise ValueError(f"num_layers is {layers}")
    sizes = config.get("use_additional_conditions")
    bias = config.get("attention_bias")
    shapes: Shapes = {"scale_shift_table": (2, wide), "pos_embed.proj.weight": (wide, number("in_channels", 4), patch, patch),
                      "pos_embed.proj.bias": (wide,)}

    def linear(name: str, outside: int, inside: int, biased: bool = True) -> None:
        shapes[f"{name}.weight"] = (outside, inside)
        if biased:
            shapes[f"{name}.bias"] = (outside,)

    third = wide // 3
    embedders = {"timestep": wide} | ({"resolution": third, "aspect_ratio": third}
                                      if (number("sample_size", 128) == 128 if sizes is None else sizes) else {})
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
        raise BrokenWeights(path=model.denoiser / "config.json",
                            why=Phrase("it describes no PixArt transformer ({reason})", reason=e)) from e
    files = weight_files(model.denoiser)
    for file in files:
        for name, entry in read_header(file).items():
            want = wanted.pop(name, None)
            if want is None:
                if not name.endswith(("pos_embed.pos_embed", "y_embedding")):  # buffers of older versions
                    raise BrokenWeights(path=file, why=Phrase("the tensor {name} belongs to no {part}", name=name, part="PixArt transformer"))
            elif want != entry.shape:
                raise WrongShape(path=file, tensor=name, found=list(entry.shape), expected=list(want))
    if wanted:
        raise BrokenWeights(path=files[0], why=Phrase("the tensor {name} is missing", name=next(iter(wanted))))


def _check_index(index: Path) -> None:
    """Each tensor that the list of shards names lies in the shard it names."""
    places = read_config(index).get("weight_map")
    if not isinstance(places, dict):
        raise BrokenWeights(path=index, why=Phrase("its table cannot be read"))
    tables: dict[str, dict[str, Entry]] = {}
    for tensor, name in places.items():
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
        raise BrokenWeights(path=model.text_encoder, why=Phrase(
            "its features have {found} channels, the denoiser reads {wanted}", found=features, wanted=wanted))
    if vae.get("latent_channels", 4) != denoiser.get("in_channels", 4):
        raise BrokenWeights(path=model.vae, why=Phrase("it has {found} latent channels, the denoiser {wanted}",
                                                       found=vae.get("latent_channels", 4), wanted=denoiser.get("in_channels", 4)))


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
    entries = _tables(weight_files(model.text_encoder))
    rows = [e.shape[0] for n, e in entries.items() if re.search(r"(^|\.)(embed_tokens|embed_in|wte|shared)\.weight$", n) and e.shape]
    if rows and len(tokens) > rows[0]:
        raise WrongTokenizer(path=model.tokenizer, why=Phrase(
            "it has {tokens} tokens, the encoder knows {rows}", tokens=len(tokens), rows=rows[0]))


def verify(model: ModelFolder) -> dict[str, Any]:
    """Read every file of a model from end to end; nothing remembered counts. The first problem is also the ``error``."""
    rows: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    broken: set[Path] = set()
    checks, skipped = ["header", "size", "finite", "sha256"], ["text-encoder-shapes", "vae-shapes"]
    listed: dict[Path, tuple[str, bool]] = {}
    for part in _WEIGHTS:
        folder: Path = getattr(model, part)
        used = weight_files(folder)
        for file in sorted({*used, *folder.glob("*.safetensors"), folder / "config.json"}):
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
        tell_progress(done, total)

    for file, (part, needed) in listed.items():
        row: dict[str, Any] = {"part": part, "path": str(file), "bytes": file.stat().st_size, "used": needed, "problem": None}
        rows.append(row)
        try:
            if file.suffix == ".safetensors":
                try:
                    check_finite(file)  # reads the header and the size first
                except (MemoryError, OverflowError, struct.error) as e:
                    raise BrokenWeights(path=file, why=Phrase("its table cannot be read")) from e
                finally:
                    step(row["bytes"])
            elif file.suffix == ".json" and part != "tokenizer":
                read_config(file)
        except CommonArtError as e:
            row["problem"] = e.to_wire()
            problems.append(row["problem"])
            broken.add(file.parent)
        row["sha256"] = sha256_file(file, step)

    def also(name: str, folders: set[Path], check: Callable[[], None]) -> None:
        if folders & broken:  # it was told what is wrong there
            if name not in skipped:
                skipped.append(name)
            return
        if name not in checks:
            checks.append(name)
        try:
            check()
        except CommonArtError as e:
            problems.append(e.to_wire())

    for folder in dict.fromkeys([model.denoiser, model.text_encoder, model.vae]):
        for index in sorted(folder.glob("*.safetensors.index*.json")):
            also("index", {folder}, lambda index=index: _check_index(index))  # type: ignore[misc]
    also("denoiser-shapes", {model.denoiser}, lambda: _check_denoiser(model))
    also("channels", {model.denoiser, model.text_encoder, model.vae}, lambda: _check_channels(model))
    also("tokenizer", {model.tokenizer, model.text_encoder}, lambda: _check_tokenizer(model))
    out: dict[str, Any] = {"name": model.name, "root": str(model.root), "files": rows, "checks": checks, "skipped": skipped,
                           "problems": problems}
    return out | ({"error": problems[0]} if problems else {})


# convert ----------------------------------------------------------------------------------------------------------


def _pickles(folder: Path) -> list[Path]:
    return [p for pattern in converting.PATTERNS for p in folder.glob(pattern)
            if p.is_file() and not converting._NOT_WEIGHTS.match(p.name)]


def convert(folder: Path, out: Path | None) -> dict[str, Any]:
    """Pickled weights of a folder, of every part of a pipeline folder, or of one file, to safetensors."""
    places = [folder]
    if (folder / "model_index.json").is_file():
        parts = [p for p in sorted(folder.iterdir()) if p.is_dir() and _pickles(p)]
        places = ([folder] if _pickles(folder) else []) + parts or [folder]
    sizes = [sum(p.stat().st_size for p in set(_pickles(place))) for place in places]
    written: list[Path] = []
    for n, place in enumerate(places):
        target = out if out is None or place == folder else out / place.name

        def tell(done: int, own: int, before: int = sum(sizes[:n])) -> None:
            tell_progress(before + done, max(sum(sizes), own))

        written += converting.convert(place, target, progress=tell)
    return {"folder": str(folder), "folders": [str(p) for p in places], "written": [str(p) for p in written]}


# get --------------------------------------------------------------------------------------------------------------


def _get(args: Any) -> dict[str, Any]:
    """The one command that goes online, in this process alone; libraries read these variables when they are imported."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if args.proxy:
        os.environ["HTTPS_PROXY"] = os.environ["HTTP_PROXY"] = args.proxy
    from engine.checkpoint.get import get

    return get(args.repo, revision=args.revision, endpoint=args.endpoint, dry_run=args.dry_run, allow_pickles=args.allow_pickles,
               expect=args.expect, progress=tell_progress)


# ------------------------------------------------------------------------------------------------------------------


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = Parser(prog="python -m engine.checkpoint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    commands.add_parser("list")
    about: dict[str, Callable[[ModelFolder], dict[str, Any]]] = {"info": info, "verify": verify, "resolve": resolve}
    for name in about:
        command = commands.add_parser(name)
        command.add_argument("model", metavar="MODEL")
        command.add_argument("--text-encoder", metavar="FOLDER")
        command.add_argument("--vae", metavar="FOLDER")
    command = commands.add_parser("convert")
    command.add_argument("folder", metavar="FOLDER", type=Path)
    command.add_argument("--out", metavar="FOLDER", type=Path)
    command = commands.add_parser("get")
    command.add_argument("repo", metavar="REPO")
    command.add_argument("--revision", default="main")
    command.add_argument("--endpoint", metavar="URL")
    command.add_argument("--proxy", metavar="URL")
    command.add_argument("--expect", metavar="COMMIT")
    command.add_argument("--allow-pickles", action="store_true")
    command.add_argument("--dry-run", action="store_true")
    args = parser.parse_args(argv)
    if args.command == "get":
        return _get(args)
    if args.command == "list":
        return list_models()
    if args.command == "convert":
        return convert(args.folder.expanduser(), args.out.expanduser() if args.out else None)
    return about[args.command](open_model(args.model, args.text_encoder, args.vae))


if __name__ == "__main__":
    sys.exit(run_program(work))
