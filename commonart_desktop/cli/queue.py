"""``commonart queue``: the durable queue from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from commonart_desktop.cli import complain, queue_run
from commonart_desktop.cli.pictures import add_picture_options, folder_of, requests_from, settings_from
from commonart_desktop.core.compose import random_seed, ready_folder
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.ledger import export_rows, import_rows, open_ledger, suspect_mark
from commonart_desktop.core.settings import load_settings
from engine.contract.errors import BadValue, LedgerCorrupt, Phrase, UsageError, from_wire
from engine.contract.ledger.ledger import Job, Ledger
from engine.contract.ledger.schema import STATES
from engine.contract.paths import home
from engine.contract.request import ImageRequest, fixed_seed
from engine.contract.template import expand


def add(subparsers: Any) -> None:
    """Declare the command and its own commands."""
    parser = subparsers.add_parser(
        "queue",
        help=tr("a list of images that survives anything"),
        description=tr("A list of images that survives anything."),
    )
    commands = parser.add_subparsers(dest="queue_command", required=True, metavar=tr("COMMAND"))

    def command(name: str, text: str, does: Any, *, jobs: str = "") -> argparse.ArgumentParser:
        one: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        if jobs:
            one.add_argument("jobs", nargs=jobs, type=int, metavar="JOB")
        one.set_defaults(run=_with_ledger, does=does)
        return one

    one = command("add", tr("put images into the queue"), _add)
    add_picture_options(one)
    one.add_argument("--job", metavar=tr("NAME"), help=tr("the job's name"))
    one.add_argument("--priority", type=int, default=0, metavar="N", help=tr("higher runs first"))
    one.add_argument("--json", action="store_true")

    queue_run.add_options(command("run", tr("make what is waiting"), queue_run.run))

    one = command("list", tr("what is in the queue"), _list)
    one.add_argument("--state", choices=STATES)
    one.add_argument("--limit", type=int, default=None, metavar="N")
    one.add_argument("--offset", type=int, default=0, metavar="N")
    one.add_argument("--json", action="store_true")

    one = command("show", tr("one job and its images"), _show)
    one.add_argument("job", type=int, metavar="JOB")
    one.add_argument("--json", action="store_true")

    for name, text, does in (
        ("pause", tr("hold jobs, or all"), _pause),
        ("resume", tr("go on with jobs, or all"), _resume),
        ("cancel", tr("give up waiting and running images"), _cancel),
        ("retry", tr("put failed and cancelled images back"), _retry),
    ):
        one = command(name, text, does, jobs="*")
        one.add_argument("--all", action="store_true", help=tr("every job"))

    one = command("edit", tr("change a job's waiting images"), _edit)
    one.add_argument("job", type=int, metavar="JOB")
    one.add_argument("--priority", type=int, metavar="N", help=tr("higher runs first"))
    add_picture_options(one)

    one = command("move", tr("change the order"), _move)
    one.add_argument("job", type=int, metavar="JOB")
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--to-front", action="store_true")
    where.add_argument("--before", type=int, metavar="JOB")

    one = command("export", tr("write the queue to a .jsonl file"), _export)
    one.add_argument("file", type=Path, metavar="FILE")

    one = command("import", tr("add the rows of such a file"), _import)
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--model", metavar="NAME|FOLDER", help=tr("a model's name or folder"))
    one.add_argument("--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered"))
    one.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    one.add_argument("--skip-bad", action="store_true", help=tr("leave bad rows out instead of adding nothing"))
    one.add_argument("--out", type=Path, metavar="DIR", help=tr("the output folder (outputs)"))

    one = command("clear", tr("take finished rows off the list; files stay"), _clear)
    one.add_argument("--done", action="store_true", help=tr("finished images"))
    one.add_argument("--failed", action="store_true", help=tr("failed images"))
    one.add_argument("--cancelled", action="store_true", help=tr("cancelled images"))


def _with_ledger(args: argparse.Namespace) -> int:
    ledger, kept = open_ledger()
    if kept is not None:
        print(
            "commonart: "
            + tr(
                "The queue was damaged. It is kept as {path}; {count} image(s) were saved from it.",
                path=kept[0],
                count=kept[1],
            ),
            file=sys.stderr,
        )
    try:
        return int(args.does(args, ledger))
    except LedgerCorrupt:
        suspect_mark().touch()
        raise
    finally:
        ledger.close()


def _add(args: argparse.Namespace, ledger: Ledger) -> int:
    requests = requests_from(args)
    name = args.job or (args.file.stem if args.file else requests[0].template or requests[0].prompt)[:60]
    job = ledger.add_job(name, requests, priority=args.priority)
    if args.json:
        print(json.dumps({"job": job, "name": name, "pictures": len(requests)}, ensure_ascii=False))
    else:
        print(tr("Job {job}: {count} image(s) added.", job=job, count=len(requests)))
    return 0


def _job_line(job: Job) -> str:
    marks = [f"{job.done}/{job.total}"]
    for count, word in ((job.running, tr("running")), (job.failed, tr("failed")), (job.cancelled, tr("cancelled"))):
        if count:
            marks.append(f"{word} {count}")
    if job.paused:
        marks.append(tr("paused"))
    return f"{job.id:>5}  {job.name[:40]:<40}  {', '.join(marks)}"


def _list(args: argparse.Namespace, ledger: Ledger) -> int:
    if args.json:
        limit, offset, left = 500, args.offset, args.limit if args.limit is not None else 10**9
        while left > 0 and (rows := ledger.page(offset=offset, limit=min(limit, left), state=args.state)):
            for row in rows:
                print(json.dumps(row.to_json(), ensure_ascii=False))
            offset, left = offset + len(rows), left - len(rows)
        return 0
    paused, error = ledger.paused()
    for job in ledger.jobs():
        if args.state is None or getattr(job, args.state):
            print(_job_line(job))
    counts = ledger.counts()
    print(tr("{waiting} waiting, {running} running, {done} done, {failed} failed, {cancelled} cancelled", **counts))
    if paused:
        print(tr("Paused."))
        if error:
            complain(from_wire(error))
    return 0


def _show(args: argparse.Namespace, ledger: Ledger) -> int:
    job = ledger.job(args.job)
    if not args.json:
        print(_job_line(job))
    offset = 0
    while rows := ledger.page(offset=offset, limit=500, job=job.id):
        for row in rows:
            if args.json:
                print(json.dumps(row.to_json(), ensure_ascii=False))
            else:
                what = row.path or (tr(row.error["message"]) if row.error else "")
                print(f"{row.id:>8}  {tr(row.state):<10}  {row.request.prompt[:40]}  {row.request.seed}  {what}")
        offset += len(rows)
    return 0


def _which(args: argparse.Namespace, ledger: Ledger) -> list[int] | None:
    """The selected jobs; None for all.

    Raises:
        UnknownJob; UsageError: neither jobs nor --all.
    """
    if args.all:
        return None
    if not args.jobs:
        raise UsageError(why=Phrase("Say which jobs, or --all"))
    for job in args.jobs:
        ledger.job(job)
    return list(args.jobs)


def _pause(args: argparse.Namespace, ledger: Ledger) -> int:
    ledger.pause(_which(args, ledger), True)
    return 0


def _resume(args: argparse.Namespace, ledger: Ledger) -> int:
    ledger.pause(_which(args, ledger), False)
    if ledger.paused()[0]:
        print("commonart: " + tr("The whole queue is paused: `commonart queue resume --all` goes on."), file=sys.stderr)
    return 0


def _cancel(args: argparse.Namespace, ledger: Ledger) -> int:
    print(
        tr(
            "{count} image(s) cancelled.",
            count=ledger.set_state(_which(args, ledger), ("waiting", "running"), "cancelled"),
        )
    )
    return 0


def _retry(args: argparse.Namespace, ledger: Ledger) -> int:
    print(
        tr(
            "{count} image(s) put back.",
            count=ledger.set_state(_which(args, ledger), ("failed", "cancelled"), "waiting"),
        )
    )
    return 0


def _edit(args: argparse.Namespace, ledger: Ledger) -> int:
    changes = settings_from(args)
    if len(args.prompts) > 1 or args.file or args.count != 1:
        raise UsageError(why=Phrase("A job's images can get one new prompt, and other settings; not more images"))
    if args.out is not None:
        changes["out"] = str(ready_folder(args.out))
    if not changes and not args.prompts and args.seed is None:
        if args.priority is None:
            raise UsageError(why=Phrase("Say what to change"))
        ledger.prioritise(args.job, args.priority)
        return 0
    folders = [f for f in (*args.wildcards, home() / "wildcards") if f.is_dir()]
    first = fixed_seed(args.seed)

    def change(number: int, old: ImageRequest) -> dict[str, Any]:
        seed = old.seed if args.seed is None else random_seed() if first is None else first + number
        new = changes | {"seed": seed}
        if args.prompts:  # random choices anew for each image, by its seed
            drawn = next(iter(expand(args.prompts[0], count=1, seed=seed, wildcards=folders, encoding=args.encoding)))
            new |= {
                "prompt": drawn.text,
                "template": args.prompts[0] if drawn.text != args.prompts[0] else "",
                "draw": list(drawn.draw),
            }
        return new

    print(tr("{count} waiting image(s) changed.", count=ledger.edit(args.job, change, args.priority)))
    return 0


def _move(args: argparse.Namespace, ledger: Ledger) -> int:
    if args.before == args.job:
        raise BadValue(name="before", value=args.before, why=Phrase("it is the job itself"))
    ledger.move(args.job, args.before)
    return 0


def _export(args: argparse.Namespace, ledger: Ledger) -> int:
    print(tr("{count} row(s) written to {path}.", count=export_rows(ledger, args.file), path=args.file))
    return 0


def _import(args: argparse.Namespace, ledger: Ledger) -> int:
    out = str(ready_folder(args.out or Path(load_settings().out)))
    models = {k: v for k in ("model", "text_encoder", "vae") if (v := folder_of(getattr(args, k)))}
    jobs, errors = import_rows(ledger, args.file, out, models, skip_bad=args.skip_bad)
    for error in errors:
        complain(error)
    if errors and not args.skip_bad:
        return 2
    for job, count in jobs.items():
        print(tr("Job {job}: {count} image(s) added.", job=job, count=count))
    return 0


def _clear(args: argparse.Namespace, ledger: Ledger) -> int:
    states = [s for s in ("done", "failed", "cancelled") if getattr(args, s)]
    if not states:
        raise UsageError(why=Phrase("Say what to clear: --done, --failed or --cancelled"))
    print(tr("{count} row(s) taken off the list; the images stay on disk.", count=ledger.clear(states)))
    return 0
