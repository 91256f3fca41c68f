"""LoRA files as data: found by name, read whatever trainer wrote them, and fitted to a model.

LoRA, LoHa, LoKr and DoRA are read (``engine.checkpoint.adapter``); how they are computed stands in
``engine.models.lora``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.checkpoint.adapter.foreign import name_base, name_kind, name_text_encoder
from engine.checkpoint.adapter.groups import gather
from engine.checkpoint.adapter.keys import LayerNames
from engine.checkpoint.adapter.layers import Layer, fit
from engine.checkpoint.adapter.settings import Settings, beside, in_header, read_config
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora_header import KEYS, metadata, told_by
from engine.checkpoint.lora_library import locate_lora, name_of
from engine.checkpoint.pixart_layers import layers_of
from engine.checkpoint.weights import read_header, read_scalar, remembered_hash
from engine.contract.errors import (
    BrokenWeights,
    LoraForOther,
    ModelError,
    Phrase,
    UnsupportedAdapter,
    system_words,
)


@dataclass(frozen=True)
class LoraFile:
    """One adapter to be used at ``scale``. ``layers`` by the denoiser's module names; ``strange`` if taught on another
    base.

    ``settings`` are PEFT's, where the file or the ``adapter_config.json`` beside it has them; ``config_sha256`` is that
    file's hash.
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


def _settings(path: Path, words: dict[str, str]) -> tuple[Settings | None, str]:
    """The adapter's settings: those of its own header, else those of the ``adapter_config.json`` that belongs to it."""
    own = in_header(path, words)
    if own is not None:
        return own, ""
    config = beside(path)
    return read_config(config) if config is not None else (None, "")


def open_lora(name: str, scale: float, folder: ModelFolder, wire: dict[str, Any] | None = None) -> LoraFile:
    """An adapter made ready for the model in ``folder``: every number read once, every shape checked.

    ``wire`` is ``LoraFile.to_wire()`` of the machine that sent the file; the name and the settings are then those,
    whatever lies beside it.

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
        problem = _unknown(path, unknown, bool(groups), modules)
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
        name=wire["name"] if wire is not None else name_of(path),
        path=path,
        sha256=sha256,
        scale=scale,
        layers=layers,
        told=told,
        strange=base is not None and base != folder.hashes()["denoiser"],
        settings=settings,
        config_sha256=config,
    )


def _unknown(path: Path, names: list[str], others: bool, modules: Mapping[str, tuple[int, ...]]) -> ModelError:
    """The error for tensors of no known kind. ``others``: the file has an adapter's tensors besides."""
    if (
        not others
        and any(name.endswith((".weight", ".bias")) for name in names)
        and not any("lora" in n for n in names)
    ):
        return UnsupportedAdapter(path=path, why=Phrase("it holds the weights of a model or of a part of one"))
    for name in names:
        if others and name.endswith((".weight", ".bias")) and LayerNames(modules).find(name.rpartition(".")[0]):
            return UnsupportedAdapter(
                path=path,
                why=Phrase(
                    "it replaces {name} as a whole too (PEFT's modules_to_save or bias), which is not done here",
                    name=name[:200],
                ),
            )
    return LoraForOther(
        path=path, why=Phrase("its tensor {name} is of a kind this program does not know", name=names[0][:200])
    )
