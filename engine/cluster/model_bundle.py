"""A model as it travels: what belongs to it, by hash; found on the other machine, or received there file by file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.checkpoint.onnxfile import graph_files
from engine.checkpoint.weights import remembered_hash, sha256_file, weight_files
from engine.contract.errors import BrokenWeights, CommonArtError, NodeDiskFull, Phrase, system_words
from engine.contract.files import PART, rename
from engine.contract.paths import home
from engine.contract.request import ImageRequest

PIECE = 16 << 20  # bytes that travel at a time
SPARE = 200 << 20  # bytes of a node's disk that are left free
SMALL = (".json", ".txt", ".model")  # what a part needs beside its weights
_PARTS = ("denoiser", "text_encoder", "tokenizer", "vae", "scheduler")
_EMPTY = b"\x08\0\0\0\0\0\0\0{}      "  # a safetensors file without a tensor


@dataclass(frozen=True)
class ReceivedFolder(ModelFolder):
    """A model whose files were checked when they came: its hashes are those it was sent with, also where the text encoder stayed behind."""

    sent: tuple[tuple[str, str], ...] = ()
    whole: bool = True  # the text encoder is here too

    def hashes(self) -> dict[str, str]:
        return dict(self.sent)


def _weights(folder: ModelFolder, part: str) -> list[Path]:
    return graph_files(getattr(folder, part)) if folder.layout == "onnx" else weight_files(getattr(folder, part))


def _settings(folder: ModelFolder) -> str:
    """What decides the pixels beside the weights, as one hash."""
    configs = [
        folder.denoiser_config,
        folder.vae_config,
        folder.scheduler_config,
        folder.max_tokens,
        folder.pixart_text,
    ]
    return hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()


class ModelBundle:
    """What the driver knows of a model with its LoRAs. Reads and hashes every file the first time.

    Raises:
        whatever ``open_model`` and ``open_lora`` raise.
    """

    def __init__(self, request: ImageRequest) -> None:
        self.folder = folder = open_model(request.model, request.text_encoder, request.vae)
        self.hashes = folder.hashes()
        self.encoder_bytes = sum(f.stat().st_size for f in _weights(folder, "text_encoder"))
        loras = [open_lora(name, scale, folder) for name, scale in request.loras]
        self.strange = [one.name for one in loras if one.strange]
        self.files: dict[str, Path] = {}  # key -> where it lies here; a key is a path below the model's folder there
        self._entries: list[dict[str, Any]] = []
        places = {"root": ""} | {part: self._place(part) for part in _PARTS if getattr(folder, part) is not None}
        for part, place in places.items():
            there: Path = getattr(folder, part)
            wanted = set(_weights(folder, part)) if part in ("denoiser", "text_encoder", "vae") else set()
            wanted |= {f for f in there.iterdir() if f.is_file() and f.suffix in SMALL and not f.name.startswith(".")}
            for file in sorted(wanted):
                self._add(
                    "/".join(p for p in (place, file.name) if p),
                    file,
                    part == "text_encoder" and file.suffix not in SMALL,
                )
        self.order: dict[str, Any] = {
            "model": request.model,
            "text_encoder": request.text_encoder,
            "vae": request.vae,
            "hashes": self.hashes,
            "settings": _settings(folder),
            "dtype": request.dtype,
            "merged": request.lora_merged,
            "name": folder.name,
            "layout": folder.layout,
            "max_tokens": folder.max_tokens,
            "pixart_text": folder.pixart_text,
            "places": places,
            "files": self._entries,
            "loras": [
                {
                    "file": str(one.path),
                    "name": one.name,
                    "sha256": one.sha256,
                    "scale": one.scale,
                    "size": one.path.stat().st_size,
                    "wire": one.to_wire(),
                }
                for one in loras
            ],
        }
        for one in loras:
            self.files[f"lora/{one.sha256}"] = one.path

    def _place(self, part: str) -> str:
        there: Path = getattr(self.folder, part)
        if there == self.folder.root:
            return ""
        return there.relative_to(self.folder.root).as_posix() if there.is_relative_to(self.folder.root) else part

    def _add(self, key: str, file: Path, encoder: bool) -> None:
        if key in self.files:
            return
        self.files[key] = file
        sha = remembered_hash(file) if file.suffix == ".safetensors" else sha256_file(file)
        self._entries.append({"key": key, "size": file.stat().st_size, "sha256": sha, "encoder": encoder})


def _base(order: dict[str, Any]) -> Path:
    digest = hashlib.sha256(
        json.dumps([order["hashes"], order["settings"], order["layout"]], sort_keys=True).encode()
    ).hexdigest()
    return home() / "cache" / "cluster" / "models" / digest[:32]


def _below(base: Path, key: str) -> Path:
    """The file of a key; keys come from another machine. Raises BrokenWeights."""
    path = base / key
    if not path.resolve().is_relative_to(base.resolve()) or Path(key).is_absolute() or "\\" in key or ":" in key:
        raise BrokenWeights(path=key, why=Phrase("its name leads out of its folder"))
    return path


def _lora_file(one: dict[str, Any]) -> Path:
    base = home() / "cache" / "cluster" / "loras" / one["sha256"][:32]
    return _below(base, f"{one['name'].rpartition('/')[2]}.safetensors")


def find(order: dict[str, Any], light: bool) -> tuple[ModelFolder | None, bool, list[str]]:
    """The model on this machine: (folder, whether another one lies here under its name, keys that are missing).

    With ``light`` the text encoder's weights may stay away. A model that lies here under the same name or path is used if its hashes are the same.
    """
    other = False
    missing = [f"lora/{one['sha256']}" for one in order["loras"] if lora_of(one) is None]
    try:
        folder = open_model(order["model"], order["text_encoder"], order["vae"])
        if folder.hashes() == order["hashes"] and _settings(folder) == order["settings"]:
            return replace(folder, name=order["name"]), False, missing
        other = True
    except (CommonArtError, OSError):
        pass  # none here, or one that is not whole
    base = _base(order)
    needed = [e for e in order["files"] if not (light and e["encoder"])]
    for e in needed:
        path = _below(base, e["key"])
        if not path.is_file() or path.stat().st_size != e["size"]:
            missing.append(e["key"])
    if missing:
        return None, other, missing
    places = {part: _below(base, place) if place else base for part, place in order["places"].items()}
    encoder = [_below(base, e["key"]) for e in order["files"] if e["encoder"]]
    whole = all(p.is_file() and p.stat().st_size != len(_EMPTY) for p in encoder)
    holder = places["text_encoder"] / "model.safetensors"
    if not whole:
        holder.write_bytes(_EMPTY)
    elif holder not in encoder:
        holder.unlink(missing_ok=True)  # it would be taken for the weights
    return (
        ReceivedFolder(
            name=order["name"],
            layout=order["layout"],
            max_tokens=order["max_tokens"],
            pixart_text=order["pixart_text"],
            scheduler=places.pop("scheduler", None),
            sent=tuple(sorted(order["hashes"].items())),
            whole=whole,
            **places,
        ),
        other,
        [],
    )


def lora_of(one: dict[str, Any]) -> Path | None:
    """The LoRA's file here, if one lies here with the same bytes."""
    for path in (Path(one["file"]), _lora_file(one)):
        try:
            if path.is_file() and path.stat().st_size == one["size"] and remembered_hash(path) == one["sha256"]:
                return path
        except (CommonArtError, OSError):
            continue
    return None


