"""``commonart show IMAGE``: the recipe in an image."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from commonart_desktop.core.i18n import tr
from commonart_desktop.core.parameters_text import lora_line, settings_lines
from commonart_desktop.core.process import program
from engine.contract.recipe import check


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "show", help=tr("print the recipe inside an image"), description=tr("Print the recipe inside an image.")
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--json", action="store_true", help=tr("the whole recipe as JSON"))
    parser.set_defaults(run=run)


def _harmless(text: str) -> str:
    """Text from a file, without characters that would control a terminal."""
    return "".join(c if c == "\n" or c.isprintable() else "\ufffd" for c in text)


def _lora(one: dict[str, Any]) -> str:
    scale = one.get("scale")
    name = lora_line([(one["name"], scale)]) if isinstance(scale, (int, float)) else one["name"]
    return f"{name} ({one['sha256'][:12]})"


def _foreign(found: dict[str, Any]) -> str:
    """What another program wrote: its settings where they are clear, else its text as it stands."""
    if found["read"] is None:
        return "\n".join(found["texts"].values())
    made = [(tr("made with"), found["read"]["tool"]), *settings_lines(found["read"])]
    return "\n".join(f"{name}: {value}" for name, value in made)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit status."""
    for image in args.images:
        found = program("engine.output", ["show", str(image)])
        if args.json:
            foreign = {k: found[k] for k in ("parameters", "tool", "texts", "read")}
            print(json.dumps(found["recipe"] or foreign, ensure_ascii=False, indent=1))
            continue
        recipe = found["recipe"]
        if not recipe:
            print(_harmless(_foreign(found)))
            continue
        check(recipe)
        asked = recipe["request"]
        lines = {
            tr("prompt"): asked["prompt"],
            tr("template"): asked.get("template", ""),
            tr("negative prompt"): asked.get("negative", ""),
            tr("seed"): asked.get("seed", ""),
            tr("size"): f"{found['width']} x {found['height']}",
            tr("steps"): asked.get("steps", 20),
            tr("guidance"): asked.get("guidance", 4.5),
            tr("sampler"): asked.get("sampler", "dpm++2m"),
            tr("preset"): asked.get("preset", "exact"),
            tr("model"): asked["model"],
            "LoRA": ", ".join(_lora(one) for one in recipe.get("loras", [])),
            "SHA-256": recipe["hashes"]["denoiser"],
            tr("made with"): f"{recipe['app']}, {recipe['backend']['backend']}, "
            f"{recipe['backend']['device']}, {recipe['backend']['dtype']}",
            tr("pixels"): recipe["pixel_sha256"],
        }
        for name, value in lines.items():
            if value != "":
                print(_harmless(f"{name}: {value}"))
    return 0
