"""``commonart models``: installed models, whether they are complete, and converting pickles to safetensors."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli import complain
from commonart_desktop.cli.pictures import folder_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from engine.contract.errors import Phrase, UsageError, from_wire


def add(subparsers: Any) -> None:
    """Declare the command and its own commands."""
    parser = subparsers.add_parser(
        "models", help=tr("the models on this machine"), description=tr("The models on this machine.")
    )
    commands = parser.add_subparsers(dest="models_command", required=True, metavar=tr("COMMAND"))
    for name, text, does in (
        ("list", tr("the models that are found without being told"), _list),
        ("info", tr("licence, sizes, hashes, and what fits this machine"), _info),
        ("verify", tr("read every number and check it"), _verify),
        ("convert", tr("turn pickled weights into safetensors"), _convert),
    ):
        one = commands.add_parser(name, help=text, description=text)
        if name == "convert":
            one.add_argument("model", metavar="FOLDER")
            one.add_argument("--yes", action="store_true", help=tr("do not ask"))
        elif name != "list":
            one.add_argument("model", metavar="NAME|FOLDER")
            one.add_argument(
                "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
            )
            one.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
        one.add_argument("--json", action="store_true")
        one.set_defaults(run=does)
    text = tr("fetch a model from the Hugging Face hub; the only command that uses the network")
    one = commands.add_parser("get", help=text, description=text)
    one.add_argument("repo", metavar="REPO", help=tr("such as aipicasso/commonart-beta"))
    one.add_argument("--revision", metavar="NAME", default="main", help=tr("a branch, tag or commit"))
    one.add_argument("--endpoint", metavar="URL", help=tr("another hub's address (or HF_ENDPOINT)"))
    one.add_argument("--proxy", metavar="URL", help=tr("the proxy to go through (or HTTPS_PROXY)"))
    one.add_argument(
        "--allow-pickles",
        action="store_true",
        help=tr("also fetch weights that are there only pickled, to convert them afterwards"),
    )
    one.add_argument("--dry-run", action="store_true", help=tr("only show licence, files and sizes"))
    one.add_argument("--yes", action="store_true", help=tr("do not ask"))
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=_get)


def _size(count: float | None) -> str:
    """Bytes in readable form."""
    if count is None:
        return "?"
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _list(args: argparse.Namespace) -> int:
    models = program("engine.checkpoint", ["list"])["models"]
    if args.json:
        print(json.dumps(models, ensure_ascii=False, indent=1))
        return 0
    sources = {"bundled": tr("bundled"), "home": tr("your folder"), "hub-cache": tr("Hugging Face cache")}
    for model in models:
        print(f"{model['name']}  ({sources[model['source']]})\n    {model['path']}")
        if model.get("problem"):
            complain(from_wire(model["problem"]))
    if not models:
        print(tr("No model was found."))
    return 0


def _asked(args: argparse.Namespace, what: str, *, bar: str = "") -> dict[str, Any]:
    arguments = [what, folder_of(args.model) or args.model]
    for option in ("text_encoder", "vae"):
        if getattr(args, option, None):
            arguments += ["--" + option.replace("_", "-"), folder_of(getattr(args, option)) or ""]
    if not bar:
        return program("engine.checkpoint", arguments)
    with tqdm(unit="B", unit_scale=True, desc=bar, file=sys.stderr) as shown:

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        return program("engine.checkpoint", arguments, on_progress=on_progress)


def _info(args: argparse.Namespace) -> int:
    info = _asked(args, "info")
    if args.json:
        print(json.dumps({k: v for k, v in info.items() if k != "ok"}, ensure_ascii=False, indent=1))
        return 0
    print(f"{info['name']}\n    {info['root']}")
    print(
        tr(
            "native size {side} px, sides in multiples of {multiple}, captions up to {tokens} tokens",
            side=info["own_side"],
            multiple=info["multiple"],
            tokens=info["max_tokens"],
        )
    )
    for name, part in info["parts"].items():
        if "bytes" not in part:
            continue
        told = [_size(part["bytes"])]
        if part.get("parameters"):
            told += [part["dtype"], f"{part['parameters'] / 1e6:.1f} M"]
        print(f"{name}: {', '.join(told)}\n    {part['folder']}")
        if part["sha256"]:
            print(f"    SHA-256 {part['sha256']}")
        if part.get("problem"):
            complain(from_wire(part["problem"]))
    for licence in info["licences"]:
        print(tr("licence: {licence} ({parts})", licence=licence["licence"], parts=", ".join(licence["parts"])))
    if not info["licences"]:
        print(tr("no licence found"))
    words = {True: tr("fits"), False: tr("does not fit"), None: "–"}
    for dtype in [d for d in ("fp32", "bf16", "fp16") if d in (info["memory"] or {})]:
        need = info["memory"][dtype]
        print(
            tr(
                "{dtype}: about {need}; memory: {ram}, graphics card: {gpu}",
                dtype=dtype,
                need=_size(need["total"]),
                ram=words[need["fits_ram"]],
                gpu=words[need["fits_gpu"]],
            )
        )
    return 0


def _verify(args: argparse.Namespace) -> int:
    answer = _asked(args, "verify", bar=tr("checking"))
    if args.json:
        print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))
    else:
        for file in answer["files"]:
            print(f"✓ {file['path']}  {file['sha256']}")
        print(tr("All is whole."))
    return 0


def _convert(args: argparse.Namespace) -> int:
    question = tr(
        "{folder} holds pickled weights. They are read without running anything in them, and written beside as "
        "safetensors. Go on? [y/N]",
        folder=args.model,
    )
    if not args.yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(why=Phrase("Converting pickled weights needs your consent: say --yes"))
        print(question, end=" ", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "はい"):
            print(tr("Nothing was done."), file=sys.stderr)
            return 1
    answer = _asked(args, "convert", bar=tr("converting"))
    if args.json:
        print(json.dumps({"written": answer["written"]}, ensure_ascii=False))
    else:
        for path in answer["written"]:
            print(path)
        if not answer["written"]:
            print(tr("There was nothing to convert."))
    return 0


def _show_offer(offer: dict[str, Any]) -> None:
    """Print what would be downloaded: licence first."""
    print(f"{offer['repo']}  ({offer['endpoint']}, {offer['commit'][:12]})", file=sys.stderr)
    print(
        tr("licence: {licence} ({parts})", licence=offer["licence"], parts=offer["repo"])
        if offer["licence"]
        else tr("no licence found"),
        file=sys.stderr,
    )
    for file in offer["files"]:
        print(f"    {file['path']}  {_size(file['bytes'])}", file=sys.stderr)
    for file in offer["skipped"]:
        print(
            tr(
                "    not fetched: {path} ({why})",
                path=file["path"],
                why=tr(file["why"]["template"], **file["why"]["fields"]),
            ),
            file=sys.stderr,
        )
    print(
        tr("{size} in all, {left} still to fetch", size=_size(offer["bytes"]), left=_size(offer["left"])),
        file=sys.stderr,
    )


def _get(args: argparse.Namespace) -> int:
    arguments = ["get", args.repo, "--revision", args.revision, *(["--allow-pickles"] if args.allow_pickles else [])]
    for name in ("endpoint", "proxy"):
        if getattr(args, name):
            arguments += [f"--{name}", getattr(args, name)]
    answer = program("engine.checkpoint", [*arguments, "--dry-run"], online=True)
    if not args.json:
        _show_offer(answer)
    if not args.dry_run:
        if not args.yes:
            if sys.stdin is None or not sys.stdin.isatty():
                raise UsageError(why=Phrase("Fetching a model needs your consent: say --yes"))
            print(tr("Fetch it? [y/N]"), end=" ", file=sys.stderr, flush=True)
            if sys.stdin.readline().strip().lower() not in ("y", "yes", "はい"):
                print(tr("Nothing was done."), file=sys.stderr)
                return 1
        arguments += ["--expect", answer["commit"]]  # download exactly what was shown
        with tqdm(unit="B", unit_scale=True, desc=tr("fetching"), file=sys.stderr) as shown:

            def on_progress(done: int, total: int) -> None:
                shown.total = total
                shown.update(done - shown.n)

            answer = program("engine.checkpoint", arguments, on_progress=on_progress, online=True)
    if args.json:
        print(json.dumps({k: v for k, v in answer.items() if k != "ok"}, ensure_ascii=False, indent=1))
    elif answer["path"]:
        print(answer["path"])
    return 0
