"""``python -m trainer.install RESULT --name NAME``: a finished result, with what proves its origin, to where it is known by name."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from engine.checkpoint.lora import lora_folder
from engine.contract.errors import BadFile, BadValue, Phrase, ResultTaken
from engine.home import home
from engine.output.atomic import PART, make_folder, told
from engine.program import Parser, run_program
from trainer.dataset.files import name_problem, sha256_of
from trainer.learn.lineage import CARD

BESIDE = ("gate-report*.json", "ATTRIBUTION*.md", CARD, "bom*.json", "config.toml", "report.html")


def install(result: Path, name: str) -> Path:
    """Copy a LoRA's file to ``loras/NAME/NAME.safetensors``, or a model's folder to ``models/NAME``; returns where it is.

    It appears whole or not at all. What is there already is left as it is if it is the same, and never written over.

    Raises:
        BadFile: there is no such result. BadValue: no name for a folder. ResultTaken, DiskFull, OutputFolder
    """
    if name_problem(name) or "/" in name or name.startswith("."):
        raise BadValue(name="name", value=name, why=Phrase("it cannot be the name of a folder"))
    if not result.exists():
        raise BadFile(path=result, why=Phrase("there is no such file or folder"))
    alone = result.is_file()
    target = (lora_folder() if alone else home() / "models") / name
    final = target / f"{name}.safetensors" if alone else target
    if target.exists():
        if _same(result, final):
            return final
        raise ResultTaken(path=target)
    make_folder(target.parent)
    part = target.with_name(f".{name}{PART}")
    try:
        shutil.rmtree(part, ignore_errors=True)
        if alone:
            part.mkdir()
            shutil.copyfile(result, part / final.name)
        else:
            shutil.copytree(result, part)
        for pattern in BESIDE:
            for file in sorted(result.parent.glob(pattern)):
                if not (part / file.name).exists():
                    shutil.copyfile(file, part / file.name)
        os.replace(part, target)
    except OSError as e:
        raise told(e, target) from e
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return final


def _same(a: Path, b: Path) -> bool:
    if a.is_file():
        return b.is_file() and sha256_of(a) == sha256_of(b)
    weights = {p.relative_to(a): p for p in a.rglob("*.safetensors")}
    return bool(weights) and all((b / k).is_file() and sha256_of(p) == sha256_of(b / k) for k, p in weights.items())


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = Parser(prog="python -m trainer.install", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--name", required=True)
    args = parser.parse_args(argv)
    return {"path": str(install(args.result, args.name))}


if __name__ == "__main__":
    sys.exit(run_program(work))
