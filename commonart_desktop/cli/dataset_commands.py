"""The commands of ``commonart dataset``: each runs ``python -m trainer.dataset`` and prints its answer."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli import complain
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from engine.contract.errors import from_wire


def _absolute(path: Path) -> str:
    return str(path.expanduser().absolute())


def _asked(arguments: list[str], bar: str, *, quiet: bool) -> dict[str, Any]:
    with tqdm(unit=tr("img"), desc=bar, file=sys.stderr, disable=quiet or None, dynamic_ncols=True) as shown:

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        return program("trainer.dataset", arguments, on_progress=on_progress)


def _print_json(answer: dict[str, Any]) -> None:
    print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))


def _why(data: dict[str, Any]) -> str:
    return tr(data["template"], **data["fields"])


def _given(args: argparse.Namespace, *names: str) -> list[str]:
    """Options that were given, as the program wants them."""
    told: list[str] = []
    for name in names:
        value = getattr(args, name)
        if value is None:
            continue
        told.append(f"--{name.replace('_', '-')}={_absolute(value) if isinstance(value, Path) else value}")
    return told


def import_command(args: argparse.Namespace) -> int:
    arguments = [
        "import",
        f"--from={_absolute(args.source)}",
        f"--format={args.format}",
        *(["--link"] if args.link else []),
        *_given(
            args,
            "license",
            "license_url",
            "license_table",
            "creator",
            "source_url",
            "pictures",
            "encoding",
            "caption_origin",
        ),
        "--",
        _absolute(args.folder),
    ]
    answer = _asked(arguments, tr("importing"), quiet=args.json)
    status = 0 if answer["added"] or answer["already"] else 1
    if args.json:
        _print_json(answer)
        return status
    print(
        tr(
            "{added} image(s) taken in, {already} were there already ({format})",
            added=answer["added"],
            already=answer["already"],
            format=answer["format"],
        )
    )
    for licence, count in answer["licences"].items():
        print(f"    {licence}  {count}")
    print(
        tr(
            "found: {found}; taken in or there: {taken}; read as captions, records or licences: {read}; left out: "
            "{left}",
            found=answer["found"],
            taken=answer["added"] + answer["already"],
            read=answer["read"],
            left=answer["skipped"],
        )
    )
    if answer["undecided"]:
        print(
            tr(
                "{count} image(s) have licences that are stated in different ways or not understood; the check "
                "names them",
                count=answer["undecided"],
            ),
            file=sys.stderr,
        )
    for reason in answer["reasons"]:
        print(tr("left out: {count} ({why})", count=reason["count"], why=_why(reason["why"])), file=sys.stderr)
        for name in reason["files"][:5]:
            print(f"    {name}", file=sys.stderr)
    return status


def check_command(args: argparse.Namespace) -> int:
    policy = args.policy
    if policy not in ("commercial", "noncommercial"):
        policy = _absolute(Path(policy)) if Path(policy).expanduser().exists() else policy
    arguments = [
        "check",
        f"--policy={policy}",
        *(["--full"] if args.full else []),
        *_given(args, "out"),
        "--",
        _absolute(args.folder),
    ]
    answer = _asked(arguments, tr("checking"), quiet=args.json)
    if args.json:
        _print_json(answer["report"])
        return 0 if answer["passed"] else 1
    report = answer["report"]
    for finding in report["findings"]:
        place = finding["file"] + (
            f":{finding['line']}" if finding["file"] == "metadata.jsonl" and finding["line"] else ""
        )
        sign = "✗" if finding["severity"] == "block" else "!"
        print(f"{sign} {place}: {_why(finding['why'])}")
    classes = ", ".join(f"{name} {count}" for name, count in report["classes"].items())
    print(
        tr(
            "{count} image(s), {size}; licences by class: {classes}",
            count=report["pictures"],
            size=_size(report["bytes"]),
            classes=classes or "–",
        )
    )
    if answer["passed"]:
        print(
            tr(
                "The licence check passed under the policy {policy}, with {warnings} warning(s).",
                policy=report["policy"]["name"],
                warnings=report["warnings"],
            )
        )
    else:
        print(
            tr(
                "The licence check refuses this folder under the policy {policy}: {blocking} reason(s), {warnings} "
                "warning(s).",
                policy=report["policy"]["name"],
                blocking=report["blocking"],
                warnings=report["warnings"],
            )
        )
    print(answer["path"])
    return 0 if answer["passed"] else 1


def _size(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def report_command(args: argparse.Namespace) -> int:
    answer = _asked(["report", "--", _absolute(args.folder)], tr("reading"), quiet=args.json)
    if args.json:
        _print_json(answer)
        return 0
    print(
        tr(
            "{count} image(s), {size}, {unreadable} unreadable",
            count=answer["pictures"],
            size=_size(answer["bytes"]),
            unreadable=answer["unreadable"],
        )
    )
    tables = (
        (tr("licence"), "licences"),
        (tr("class"), "classes"),
        (tr("creator ({count})", count=answer["creator_count"]), "creators"),
        (tr("who wrote the captions"), "origins"),
        (tr("file format"), "formats"),
        (tr("short side in pixels"), "short_side"),
        (tr("shape"), "shapes"),
    )
    for title, key in tables:
        print(f"{title}:")
        for name, count in answer[key].items():
            print(f"    {count:>8}  {name}")
    for language, told in answer["captions"].items():
        name = tr("English captions") if language == "en" else tr("Japanese captions")
        print(
            tr(
                "{name}: {captions} on {pictures} image(s), {median} characters in the median, {longest} at most",
                name=name,
                captions=told["captions"],
                pictures=told["pictures"],
                median=told["median_characters"],
                longest=told["longest"],
            )
        )
    return 0


def caption_command(args: argparse.Namespace) -> int:
    arguments = [
        "caption",
        f"--language={args.language}",
        f"--device={args.device}",
        *(["--overwrite"] if args.overwrite else []),
        *_given(args, "model", "batch_size", "prompt_en", "prompt_ja"),
        "--",
        _absolute(args.folder),
    ]
    answer = _asked(arguments, tr("captioning"), quiet=args.json)
    if args.json:
        _print_json(answer)
        return 0
    print(
        tr(
            "{written} caption(s) written with {model}; {kept} image(s) had theirs already",
            written=answer["written"],
            model=answer["model"],
            kept=answer["kept"],
        )
    )
    for note in answer["notes"]:
        print(f"! {_why(note)}", file=sys.stderr)
    for reason in answer["reasons"]:
        print(tr("left out: {count} ({why})", count=reason["count"], why=_why(reason["why"])), file=sys.stderr)
        for name in reason["files"][:5]:
            print(f"    {name}", file=sys.stderr)
    return 0


def show_command(args: argparse.Namespace) -> int:
    answer = program(
        "trainer.dataset",
        ["show", "--limit=1000000", "--", _absolute(args.folder), *([args.file] if args.file else [])],
    )
    if args.json:
        _print_json(answer)
        return 0
    if args.file is None:
        for row in answer["records"]:
            print(f"{row['file_name']}  {row['license'] or '–'}  {row['creator'] or '–'}")
            for column in ("text", "text_ja"):
                for caption in [row[column]] if isinstance(row[column], str) else row[column]:
                    if caption:
                        print(f"    {caption}")
        return 0
    for key, value in answer["record"].items():
        for text in value if isinstance(value, list) else [value]:
            if text not in ("", None):
                print(f"{key}: {text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)}")
    if "width" in answer:
        print(f"{answer['width']} x {answer['height']}, {answer['kind']}")
    print(answer["attribution"])
    if answer.get("problem"):
        complain(from_wire(answer["problem"]))
        return 1
    if not answer["as_recorded"]:
        print(tr("The file is not the recorded one: its SHA-256 is {sha256}", sha256=answer["sha256"]))
        return 1
    print(tr("The file is the recorded one."))
    return 0
