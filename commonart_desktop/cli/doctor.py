"""``commonart doctor``: what is installed, what will be used, what is missing and how to get it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from commonart_desktop.cli.pictures import folder_of
from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "doctor",
        help=tr("what is installed and what will be used"),
        description=tr("Tell what is installed, which device will be used, and what is missing."),
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FOLDER",
        help=tr("tell how this model fits into memory; the largest one here if not given"),
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(run=run)


def _told(text: Any) -> str:
    """A phrase as the engine's programs send it, in the user's language."""
    return tr(text["template"], **text["fields"]) if isinstance(text, dict) else str(text)


def run(args: argparse.Namespace) -> int:
    """Print; 1 if something needed is missing."""
    checks = program("engine.doctor", ["--model", folder_of(args.model) or args.model] if args.model else [])["checks"]
    if args.json:
        print(json.dumps(checks, ensure_ascii=False, indent=1))
    else:
        marks = {"ok": "✓", "warning": "!", "missing": "✗"}
        for check in checks:
            value = "–" if check["value"] is None else _told(check["value"])
            print(f"{marks[check['state']]} {_told(check['name'])}: {value}")
            if check.get("advice"):
                print(f"    {_told(check['advice'])}")
    return 1 if any(c["state"] == "missing" for c in checks) else 0
