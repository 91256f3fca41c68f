"""LoRA files as data: found by name, their tensors paired by the layer they change, checked against a model's config.

Read are the key styles of diffusers and PEFT (``transformer.transformer_blocks.0.attn1.to_q.lora_A.weight``) and of kohya's
and OneTrainer's files (``lora_transformer_transformer_blocks_0_attn1_to_q.lora_down.weight`` with ``.alpha``).
"""

from __future__ import annotations

import difflib
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import TensorEntry, read_header, remembered_hash
from engine.contract.errors import BrokenWeights, LoraForOther, Phrase, UnknownLora, system_words
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
_STYLES = (("lora_A", "lora_B"), ("lora_down", "lora_up"))
_STEM = re.compile(r"^(?:base_model\.model\.)?(?:transformer\.|lora_transformer_|lora_unet_)?")


@dataclass(frozen=True)
class Pair:
    """The tensors that change one layer: names in the file, rank, and alpha (a tensor's name, a number, or none: the rank)."""

    down: str
    up: str
    rank: int
    alpha: str | float | None = None


@dataclass(frozen=True)
class LoraFile:
    """One LoRA to be used at ``scale``. ``pairs`` by the denoiser's module names; ``strange`` if taught on another base."""

    name: str
    path: Path
    sha256: str
    scale: float
    pairs: dict[str, Pair]
    told: dict[str, Any] = field(default_factory=dict)  # what its header says of its making, without the prefix
    strange: bool = False

    def record(self) -> dict[str, Any]:
        """What a picture's recipe keeps of it."""
        return {"name": self.name, "sha256": self.sha256, "scale": self.scale} | {
            k: self.told[k] for k in KEYS if k in self.told
        }


def lora_folder() -> Path:
    """Where LoRAs lie that are known by name."""
    return home() / "loras"


def locate_lora(name: str) -> Path:
    """The file, given as a path or as a name known in the LoRA folder.

    Raises:
        UnknownLora
    """
    path = Path(name).expanduser()
    try:
        if path.is_file():
            return path.absolute()
    except (OSError, ValueError):
        pass  # a name that no disk can hold
    known = {p.stem: p for p in sorted(lora_folder().rglob("*.safetensors"))}
    if name.removesuffix(".safetensors") in known:
        return known[name.removesuffix(".safetensors")]
    near = difflib.get_close_matches(name, list(known), 3, 0.5) or sorted(known)[:8]
    raise UnknownLora(name=name, folder=lora_folder(), known=", ".join(near) or "–")


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


def _alphas(path: Path) -> tuple[float | None, dict[str, float]]:
    """diffusers' and PEFT's adapter settings in the header: (alpha of all, alpha by layer)."""
    try:
        settings = json.loads(metadata(path).get("lora_adapter_metadata", "{}"))
        settings = {k.removeprefix("transformer."): v for k, v in settings.items()}
        one = settings.get("lora_alpha")
        many = {k: float(v) for k, v in (settings.get("alpha_pattern") or {}).items()}
        return (float(one) if one is not None else None), many
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None, {}


def _pairs(path: Path, table: dict[str, TensorEntry], modules: dict[str, tuple[int, ...]]) -> dict[str, Pair]:
    """Tensors by module name. ``modules`` has the weight shape of every layer that may be changed.

    Raises:
        BrokenWeights: half of a pair. LoraForOther: a layer the model has not, or of another shape.
    """
    mangled = {name.replace(".", "_"): name for name in modules}
    everywhere, by_layer = _alphas(path)
    pairs: dict[str, Pair] = {}
    used: set[str] = set()
    for key, entry in table.items():
        for down, up in _STYLES:
            if f".{down}." not in key:
                continue
            stem, _, tail = key.partition(f".{down}.")
            other = f"{stem}.{up}.{tail}"
            if (
                other not in table
                or len(entry.shape) != 2
                or len(table[other].shape) != 2
                or entry.shape[0] != table[other].shape[1]
            ):
                raise BrokenWeights(path=path, why=Phrase("the tensor {name} has no partner that fits it", name=key))
            plain = _STEM.sub("", stem)
            module = plain if plain in modules else mangled.get(plain)
            if module is None:
                raise LoraForOther(
                    path=path, why=Phrase("it changes {layer}, which the model does not have", layer=plain)
                )
            found = (table[other].shape[0], entry.shape[1])
            if found != modules[module]:
                raise LoraForOther(
                    path=path,
                    why=Phrase(
                        "{layer} is {found} there and {wanted} in the model",
                        layer=module,
                        found=list(found),
                        wanted=list(modules[module]),
                    ),
                )
            alpha: str | float | None = (
                f"{stem}.alpha" if f"{stem}.alpha" in table else by_layer.get(module, everywhere)
            )
            pairs[module] = Pair(key, other, entry.shape[0], alpha)
            used |= {key, other, f"{stem}.alpha"}
    left = sorted(table.keys() - used)
    if not pairs:
        raise LoraForOther(path=path, why=Phrase("it holds no LoRA tensors"))
    if left:
        raise LoraForOther(
            path=path, why=Phrase("its tensor {name} is of a kind this program does not know", name=left[0])
        )
    return pairs


def layers_of(config: dict[str, Any], path: Path = Path("config.json")) -> dict[str, tuple[int, ...]]:
    """Weight shapes (out, in) of every linear layer of a PixArt transformer, by diffusers' names.

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
    caption = whole("caption_channels", 4096)
    patch = whole("patch_size", 2) ** 2 * whole("out_channels", 8)
    found: dict[str, tuple[int, ...]] = {
        "adaln_single.emb.timestep_embedder.linear_1": (width, 256),
        "adaln_single.emb.timestep_embedder.linear_2": (width, width),
        "adaln_single.linear": (6 * width, width),
        "caption_projection.linear_1": (width, caption),
        "caption_projection.linear_2": (width, width),
        "proj_out": (patch, width),
    }
    for n in range(min(whole("num_layers", 28), 1000)):
        block = f"transformer_blocks.{n}"
        for part in ("attn1", "attn2"):
            found |= {f"{block}.{part}.{leaf}": (width, width) for leaf in ("to_q", "to_k", "to_v", "to_out.0")}
        found |= {f"{block}.ff.net.0.proj": (4 * width, width), f"{block}.ff.net.2": (width, 4 * width)}
    return found


def open_lora(name: str, scale: float, folder: ModelFolder) -> LoraFile:
    """A LoRA made ready for the model in ``folder``: every number read once, every shape checked.

    Raises:
        UnknownLora, BrokenWeights, LoraForOther
    """
    path = locate_lora(name)
    pairs = _pairs(path, read_header(path), layers_of(folder.denoiser_config, folder.denoiser / "config.json"))
    told = told_by(path)
    base = told.get("base_model_sha256")
    return LoraFile(
        path.stem,
        path,
        remembered_hash(path),
        scale,
        pairs,
        told,
        strange=base is not None and base != folder.hashes()["denoiser"],
    )


def list_loras() -> Iterator[dict[str, Any]]:
    """Every file of the LoRA folder, as the window and ``models`` show it."""
    for path in sorted(lora_folder().rglob("*.safetensors")):
        try:
            table, told = read_header(path), told_by(path)
        except BrokenWeights as e:
            yield {"name": path.stem, "path": str(path), "problem": e.to_wire()}
            continue
        ranks = {e.shape[0] for k, e in table.items() if (".lora_A." in k or ".lora_down." in k) and e.shape}
        yield {
            "name": path.stem,
            "path": str(path),
            "bytes": path.stat().st_size,
            "rank": max(ranks, default=0),
            "problem": None,
        } | told
