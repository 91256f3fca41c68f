"""A training's configuration as TOML that people can read: only what was chosen, over a preset, with a word on each
part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commonart_desktop.core.i18n import tr

ATTENTION = ("transformer_blocks.*.attn1.*", "transformer_blocks.*.attn2.*")
LAYERS = {"attention": ATTENTION, "blocks": ("transformer_blocks.*",), "cross": ("transformer_blocks.*.attn2.*",)}
PRESETS = ("", "train-8gb", "train-16gb", "train-24gb")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the window asks. 0 or empty leaves a key to the preset and the trainer's own value."""

    name: str
    dataset: str
    model: str
    policy: str = "commercial"
    kind: str = "lora"
    preset: str = ""
    trigger: str = ""
    steps: int = 1000
    lr: float = 0.0
    batch: int = 0
    resolution: int = 0
    prompts: tuple[str, ...] = ()
    rank: int = 0
    alpha: float = 0.0
    layers: str = "attention"
    japanese: float = 0.5
    dropout: float = 0.1  # of captions
    flip: float = 0.0
    heldout: float = 0.05
    optimiser: str = ""
    schedule: str = "cosine"
    warmup: int = 0
    ema: float = 0.0
    dtype: str = ""
    device: str = "auto"
    seed: int = 0
    result: str = "last"
    checkpoints: int = 0  # every so many steps
    previews: int = 0  # every so many steps


def config_text(c: Choices) -> str:
    """The file's text."""
    top: dict[str, Any] = {"kind": c.kind, "name": c.name, "output": "result", "policy": c.policy, "seed": c.seed}
    if c.preset:
        top = {"preset": c.preset} | top
    often = max(1, min(100, c.steps // 20))
    parts: dict[str, dict[str, Any]] = {
        "base": {"model": c.model},
        "lora": (
            {
                "rank": c.rank,
                "alpha": c.alpha,
                "layers": list(LAYERS[c.layers]) if c.layers != "attention" else None,
                "trigger": c.trigger,
            }
            if c.kind == "lora"
            else {}
        ),
        "data": {
            "resolution": c.resolution,
            "japanese": ("", c.japanese),
            "caption_dropout": ("", c.dropout),
            "flip": c.flip,
            "heldout": ("", c.heldout),
        },
        "optimiser": {"name": c.optimiser, "lr": c.lr},
        "schedule": {"kind": c.schedule, "warmup": ("", min(c.warmup, c.steps)), "steps": c.steps},
        "batch": {"size": c.batch},
        "ema": {"decay": c.ema},
        "device": {"device": c.device, "dtype": c.dtype},
        "checkpoint": {"every": c.checkpoints or max(1, min(500, c.steps // 4)), "result": c.result},
        "heldout": {"every": often},
        "previews": {"prompts": list(c.prompts), "every": c.previews or max(1, min(500, c.steps // 5))},
    }
    lines = [
        "# " + tr("Every key can be changed by hand; docs/training.md lists them all."),
        *_keys(top),
        "",
        "[[dataset]]",
        f"folder = {_value(c.dataset)}",
    ]
    for name, values in parts.items():
        told = list(_keys(values))
        if told:
            lines += ["", f"[{name}]", *told]
    return "\n".join(lines) + "\n"


def _keys(values: Mapping[str, Any]) -> list[str]:
    """``key = value``; empty ones are left out, unless they stand in a pair: those are said whatever they are."""
    return [
        f"{k} = {_value(v[1] if isinstance(v, tuple) else v)}" for k, v in values.items() if v or isinstance(v, tuple)
    ]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's basic strings are JSON's
