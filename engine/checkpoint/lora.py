"""LoRA files as data: found by name, read whatever trainer wrote them, and fitted to a model.

LoRA, LoHa, LoKr and DoRA are read (``engine.checkpoint.adapter``); how they are computed stands in ``engine.models.lora``.
"""

from __future__ import annotations

import difflib
import json
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoint.adapter.foreign import name_base, name_kind, name_text_encoder
from engine.checkpoint.adapter.layers import Layer, fit, gather
from engine.checkpoint.adapter.settings import PEFT_FILE, Settings, beside, in_header, read_config
from engine.checkpoint.file_kinds import PICKLES, wrong_kind
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import read_header, read_scalar, remembered_hash
from engine.contract.errors import (
    AmbiguousLora,
    BrokenWeights,
    CommonArtError,
    LoraForOther,
    ModelError,
    Phrase,
    UnknownLora,
    UnsupportedAdapter,
    system_words,
)
from engine.system.paths import home

#: what our trainer writes into a LoRA's header; see trainer/learn/artifacts/lineage.py
KEYS = (
    "base_model",
    "base_model_sha256",
    "dataset_sha256",
    "gate_report_sha256",
    "config_sha256",
    "licences",
    "trigger",
    "licence",
)
PREFIX = "commonart."
#: names that every adapter of PEFT or diffusers has; the folder's name tells them apart
_GENERIC = (PEFT_FILE.removesuffix(".safetensors"), "pytorch_lora_weights")


@dataclass(frozen=True)
class LoraFile:
    """One adapter to be used at ``scale``. ``layers`` by the denoiser's module names; ``strange`` if taught on another base.

    ``settings`` are PEFT's, where the file or the ``adapter_config.json`` beside it has them; ``config_sha256`` is that file's hash.
    """

    name: str
    path: Path
    sha256: str
    scale: float
    layers: dict[str, Layer]
    told: dict[str, Any] = field(default_factory=dict)  # what its header says of its making, without the prefix
    strange: bool = False
    settings: Settings | None = None
    config_sha256: str = ""

    def record(self) -> dict[str, Any]:
        """What an image's recipe keeps of it."""
        return (
            {"name": self.name, "sha256": self.sha256, "scale": self.scale}
            | ({"adapter_config_sha256": self.config_sha256} if self.config_sha256 else {})
            | {k: self.told[k] for k in KEYS if k in self.told}
        )

    def to_wire(self) -> dict[str, Any]:
        """What another machine needs beside the file: how it was understood here. JSON-ready; see ``open_lora``."""
        return {
            "name": self.name,
            "settings": asdict(self.settings) if self.settings else None,
            "config": self.config_sha256,
        }


# names ------------------------------------------------------------------------------------------------------------


def lora_folder() -> Path:
    """Where LoRAs lie that are known by name."""
    return home() / "loras"


def _known() -> dict[str, list[Path]]:
    """The LoRA folder's files by plain name and by path below it without suffix, both in Unicode's composed form (NFC)."""
    folder, found = lora_folder(), dict[str, list[Path]]()
    for path in sorted(folder.rglob("*.safetensors")):
        below = path.relative_to(folder).with_suffix("")
        names = {below.name, below.as_posix()}
        if path.stem in _GENERIC and len(below.parts) > 1:
            names = {below.as_posix(), below.parent.as_posix(), below.parent.name}
        for name in sorted(names):
            found.setdefault(unicodedata.normalize("NFC", name), []).append(path)
    return found


def _names(known: dict[str, list[Path]]) -> dict[Path, str]:
    """The shortest name of each file that no other file has."""
    found: dict[Path, str] = {}
    for name in sorted(known, key=lambda n: (n.count("/"), len(n))):
        if len(known[name]) == 1:
            found.setdefault(known[name][0], name)
    return found


def locate_lora(name: str) -> Path:
    """The file, given as a path, as the folder of one (PEFT's and diffusers' way to save), or as a name known in the LoRA folder.

    Raises:
        UnknownLora, AmbiguousLora, NotSafetensors
    """
    path = Path(name).expanduser()
    given = _given(path) if path.is_absolute() else None
    if given is not None:
        return given
    known = _known()
    plain = unicodedata.normalize("NFC", name).replace("\\", "/").removesuffix(".safetensors").rstrip("/")
    files = known.get(plain, [])
    if len(files) == 1:
        return files[0]
    names = _names(known)
    if files:
        raise AmbiguousLora(name=name, count=len(files), known=", ".join(names.get(f, str(f)) for f in files))
    given = _given(path)  # known names first: what happens to lie in the folder at hand hides none of them
    if given is not None:
        return given
    near = difflib.get_close_matches(plain, list(known), 3, 0.5) or sorted(names.values())[:8]
    raise UnknownLora(name=name, folder=lora_folder(), known=", ".join(near) or "–")


