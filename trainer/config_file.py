"""A ``Config`` from TOML, from a preset under it, and from ``key=value`` on the command line. Standard library only."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from engine.contract.errors import BadConfig, BadFile, Phrase, system_words
from trainer.config import Config

PRESETS = Path(__file__).resolve().parent.parent / "resources" / "presets" / "training"
#: names of our keys in other trainers, where similar spelling does not lead there
_ELSEWHERE = {
    "learning_rate": "optimiser.lr",
    "unet_lr": "optimiser.lr",
    "train_batch_size": "batch.size",
    "batch_size": "batch.size",
    "gradient_accumulation_steps": "batch.accumulation",
    "max_train_steps": "schedule.steps",
    "max_train_epochs": "schedule.epochs",
    "num_train_epochs": "schedule.epochs",
    "lr_scheduler": "schedule.kind",
    "lr_warmup_steps": "schedule.warmup",
    "network_dim": "lora.rank",
    "network_alpha": "lora.alpha",
    "lora_alpha": "lora.alpha",
    "target_modules": "lora.layers",
    "snr_gamma": "loss.min_snr",
    "min_snr_gamma": "loss.min_snr",
    "max_grad_norm": "optimiser.clip",
    "mixed_precision": "device.dtype",
    "gradient_checkpointing": "device.checkpointing",
    "train_data_dir": "dataset",
    "output_dir": "output",
    "output_name": "name",
    "pretrained_model_name_or_path": "base.model",
    "caption_dropout_rate": "data.caption_dropout",
    "validation_prompt": "previews.prompts",
    "save_every_n_steps": "checkpoint.every",
    "checkpointing_steps": "checkpoint.every",
}


def _wrong_type(kind: type, found: str) -> Phrase:
    """Complete sentences: nested parts of a sentence could not be translated."""
    if kind is bool:
        return Phrase("it must be true or false, not {found}", found=found)
    if kind is int:
        return Phrase("it must be a whole number, not {found}", found=found)
    if kind is float:
        return Phrase("it must be a number, not {found}", found=found)
    return Phrase("it must be text in quotes, not {found}", found=found)


def presets() -> list[str]:
    """Names that ``preset = "..."`` takes."""
    return sorted(p.stem for p in PRESETS.glob("*.toml"))


def read_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """The file, over its preset, under ``changes`` such as ``optimiser.lr=1e-4``; folders become absolute.

    Raises:
        BadFile: it cannot be read. BadConfig: an unknown key, a wrong type or a value out of range; the key is named.
    """
    data = _load(path)
    if "preset" in data:
        name = data.pop("preset")
        if name not in presets():
            raise BadConfig(path=path, key="preset", why=_unknown(str(name), presets()))
        data = _merged(_load(PRESETS / f"{name}.toml"), data)
    for change in changes:
        _set(data, change, path)
    return _resolve(_check(_build(Config, data, "", path), path), path.absolute().parent)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not TOML ({reason})", reason=e)) from e


def _merged(under: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    both = {
        k: _merged(under[k], top[k])
        for k in under.keys() & top.keys()
        if isinstance(under[k], dict) and isinstance(top[k], dict)
    }
    return under | top | both


def _set(data: dict[str, Any], change: str, path: Path) -> None:
    key, equals, text = change.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise BadConfig(path="--set", key=change, why=Phrase("write it as section.key=value"))
    try:
        value = tomllib.loads(f"x = {text.strip()}")["x"]
    except ValueError:
        value = text.strip()  # text without its quotes
    section: Any = data
    for name in names[:-1]:
        section = section.setdefault(name, {}) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        raise BadConfig(path=path, key=key, why=Phrase("it is no section"))
    section[names[-1]] = value


def _unknown(name: str, known: Sequence[str]) -> Phrase:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    if near:
        return Phrase("there is no {name}; did you mean {near}?", name=name, near=near[0])
    return Phrase("there is no {name}; known are {known}", name=name, known=", ".join(known))


def _build(cls: Any, data: dict[str, Any], prefix: str, path: Path) -> Any:
    known = {f.name: f for f in dataclasses.fields(cls)}
    kinds = get_type_hints(cls)
    values = {}
    for key, value in data.items():
        full = prefix + key
        if key not in known:
            # the key may be in the wrong section: search all sections for the nearest name
            names = (
                [*known]
                if prefix
                else [
                    *known,
                    *(
                        f"{f.name}.{g.name}"
                        for f in known.values()
                        if dataclasses.is_dataclass(f.default)
                        for g in dataclasses.fields(f.default)
                    ),
                ]
            )
            meant = _ELSEWHERE.get(key, "")
            meant = meant.removeprefix(prefix) if prefix else meant
            exact = meant or next((n for n in names if n.endswith(f".{key}")), None)
            why = (
                Phrase("there is no {name}; did you mean {near}?", name=full, near=exact)
                if exact
                else _unknown(key, names)
            )
            raise BadConfig(path=path, key=full, why=why)
        values[key] = _value(kinds[key], value, known[key].metadata, full, path)
    return cls(**values)


def _value(kind: Any, value: Any, limits: Any, key: str, path: Path) -> Any:
    def wrong(why: Phrase) -> BadConfig:
        return BadConfig(path=path, key=key, why=why)

    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise wrong(Phrase("it must be a section, [{name}], not {found}", name=key, found=repr(value)))
        return _build(kind, value, f"{key}.", path)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        values = [value] if isinstance(value, dict) and dataclasses.is_dataclass(inner) else value
        if not isinstance(values, list):
            raise wrong(Phrase("it must be a list, not {found}", found=repr(value)))
        return tuple(_value(inner, v, {}, f"{key}[{n}]", path) for n, v in enumerate(values))
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise wrong(_wrong_type(kind, repr(value)))
    if "choice" in limits and value not in limits["choice"]:
        raise BadConfig(path=path, key=key, why=_unknown(value, limits["choice"]))
    if "low" in limits and not (
        limits["low"] <= value <= limits["high"] and not (limits["open_low"] and value == limits["low"])
    ):
        raise BadConfig(
            path=path,
            key=key,
            why=Phrase(
                "it is {found} and must lie between {low} and {high}",
                found=value,
                low=limits["low"],
                high=limits["high"],
            ),
        )
    if kind is float and not math.isfinite(value):
        raise wrong(_wrong_type(kind, repr(value)))
    return value


def _check(config: Config, path: Path) -> Config:
    """Check what depends on several keys."""

    def wrong(key: str, why: Phrase) -> BadConfig:
        return BadConfig(path=path, key=key, why=why)

    for key, value in (("base.model", config.base.model), ("output", config.output), ("dataset", config.dataset)):
        if not value:
            raise wrong(key, Phrase("it is missing"))
    for n, one in enumerate(config.dataset):
        if not one.folder:
            raise wrong(f"dataset[{n}].folder", Phrase("it is missing"))
    if bool(config.schedule.steps) == bool(config.schedule.epochs):
        raise wrong("schedule.steps", Phrase("give either schedule.steps or schedule.epochs"))
    wanted = 3 if config.optimiser.name == "came" else 2
    if not wanted <= len(config.optimiser.betas) <= 3 or not all(0 <= b < 1 for b in config.optimiser.betas):
        raise wrong("optimiser.betas", Phrase("it must be {count} numbers from 0 to below 1", count=wanted))
    if config.batch.micro > config.batch.size * config.batch.accumulation:
        raise wrong("batch.micro", Phrase("it is larger than the batch"))
    if not config.lora.layers:
        raise wrong("lora.layers", Phrase("it is missing"))
    if config.device.sharding == "fsdp2" and config.kind == "lora":
        raise wrong("device.sharding", Phrase("a LoRA has little to share out: use ddp"))
    if config.device.sharding == "fsdp2" and config.optimiser.name != "adamw":
        raise wrong("device.sharding", Phrase("with fsdp2 the optimiser must be adamw"))
    return config


def _resolve(config: Config, folder: Path) -> Config:
    """Resolve the file's paths relative to its folder; a model's name stays a name."""

    def resolved(text: str, *, always: bool) -> str:
        if not text or not (always or (folder / text).exists()):
            return text
        return str(folder / Path(text).expanduser())

    policy = resolved(config.policy, always=config.policy.endswith(".toml"))
    base = dataclasses.replace(
        config.base, **{k: resolved(v, always=v.startswith(".")) for k, v in dataclasses.asdict(config.base).items()}
    )
    sets = tuple(dataclasses.replace(d, folder=resolved(d.folder, always=True)) for d in config.dataset)
    output = resolved(config.output, always=True)
    return dataclasses.replace(
        config, base=base, dataset=sets, output=output, policy=policy, name=config.name or Path(output).name
    )
