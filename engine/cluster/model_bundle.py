"""A model as it is transferred: its files by hash, found on the other machine or received there file by file."""

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

CHUNK_BYTES = 16 << 20  # bytes of a file in one call
RESERVED_DISK = 200 << 20  # bytes of a node's disk that are left free
SMALL_SUFFIXES = (".json", ".txt", ".model")  # what a part needs beside its weights
_PARTS = ("denoiser", "text_encoder", "tokenizer", "vae", "scheduler")
_EMPTY = b"\x08\0\0\0\0\0\0\0{}      "  # a safetensors file without a tensor


@dataclass(frozen=True)
class ReceivedFolder(ModelFolder):
    """A model whose files were checked when they arrived.

    Its hashes are those of the sender, also where the text encoder was not sent.
    """

    sent_hashes: tuple[tuple[str, str], ...] = ()
    complete: bool = True  # whether the text encoder is here too

    def hashes(self) -> dict[str, str]:
        return dict(self.sent_hashes)


def _weights(folder: ModelFolder, part: str) -> list[Path]:
    return graph_files(getattr(folder, part)) if folder.layout == "onnx" else weight_files(getattr(folder, part))


def _config_hash(folder: ModelFolder) -> str:
    """One hash of all settings, besides the weights, that determine the pixels."""
    configs = [
        folder.denoiser_config,
        folder.vae_config,
        folder.scheduler_config,
        folder.max_tokens,
        folder.pixart_text,
    ]
    return hashlib.sha256(json.dumps(configs, sort_keys=True).encode()).hexdigest()