def receive(order: dict[str, Any], key: str, offset: int, last: bool, piece: bytes, node: str) -> None:
    """The next piece of a file. It gets its name when its last piece came and its hash is right.

    Raises:
        NodeDiskFull, BrokenWeights
    """
    lora = next((one for one in order["loras"] if f"lora/{one['sha256']}" == key), None)
    entry = lora or next(e for e in order["files"] if e["key"] == key)
    path = _lora_file(lora) if lora else _below(_base(order), key)
    aside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if offset == 0 and shutil.disk_usage(path.parent).free < entry["size"] + SPARE:
            raise NodeDiskFull(node=node, need=entry["size"] >> 20)
        with aside.open("wb" if offset == 0 else "ab") as f:
            f.write(piece)
            if last:
                f.flush()
                os.fsync(f.fileno())
        if last:
            if sha256_file(aside) != entry["sha256"]:
                raise BrokenWeights(path=key, why=Phrase("it did not arrive as it was sent"))
            rename(aside, path, overwrite=True)
    except OSError as e:
        aside.unlink(missing_ok=True)
        raise (
            NodeDiskFull(node=node, need=entry["size"] >> 20)
            if e.errno == 28
            else BrokenWeights(path=key, why=system_words(e))
        ) from e
    except CommonArtError:
        aside.unlink(missing_ok=True)
        raise
