"""The settings of an image as named lines, for ``show``, ``verify`` and the window alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from commonart_desktop.core.i18n import tr


def lora_line(loras: Iterable[Sequence[Any]]) -> str:
    """(name, scale) pairs as a person writes them; empty without any."""
    return ", ".join(f"{name}:{scale:g}" for name, scale in loras)


def settings_lines(read: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of another program's settings of an image: ``ImageParameters`` as JSON."""
    given = read["settings"]
    size = f"{given['width']} x {given['height']}" if "width" in given and "height" in given else ""
    sampler = " / ".join(str(given[k]) for k in ("sampler", "schedule") if k in given)
    lines = [
        (tr("prompt"), read["prompt"]),
        (tr("negative prompt"), read["negative"]),
        (tr("seed"), given.get("seed", "")),
        (tr("size"), size),
        (tr("steps"), given.get("steps", "")),
        (tr("guidance"), given.get("guidance", "")),
        (tr("sampler"), sampler),
        (tr("model"), given.get("model", "")),
        ("LoRA", lora_line(read["loras"])),
    ]
    return [(name, str(value)) for name, value in lines if value != ""]