class ModelBundle:
    """A model with its LoRAs on the driver's side: its files and their hashes (computed once, then remembered).

    Raises:
        whatever ``open_model`` and ``open_lora`` raise.
    """

    def __init__(self, request: ImageRequest) -> None:
        self.folder = folder = open_model(request.model, request.text_encoder, request.vae)
        self.hashes = folder.hashes()
        self.encoder_bytes = sum(f.stat().st_size for f in _weights(folder, "text_encoder"))
        loras = [open_lora(name, scale, folder) for name, scale in request.loras]
        self.loras_for_others = [one.name for one in loras if one.strange]
        self.files: dict[str, Path] = {}  # key -> path here; a key is a path below the model's folder there
        self._entries: list[dict[str, Any]] = []
        folders = {"root": ""} | {
            part: self._relative_path(part) for part in _PARTS if getattr(folder, part) is not None
        }
        for part, name in folders.items():
            part_folder: Path = getattr(folder, part)
            wanted = set(_weights(folder, part)) if part in ("denoiser", "text_encoder", "vae") else set()
            wanted |= {
                f
                for f in part_folder.iterdir()
                if f.is_file() and f.suffix in SMALL_SUFFIXES and not f.name.startswith(".")
            }
            for file in sorted(wanted):
                self._add(
                    "/".join(p for p in (name, file.name) if p),
                    file,
                    part == "text_encoder" and file.suffix not in SMALL_SUFFIXES,
                )
        self.manifest: dict[str, Any] = {
            "model": request.model,
            "text_encoder": request.text_encoder,
            "vae": request.vae,
            "hashes": self.hashes,
            "settings": _config_hash(folder),
            "dtype": request.dtype,
            "merged": request.lora_merged,
            "name": folder.name,
            "layout": folder.layout,
            "max_tokens": folder.max_tokens,
            "pixart_text": folder.pixart_text,
            "folders": folders,
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

    def _relative_path(self, part: str) -> str:
        folder: Path = getattr(self.folder, part)
        if folder == self.folder.root:
            return ""
        return folder.relative_to(self.folder.root).as_posix() if folder.is_relative_to(self.folder.root) else part

    def _add(self, key: str, file: Path, encoder: bool) -> None:
        if key in self.files:
            return
        self.files[key] = file
        sha = remembered_hash(file) if file.suffix == ".safetensors" else sha256_file(file)
        self._entries.append({"key": key, "size": file.stat().st_size, "sha256": sha, "encoder": encoder})


def _cache_folder(manifest: dict[str, Any]) -> Path:
    digest = hashlib.sha256(
        json.dumps([manifest["hashes"], manifest["settings"], manifest["layout"]], sort_keys=True).encode()
    ).hexdigest()
    return home() / "cache" / "cluster" / "models" / digest[:32]


def _safe_path(base: Path, key: str) -> Path:
    """The file of a key; keys come from another machine. Raises BrokenWeights."""
    path = base / key
    if not path.resolve().is_relative_to(base.resolve()) or Path(key).is_absolute() or "\\" in key or ":" in key:
        raise BrokenWeights(path=key, why=Phrase("its name leads out of its folder"))
    return path


def _lora_file(one: dict[str, Any]) -> Path:
    base = home() / "cache" / "cluster" / "loras" / one["sha256"][:32]
    return _safe_path(base, f"{one['name'].rpartition('/')[2]}.safetensors")


def find_model(manifest: dict[str, Any], without_encoder: bool) -> tuple[ModelFolder | None, bool, list[str]]:
    """The model on this machine: (folder, whether a different one is installed under its name, keys of missing files).

    With ``without_encoder`` the text encoder's weights may be missing. An installed model of the same name or path is
    used if its hashes are the same.
    """
    different = False
    missing = [f"lora/{one['sha256']}" for one in manifest["loras"] if find_lora(one) is None]
    try:
        folder = open_model(manifest["model"], manifest["text_encoder"], manifest["vae"])
        if folder.hashes() == manifest["hashes"] and _config_hash(folder) == manifest["settings"]:
            return replace(folder, name=manifest["name"]), False, missing
        different = True
    except (CommonArtError, OSError):
        pass  # none here, or one that is not complete
    base = _cache_folder(manifest)
    needed = [e for e in manifest["files"] if not (without_encoder and e["encoder"])]
    for e in needed:
        path = _safe_path(base, e["key"])
        if not path.is_file() or path.stat().st_size != e["size"]:
            missing.append(e["key"])
    if missing:
        return None, different, missing
    folders = {part: _safe_path(base, name) if name else base for part, name in manifest["folders"].items()}
    encoder = [_safe_path(base, e["key"]) for e in manifest["files"] if e["encoder"]]
    complete = all(p.is_file() and p.stat().st_size != len(_EMPTY) for p in encoder)
    placeholder = folders["text_encoder"] / "model.safetensors"
    if not complete:
        placeholder.write_bytes(_EMPTY)
    elif placeholder not in encoder:
        placeholder.unlink(missing_ok=True)  # it would be read as the weights
    return (
        ReceivedFolder(
            name=manifest["name"],
            layout=manifest["layout"],
            max_tokens=manifest["max_tokens"],
            pixart_text=manifest["pixart_text"],
            scheduler=folders.pop("scheduler", None),
            sent_hashes=tuple(sorted(manifest["hashes"].items())),
            complete=complete,
            **folders,
        ),
        different,
        [],
    )


def find_lora(one: dict[str, Any]) -> Path | None:
    """The LoRA's file on this machine, if there is one with the same bytes."""
    for path in (Path(one["file"]), _lora_file(one)):
        try:
            if path.is_file() and path.stat().st_size == one["size"] and remembered_hash(path) == one["sha256"]:
                return path
        except (CommonArtError, OSError):
            continue
    return None


def receive_chunk(manifest: dict[str, Any], key: str, offset: int, last: bool, chunk: bytes, node: str) -> None:
    """Append a chunk to a file. The file gets its name when the last chunk has arrived and the hash is right.

    Raises:
        NodeDiskFull, BrokenWeights
    """
    lora = next((one for one in manifest["loras"] if f"lora/{one['sha256']}" == key), None)
    entry = lora or next(e for e in manifest["files"] if e["key"] == key)
    path = _lora_file(lora) if lora else _safe_path(_cache_folder(manifest), key)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if offset == 0 and shutil.disk_usage(path.parent).free < entry["size"] + RESERVED_DISK:
            raise NodeDiskFull(node=node, need=entry["size"] >> 20)
        with temporary.open("wb" if offset == 0 else "ab") as f:
            f.write(chunk)
            if last:
                f.flush()
                os.fsync(f.fileno())
        if last:
            if sha256_file(temporary) != entry["sha256"]:
                raise BrokenWeights(path=key, why=Phrase("it did not arrive as it was sent"))
            rename(temporary, path, overwrite=True)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        raise (
            NodeDiskFull(node=node, need=entry["size"] >> 20)
            if e.errno == 28
            else BrokenWeights(path=key, why=system_words(e))
        ) from e
    except CommonArtError:
        temporary.unlink(missing_ok=True)
        raise
