"""``python -m engine.checkpoint COMMAND``: list, look at, check and convert models.

One JSON document on standard output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.checkpoint import convert as converting
from engine.checkpoint.describe import facts, folders, info
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import InstalledModel, find_all, open_model, remembered_parts
from engine.checkpoint.lora_library import list_loras, lora_folder
from engine.checkpoint.verify import verify
from engine.contract.errors import CommonArtError
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program


def _listed(installed: InstalledModel) -> dict[str, Any]:
    row: dict[str, Any] = {"name": installed.name, "path": str(installed.path), "source": installed.source}
    try:
        before = {
            k: Path(v)
            for k, v in remembered_parts(installed.path).items()
            if k in ("text_encoder", "vae") and Path(v).is_dir()
        }
        model = identify(installed.path, **before, name=installed.name)
        return row | {"ok": True, "problem": None, "parts": folders(model)} | facts(model)
    except CommonArtError as e:
        problem = e
    except Exception as e:  # a config of any nonsense spoils its own line only
        problem = CommonArtError(why=f"{type(e).__name__}: {e}")
    return row | {
        "ok": False,
        "problem": problem.to_wire(),
        "parts": None,
        "own_side": None,
        "multiple": None,
        "max_tokens": None,
    }


def list_models() -> dict[str, Any]:
    """Every model of this machine, with its parts or with what is wrong; no weights are read."""
    return {"models": [_listed(installed) for installed in find_all()]}


def resolve(model: ModelFolder) -> dict[str, Any]:
    """What a front end needs before it queues an image."""
    return {"name": model.name, "root": str(model.root), "layout": model.layout, "parts": folders(model)} | facts(model)


# convert ----------------------------------------------------------------------------------------------------------


def _pickles(folder: Path) -> list[Path]:
    return [
        p
        for pattern in converting.PATTERNS
        for p in folder.glob(pattern)
        if p.is_file() and not converting._NOT_WEIGHTS.match(p.name)
    ]


def convert(folder: Path, out: Path | None) -> dict[str, Any]:
    """Pickled weights of a folder, of every part of a pipeline folder, or of one file, to safetensors."""
    sources = [folder]
    if (folder / "model_index.json").is_file():
        parts = [p for p in sorted(folder.iterdir()) if p.is_dir() and _pickles(p)]
        sources = ([folder] if _pickles(folder) else []) + parts or [folder]
    sizes = [sum(p.stat().st_size for p in set(_pickles(source))) for source in sources]
    written: list[Path] = []
    for n, source in enumerate(sources):
        target = out if out is None or source == folder else out / source.name

        def report(done: int, own: int, before: int = sum(sizes[:n])) -> None:
            report_progress(before + done, max(sum(sizes), own))

        written += converting.convert(source, target, progress=report)
    return {"folder": str(folder), "folders": [str(p) for p in sources], "written": [str(p) for p in written]}


# get --------------------------------------------------------------------------------------------------------------


def _get(args: Any) -> dict[str, Any]:
    """The one command that goes online, in this process alone.

    Libraries read these variables when they are imported.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if args.proxy:
        os.environ["HTTPS_PROXY"] = os.environ["HTTP_PROXY"] = args.proxy
    from engine.checkpoint.get import get

    return get(
        args.repo,
        revision=args.revision,
        endpoint=args.endpoint,
        dry_run=args.dry_run,
        allow_pickles=args.allow_pickles,
        expect=args.expect,
        progress=report_progress,
    )


# ------------------------------------------------------------------------------------------------------------------


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = JsonArgumentParser(prog="python -m engine.checkpoint", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=JsonArgumentParser)
    commands.add_parser("list")
    commands.add_parser("loras")
    about: dict[str, Callable[[ModelFolder], dict[str, Any]]] = {"info": info, "verify": verify, "resolve": resolve}
    for name in about:
        command = commands.add_parser(name)
        command.add_argument("model", metavar="MODEL")
        command.add_argument("--text-encoder", metavar="FOLDER")
        command.add_argument("--vae", metavar="FOLDER")
    command = commands.add_parser("convert")
    command.add_argument("folder", metavar="FOLDER", type=Path)
    command.add_argument("--out", metavar="FOLDER", type=Path)
    command = commands.add_parser("get")
    command.add_argument("repo", metavar="REPO")
    command.add_argument("--revision", default="main")
    command.add_argument("--endpoint", metavar="URL")
    command.add_argument("--proxy", metavar="URL")
    command.add_argument("--expect", metavar="COMMIT")
    command.add_argument("--allow-pickles", action="store_true")
    command.add_argument("--dry-run", action="store_true")
    args = parser.parse_args(argv)
    if args.command == "get":
        return _get(args)
    if args.command == "list":
        return list_models()
    if args.command == "loras":
        return {"folder": str(lora_folder()), "loras": list(list_loras())}
    if args.command == "convert":
        return convert(args.folder.expanduser(), args.out.expanduser() if args.out else None)
    return about[args.command](open_model(args.model, args.text_encoder, args.vae))


if __name__ == "__main__":
    sys.exit(run_json_program(work))
