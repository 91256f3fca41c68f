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
    """Where this machine's Hugging Face cache lies, by its own environment variables."""
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


def cached() -> Iterator[InstalledModel]:
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
    """Every model folder known without being told, bundled first."""
    for source, folder in (("bundled", resources() / "models"), ("home", home() / "models")):
        for child in _children(folder):
            if _looks_like_model(child):
                yield InstalledModel(child.name, child, source)
    yield from (found for found in cached() if _looks_like_model(found.path))


def _memory() -> Path:
    return home() / "models.json"


def remembered_parts(root: Path) -> dict[str, Any]:
    """The part folders once given for the model in ``root``."""
    try:
        entry = json.loads(_memory().read_text(encoding="utf-8")).get(str(root.resolve()), {})
        return entry if isinstance(entry, dict) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def remember_parts(root: Path, **parts: Path | None) -> None:
    """Keep part folders for later; those not given stay as they were."""
    given = {k: str(v.resolve()) for k, v in parts.items() if v is not None}
    if not given:
        return
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
        assert isinstance(known, dict)
    except (OSError, ValueError, AssertionError):
        known = {}
    if known.get(str(root.resolve()), {}) == remembered_parts(root) | given:
        return
    known[str(root.resolve())] = remembered_parts(root) | given
    try:
        _memory().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_memory(), durable=False) as f:
            f.write(json.dumps(known, indent=1, ensure_ascii=False).encode("utf-8"))
    except (OSError, CommonArtError):
        pass  # not remembered: the user gives it again


def locate(model: str, *, part: bool = False) -> tuple[Path, str]:
    """(folder, name) for a folder or a known name; a part may be any repository of the Hugging Face cache.

    Raises:
        UnknownModel: neither; the nearest known names are told.
    """
    path = Path(model)
    try:
        path = path.expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError):  # a name that no disk can hold, or nobody's home
        there = False
    plain = path.name == model and not model.startswith(".")
    if plain and not part:  # a folder here of the same name does not hide a known model
        for found in find_all():
            if model == found.name:
                return found.path, found.name
    if there or path.is_absolute() or model.startswith("."):
        return path, path.resolve().name
    known = list(cached() if part else find_all())
    for found in known:
        if model in (found.name, found.name.rsplit("/", 1)[-1]):
            return found.path, found.name
    names = [f.name for f in known]
    near = difflib.get_close_matches(model, names, 3, 0.5) or names
    raise UnknownModel(name=model, known=", ".join(near) or "–")


def open_model(model: str, text_encoder: str | None = None, vae: str | None = None) -> ModelFolder:
    """Find a model and all its parts; parts given now are remembered, those given before are recalled.

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
