"""The models of this machine: bundled, in the user's folder, and in the Hugging Face cache."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import DENOISERS, ModelFolder, identify
from engine.contract.errors import CommonArtError, UnknownModel
from engine.contract.files import replacing
from engine.contract.paths import home, resources


@dataclass(frozen=True)
class InstalledModel:
    """A folder that looks like a model; parts may be missing."""

    name: str
    path: Path
    source: str  # "bundled", "home" or "hub-cache"


def _looks_like_model(folder: Path) -> bool:
    try:
        if (folder / "model_index.json").is_file():
            return str(read_config(folder / "model_index.json").get("_class_name", "")).startswith("PixArt")
        return (folder / "config.json").is_file() and read_config(folder / "config.json").get(
            "_class_name"
        ) in DENOISERS
    except CommonArtError:
        return False


def hub_cache() -> Path:
    """This machine's Hugging Face cache, by its own environment variables."""
    for name, tail in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(name):
            return Path(os.environ[name]) / tail
    base = Path(os.environ["XDG_CACHE_HOME"]) if os.environ.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    return base / "huggingface" / "hub"


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir())
    except OSError:
        return []


def hub_models() -> Iterator[InstalledModel]:
    """Every repository in the Hugging Face cache, at its main revision or else the last one."""
    for repo in _children(hub_cache()):
        if not repo.name.startswith("models--"):
            continue
        try:
            revision = (repo / "refs" / "main").read_text(encoding="utf-8").strip()
        except OSError:
            revision = ""
        for snapshot in [s for s in _children(repo / "snapshots") if s.name == revision] or _children(
            repo / "snapshots"
        )[-1:]:
            yield InstalledModel(repo.name.removeprefix("models--").replace("--", "/"), snapshot, "hub-cache")


def find_all() -> Iterator[InstalledModel]:
    """Every installed model, bundled ones first."""
    for source, folder in (("bundled", resources() / "models"), ("home", home() / "models")):
        for child in _children(folder):
            if _looks_like_model(child):
                yield InstalledModel(child.name, child, source)
    yield from (model for model in hub_models() if _looks_like_model(model.path))


def _parts_file() -> Path:
    return home() / "models.json"


def remembered_parts(root: Path) -> dict[str, Any]:
    """The part folders that were given earlier for the model in ``root``."""
    try:
        entry = json.loads(_parts_file().read_text(encoding="utf-8")).get(str(root.resolve()), {})
        return entry if isinstance(entry, dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def remember_parts(root: Path, **parts: Path | None) -> None:
    """Store part folders for later; those not given are unchanged."""
    given = {k: str(v.resolve()) for k, v in parts.items() if v is not None}
    if not given:
        return
    try:
        stored = json.loads(_parts_file().read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            stored = {}
    except (OSError, ValueError):
        stored = {}
    if stored.get(str(root.resolve()), {}) == remembered_parts(root) | given:
        return
    stored[str(root.resolve())] = remembered_parts(root) | given
    try:
        _parts_file().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_parts_file(), durable=False) as f:
            f.write(json.dumps(stored, indent=1, ensure_ascii=False).encode("utf-8"))
    except (OSError, CommonArtError):
        pass  # not stored: the user gives it again


def locate(model: str, *, part: bool = False) -> tuple[Path, str]:
    """(folder, name) for a folder or an installed model's name; a part may be any repository of the Hugging Face cache.

    Raises:
        UnknownModel: neither; the nearest names are listed.
    """
    path = Path(model)
    try:
        path = path.expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):  # a name that no disk can store, or a missing home folder
        exists = False
    plain = path.name == model and not model.startswith(".")
    if plain and not part:  # a folder of the same name in the current one does not hide an installed model
        for installed in find_all():
            if model == installed.name:
                return installed.path, installed.name
    if exists or path.is_absolute() or model.startswith("."):
        return path, path.resolve().name
    candidates = list(hub_models() if part else find_all())
    for candidate in candidates:
        if model in (candidate.name, candidate.name.rsplit("/", 1)[-1]):
            return candidate.path, candidate.name
    names = [c.name for c in candidates]
    near = difflib.get_close_matches(model, names, 3, 0.5) or names
    raise UnknownModel(name=model, known=", ".join(near) or "–")


def open_model(model: str, text_encoder: str | None = None, vae: str | None = None) -> ModelFolder:
    """Find a model and all its parts; given parts are stored and used again next time.

    Raises:
        UnknownModel, and whatever ``identify`` raises.
    """
    root, name = locate(model)
    before = remembered_parts(root)

    def part(given: str | None, key: str) -> Path | None:
        if given:
            return locate(given, part=True)[0]
        return Path(before[key]) if key in before and Path(before[key]).is_dir() else None

    encoder, decoder = part(text_encoder, "text_encoder"), part(vae, "vae")
    folder = identify(root, text_encoder=encoder, vae=decoder, name=name)
    if text_encoder or vae:
        remember_parts(root, text_encoder=encoder, vae=decoder)
    return folder
