"""``python -m trainer.dataset COMMAND``: import, check, report, edit, caption and show dataset folders.

One JSON document on standard output.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program
from trainer.dataset.importers.run import FORMATS


def _parser() -> JsonArgumentParser:
    parser = JsonArgumentParser(prog="python -m trainer.dataset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=JsonArgumentParser)
    command = commands.add_parser("import")
    command.add_argument("folder", type=Path)
    command.add_argument("--from", dest="source", type=Path, required=True)
    command.add_argument("--format", choices=("auto", *FORMATS), default="auto")
    for name in ("license", "license-url", "creator", "source-url", "caption-origin"):
        command.add_argument(f"--{name}", default="")
    command.add_argument("--license-table", choices=("flickr",), default="")
    command.add_argument("--encoding", default="utf-8-sig")
    command.add_argument("--pictures", type=Path)
    command.add_argument("--link", action="store_true")
    command = commands.add_parser("check")
    command.add_argument("folder", type=Path)
    command.add_argument("--policy", default="commercial")
    command.add_argument("--full", action="store_true")
    command.add_argument("--out", type=Path)
    command = commands.add_parser("report")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("show")
    command.add_argument("folder", type=Path)
    command.add_argument("file", nargs="?")
    command.add_argument("--offset", type=int, default=0)
    command.add_argument("--limit", type=int, default=100)
    command = commands.add_parser("edit")
    command.add_argument("folder", type=Path)
    command.add_argument("--changes", type=Path, required=True)
    command = commands.add_parser("caption")
    command.add_argument("folder", type=Path)
    command.add_argument("--model", type=Path)
    command.add_argument("--language", choices=("en", "ja", "both"), default="both")
    command.add_argument("--overwrite", action="store_true")
    command.add_argument("--device", default="auto")
    command.add_argument("--batch-size", type=int, default=1)
    command.add_argument("--max-tokens", type=int, default=128)
    command.add_argument("--prompt-en", default="")
    command.add_argument("--prompt-ja", default="")
    return parser


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    args = _parser().parse_args(argv)
    if args.command == "import":
        from trainer.dataset.importers.run import run_import
        from trainer.dataset.importers.source import Options

        if args.pictures is not None and not args.pictures.is_dir():
            raise BadFile(path=args.pictures, why=Phrase("there is no such folder"))
        options = Options(
            license=args.license,
            license_url=args.license_url,
            creator=args.creator,
            source_url=args.source_url,
            encoding=args.encoding,
            pictures=args.pictures,
            caption_origin=args.caption_origin,
            license_table=args.license_table,
        )
        return run_import(
            args.folder, args.source, options, form=args.format, link=args.link, progress=report_progress
        ).as_data()
    if args.command == "check":
        from trainer.dataset.licence.gate import check

        report = check(args.folder, args.policy, full=args.full, progress=report_progress, out=args.out)
        return {"passed": report.passed, "report": report.as_data(), "path": str(report.path), "sha256": report.sha256}
    if args.command == "report":
        from trainer.dataset.licence.summary import summary

        return summary(args.folder, progress=report_progress)
    if args.command == "show":
        from trainer.dataset.licence.summary import show

        return show(args.folder, args.file, offset=max(args.offset, 0), limit=max(args.limit, 1))
    if args.command == "edit":
        from trainer.dataset.edit import edit, read_changes

        return dict(edit(args.folder, read_changes(args.changes)))
    from trainer.dataset.caption import Captioning, caption_folder

    captioning = Captioning(
        model=args.model,
        languages=("en", "ja") if args.language == "both" else (args.language,),
        overwrite=args.overwrite,
        device=args.device,
        batch_size=args.batch_size,
        max_tokens=args.max_tokens,
        prompts={"en": args.prompt_en, "ja": args.prompt_ja},
    )
    return caption_folder(args.folder, captioning, progress=report_progress).as_data()


def main() -> int:
    """Exit status: 0 done, 1 failed or not passed, 2 wrong usage."""
    passed = True

    def kept(argv: list[str]) -> dict[str, Any]:
        nonlocal passed
        answer = work(argv)
        passed = bool(answer.get("passed", True))
        return answer

    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # to be ended politely is to be interrupted: what is done is written
    status = run_json_program(kept)
    return status or (0 if passed else 1)


if __name__ == "__main__":
    sys.exit(main())