def _given(path: Path) -> Path | None:
    """The adapter at a path; None if none is there. Raises as ``_inside``."""
    try:
        if path.is_file():
            return path.absolute()
        return _inside(path.absolute()) if path.is_dir() else None
    except (OSError, ValueError):
        return None  # a name that no disk can hold


def _inside(folder: Path) -> Path | None:
    """The adapter that a folder holds; None if it holds none.

    Raises:
        AmbiguousLora, NotSafetensors: it holds several, or only pickles.
    """
    for stem in _GENERIC:
        if (folder / f"{stem}.safetensors").is_file():
            return folder / f"{stem}.safetensors"
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if files:
        raise AmbiguousLora(name=folder.name, count=len(files), known=", ".join(str(f) for f in files[:8]))
    for stem in _GENERIC:
        for suffix in PICKLES:
            if (folder / f"{stem}{suffix}").is_file():
                raise wrong_kind(folder / f"{stem}{suffix}")
    return None


def _name_of(path: Path) -> str:
    """What recipes call a file: the name under which it is known, else that of the file or of its folder."""
    if path.is_relative_to(lora_folder()):
        known = _names(_known()).get(path)
        if known is not None:
            return known
    return path.parent.name if path.stem in _GENERIC and path.parent.name else path.stem


# headers ----------------------------------------------------------------------------------------------------------


