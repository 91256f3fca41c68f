"""``python -m trainer.install RESULT --name NAME``: a result that was not installed when its run ended, to where it is known by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engine.checkpoint.lora_library import lora_folder
from engine.contract.errors import BadFile, BadValue, Phrase
from engine.contract.files import as_our_error
from engine.contract.paths import home
from engine.system.json_program import JsonArgumentParser, run_json_program
from trainer.dataset.files import name_problem
from trainer.learn.artifacts.lineage import BOM, CARD, CONFIG
from trainer.learn.result import install

BESIDE = ("gate-report*.json", "ATTRIBUTION*.md", CARD, BOM, CONFIG)


def put(result: Path, name: str) -> Path:
    """A LoRA's file, with what lies beside it, to the LoRA folder, or a model's folder to the models; returns where it is.

    Raises:
        BadFile: there is no such result. BadValue: no name for a folder. DiskFull, OutputFolder
    """
    if name_problem(name) or "/" in name or name.startswith("."):
        raise BadValue(name="name", value=name, why=Phrase("it cannot be the name of a folder"))
    if not result.exists():
        raise BadFile(path=result, why=Phrase("there is no such file or folder"))
    alone = result.is_file()
    beside = [file for pattern in BESIDE for file in sorted(result.parent.glob(pattern))] if alone else []
    try:
        folder = install([result, *beside], lora_folder() if alone else home() / "models", name)
    except OSError as e:
        raise as_our_error(e, lora_folder() if alone else home() / "models") from e
    return folder / result.name if alone else folder


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = JsonArgumentParser(prog="python -m trainer.install", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--name", required=True)
    args = parser.parse_args(argv)
    return {"path": str(put(args.result, args.name))}


if __name__ == "__main__":
    sys.exit(run_json_program(work))
