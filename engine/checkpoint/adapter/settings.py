"""What an adapter's maker wrote about it: rank, alpha and how both go into the factor of each layer.

The settings are PEFT's ``LoraConfig``, ``LoHaConfig`` or ``LoKrConfig``. They stand in ``adapter_config.json`` beside
the file (PEFT), under ``lora_adapter_metadata`` in its header (diffusers), or as plain entries of the header.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from engine.contract.errors import BrokenWeights, Phrase, UnsupportedAdapter, system_words

T = TypeVar("T")
CONFIG, PEFT_FILE = "adapter_config.json", "adapter_model.safetensors"
HEADER = "lora_adapter_metadata"
_KINDS = {"LORA": "lora", "LOHA": "loha", "LOKR": "lokr"}
_PLAIN = ("peft_type", "r", "rank", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
_DEFAULT = 8  # PEFT's rank and alpha where the settings name none
_LIMIT = 16 << 20  # bytes of a settings file
#: settings under which PEFT computes something else than W + factor * B A; refused where they are set
_OTHER_WAYS = (
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "layer_replication",
    "target_parameters",
    "lora_bias",
)
#: ways to start a training that change the base model too, so that the adapter alone says too little
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class Settings:
    """PEFT's settings as far as they decide what is added to a layer."""

    kind: str  # lora, loha, lokr
    rank: int | None  # None: not written down; it is then that of the tensors
    alpha: float
    rslora: bool = False
    dora: bool = False
    ranks: dict[str, int] = field(default_factory=dict)
    alphas: dict[str, float] = field(default_factory=dict)

    def rank_of(self, module: str) -> int | None:
        """The rank that the settings give a layer."""
        return _first(self.ranks, module, self.rank)

    def factor(self, module: str, rank: int | None) -> float:
        """PEFT's ``scaling`` of a layer: alpha / rank, or alpha / sqrt(rank) with rsLoRA (Kalajdzievski, arXiv
        2312.03732).

        ``rank`` is that of the tensors; without one (both Kronecker factors whole) that of the settings.
        """
        rank = rank or self.rank_of(module) or _DEFAULT
        alpha = _first(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)


def _first(patterns: Mapping[str, T], module: str, default: T) -> T:
    """The value of the first pattern that fits, as ``peft.utils.other.get_pattern_key`` chooses it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def in_header(path: Path, words: Mapping[str, str]) -> Settings | None:
    """The settings that stand in a file's own header (``words``); None if it has none.

    Raises:
        BrokenWeights, UnsupportedAdapter
    """
    if HEADER in words:
        try:
            packed = json.loads(words[HEADER])
            # diffusers packs one part of a pipeline after the other: transformer.r, text_encoder.r
            own = {k: v for k, v in packed.items() if k.partition(".")[0] not in ("text_encoder", "text_encoder_2")}
            given = {k.removeprefix("transformer.").removeprefix("unet."): v for k, v in own.items()}
        except (ValueError, AttributeError, RecursionError) as e:
            raise _unreadable(path, HEADER) from e
        return _settings(path, given) if given else None
    if "lora_alpha" not in words:
        return None
    return _settings(path, {k: _value(words[k]) for k in _PLAIN if k in words})


def _value(text: str) -> Any:
    """A header's entries are texts; numbers, true and false, and patterns were something else before."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except (ValueError, RecursionError):
        return text


def beside(path: Path) -> Path | None:
    """The ``adapter_config.json`` that belongs to the file: beside PEFT's own file, or where that is not there."""
    config = path.with_name(CONFIG)
    if not config.is_file() or (path.name != PEFT_FILE and path.with_name(PEFT_FILE).exists()):
        return None
    return config


def read_config(config: Path) -> tuple[Settings, str]:
    """The settings in an ``adapter_config.json``, and its SHA-256.

    Raises:
        BrokenWeights, UnsupportedAdapter
    """
    try:
        if config.stat().st_size > _LIMIT:
            raise _unreadable(config, CONFIG)
        data = config.read_bytes()
        given = json.loads(data.decode("utf-8-sig"))
    except OSError as e:
        raise BrokenWeights(path=config, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise _unreadable(config, CONFIG) from e
    if not isinstance(given, dict):
        raise _unreadable(config, CONFIG)
    return _settings(config, given), hashlib.sha256(data).hexdigest()


def _settings(path: Path, given: Mapping[str, Any]) -> Settings:
    kind = given.get("peft_type") or "LORA"
    if not isinstance(kind, str):
        raise _unreadable(path, "peft_type")
    if kind not in _KINDS:
        raise UnsupportedAdapter(path=path, why=Phrase("it is an adapter of the kind {kind}", kind=kind[:40]))
    for name in _OTHER_WAYS:
        if given.get(name):
            raise UnsupportedAdapter(
                path=path, why=Phrase("its settings ask for {name}, which is not computed here", name=name)
            )
    start = given.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_OTHER_BASE):
        raise UnsupportedAdapter(
            path=path,
            why=Phrase(
                "it was started by {name}, which changes the base model too; its maker can save it as a plain LoRA "
                "with PEFT's path_initial_model_for_weight_conversion",
                name=start[:40],
            ),
        )
    rank = given.get("r", given.get("rank"))
    return Settings(
        kind=_KINDS[kind],
        rank=None if rank is None else _rank(path, "r", rank),
        alpha=_number(path, "alpha", given.get("lora_alpha" if kind == "LORA" else "alpha", _DEFAULT)),
        rslora=_flag(path, "use_rslora", given.get("use_rslora")),
        dora=_flag(path, "use_dora", given.get("use_dora")),
        ranks={k: _rank(path, "rank_pattern", v) for k, v in _patterns(path, "rank_pattern", given).items()},
        alphas={k: _number(path, "alpha_pattern", v) for k, v in _patterns(path, "alpha_pattern", given).items()},
    )


def _patterns(path: Path, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A pattern is a regular expression out of a stranger's file: those that could take for ever are refused."""
    found = given.get(name) or {}
    if not isinstance(found, dict) or len(found) > 10_000:
        raise _unreadable(path, name)
    loose = 0
    for pattern in found:
        repeats = len(re.findall(r"(?<!\\)[*+{]", pattern))
        loose += repeats > 0
        if repeats > 3 or loose > 200 or len(pattern) > 500 or re.search(r"\)[*+{]", pattern):
            raise _unreadable(path, name)
        try:
            re.compile(rf"(.*\.)?({pattern})$")
        except (re.error, OverflowError, RecursionError) as e:
            raise _unreadable(path, name) from e
    return found


def _rank(path: Path, name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value <= 1_000_000:
        raise _unreadable(path, name)
    return value


def _number(path: Path, name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= 1e9:  # nan fails too
        raise _unreadable(path, name)
    return float(value)


def _flag(path: Path, name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise _unreadable(path, name)
    return bool(value)


def _unreadable(path: Path, name: str) -> BrokenWeights:
    return BrokenWeights(path=path, why=Phrase("its adapter settings cannot be understood ({name})", name=name))