def metadata(path: Path) -> dict[str, str]:
    """The header's own words: texts by name. Raises BrokenWeights."""
    try:
        with path.open("rb") as f:
            length = struct.unpack("<Q", f.read(8))[0]
            found = json.loads(f.read(min(length, 100_000_000))).get("__metadata__") or {}
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, struct.error, AttributeError, RecursionError) as e:
        raise BrokenWeights(path=path, why=Phrase("its table cannot be read")) from e
    return {str(k): v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def told_by(path: Path) -> dict[str, Any]:
    """What our trainer wrote about the LoRA's making; counts per licence as a dictionary."""
    told: dict[str, Any] = {k.removeprefix(PREFIX): v for k, v in metadata(path).items() if k.startswith(PREFIX)}
    try:
        if "licences" in told:
            told["licences"] = dict(json.loads(told["licences"]))
    except (ValueError, TypeError, RecursionError):
        del told["licences"]
    return told


def _settings(path: Path, words: dict[str, str]) -> tuple[Settings | None, str]:
    """The adapter's settings: those of its own header, else those of the ``adapter_config.json`` that belongs to it."""
    own = in_header(path, words)
    if own is not None:
        return own, ""
    config = beside(path)
    return read_config(config) if config is not None else (None, "")


# layers -----------------------------------------------------------------------------------------------------------


def layers_of(config: dict[str, Any], path: Path = Path("config.json")) -> dict[str, tuple[int, ...]]:
    """Weight shapes of every layer of a PixArt transformer that an adapter may change, by diffusers' names.

    ``[out, in]`` of linear layers, ``[out, in, height, width]`` of the patch embedding's convolution.

    Raises:
        BrokenWeights: a number of the config (``path``) is none, or beyond any model.
    """

    def whole(name: str, usual: int) -> int:
        number = config.get(name)
        if number is None:
            return usual
        if type(number) is not int or not 1 <= number <= 100_000:
            raise BrokenWeights(path=path, why=Phrase("its part {part} makes no sense", part=name))
        return number

    width = whole("num_attention_heads", 16) * whole("attention_head_dim", 72)
    caption, patch = whole("caption_channels", 4096), whole("patch_size", 2)
    found: dict[str, tuple[int, ...]] = {
        "pos_embed.proj": (width, whole("in_channels", 4), patch, patch),
        "adaln_single.emb.timestep_embedder.linear_1": (width, 256),
        "adaln_single.emb.timestep_embedder.linear_2": (width, width),
        "adaln_single.linear": (6 * width, width),
        "caption_projection.linear_1": (width, caption),
        "caption_projection.linear_2": (width, width),
        "proj_out": (patch**2 * whole("out_channels", 8), width),
    }
    if config.get("use_additional_conditions"):
        for part in ("resolution_embedder", "aspect_ratio_embedder"):
            found[f"adaln_single.emb.{part}.linear_1"] = (width // 3, 256)
            found[f"adaln_single.emb.{part}.linear_2"] = (width // 3, width // 3)
    for n in range(min(whole("num_layers", 28), 1000)):
        block = f"transformer_blocks.{n}"
        for part in ("attn1", "attn2"):
            found |= {f"{block}.{part}.{leaf}": (width, width) for leaf in ("to_q", "to_k", "to_v", "to_out.0")}
        found |= {f"{block}.ff.net.0.proj": (4 * width, width), f"{block}.ff.net.2": (width, 4 * width)}
    return found


def open_lora(name: str, scale: float, folder: ModelFolder, wire: dict[str, Any] | None = None) -> LoraFile:
    """An adapter made ready for the model in ``folder``: every number read once, every shape checked.

    ``wire`` is ``LoraFile.to_wire()`` of the machine that sent the file; the name and the settings are then those, whatever lies beside it.

    Raises:
        UnknownLora, AmbiguousLora, BrokenWeights, LoraForOther, UnsupportedAdapter
    """
    path = locate_lora(name)
    table, words = read_header(path), metadata(path)
    groups, unknown = gather(path, table)
    if wire is not None:
        settings = Settings(**wire["settings"]) if wire["settings"] else None
        config = str(wire["config"])
    elif groups and all("alpha" in group.names for group in groups.values()):
        settings, config = None, ""  # kohya's and LyCORIS' files say all by themselves
    else:
        settings, config = _settings(path, words)
    modules = layers_of(folder.denoiser_config, folder.denoiser / "config.json")
    problem = name_base(path, table, words) or name_kind(path, unknown) or name_text_encoder(path, table)
    if problem is None and unknown:
        problem = _unknown(path, unknown, bool(groups))
    if problem is not None:
        raise problem
    if not groups:
        raise LoraForOther(path=path, why=Phrase("it holds no LoRA tensors"))

    def scalar(tensor: str) -> float | None:
        try:
            return read_scalar(path, table[tensor])
        except OSError as e:
            raise BrokenWeights(path=path, why=system_words(e)) from e

    sha256 = remembered_hash(path)  # reads every number: what is not finite is refused before its factor is computed
    layers = fit(path, table, groups, modules, settings, scalar)
    told = told_by(path)
    base = told.get("base_model_sha256")
    return LoraFile(
        name=wire["name"] if wire is not None else _name_of(path),
        path=path,
        sha256=sha256,
        scale=scale,
        layers=layers,
        told=told,
        strange=base is not None and base != folder.hashes()["denoiser"],
        settings=settings,
        config_sha256=config,
    )


def _unknown(path: Path, names: list[str], others: bool) -> ModelError:
    if (
        not others
        and any(name.endswith((".weight", ".bias")) for name in names)
        and not any("lora" in n for n in names)
    ):
        return UnsupportedAdapter(path=path, why=Phrase("it holds the weights of a model or of a part of one"))
    return LoraForOther(
        path=path, why=Phrase("its tensor {name} is of a kind this program does not know", name=names[0][:200])
    )


def list_loras() -> Iterator[dict[str, Any]]:
    """Every file of the LoRA folder, as the window and ``models`` show it; ``name`` finds the one file and no other."""
    names = _names(_known())
    for path in sorted(lora_folder().rglob("*.safetensors")):
        name = names.get(path, path.stem)
        try:
            groups, _ = gather(path, read_header(path))
            told = told_by(path)
        except CommonArtError as e:
            yield {"name": name, "path": str(path), "problem": e.to_wire()}
            continue
        kinds = sorted({kind for group in groups.values() for kind in group.kinds})
        yield {
            "name": name,
            "path": str(path),
            "bytes": path.stat().st_size,
            "kind": kinds[0] if len(kinds) == 1 else "",
            "rank": _largest_rank(path, groups),
            "problem": None,
        } | told


def _largest_rank(path: Path, groups: dict[str, Any]) -> int:
    table = read_header(path)
    shapes = [
        table[group.names[factor]].shape
        for group in groups.values()
        for factor in ("down", "w1_b", "w2_b")
        if factor in group.names
    ]
    return max((shape[0] for shape in shapes if shape), default=0)
