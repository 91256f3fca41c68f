"""``python -m trainer.install RESULT --name NAME``: install a result of an earlier run, so that it is found by name."""

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

DOCUMENTS = ("gate-report*.json", "ATTRIBUTION*.md", CARD, BOM, CONFIG)


def install_result(result: Path, name: str) -> Path:
    """Install a LoRA's file with its documents in the LoRA folder, or a model's folder among the models.

    Returns the path.

    Raises:
        BadFile: there is no such result. BadValue: the name cannot be a folder's. DiskFull, OutputFolder
    """
    if name_problem(name) or "/" in name or name.startswith("."):
        raise BadValue(name="name", value=name, why=Phrase("it cannot be the name of a folder"))
    if not result.exists():
        raise BadFile(path=result, why=Phrase("there is no such file or folder"))
    is_lora = result.is_file()
    documents = [file for pattern in DOCUMENTS for file in sorted(result.parent.glob(pattern))] if is_lora else []
    try:
        folder = install([result, *documents], lora_folder() if is_lora else home() / "models", name)
    except OSError as e:
        raise as_our_error(e, lora_folder() if is_lora else home() / "models") from e
    return folder / result.name if is_lora else folder


def work(argv: list[str]) -> dict[str, Any]:
    """Execute the command in ``argv``."""
    parser = JsonArgumentParser(prog="python -m trainer.install", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--name", required=True)
    args = parser.parse_args(argv)
    return {"path": str(install_result(args.result, args.name))}


if __name__ == "__main__":
    sys.exit(run_json_program(work))
