"""``commonart doctor``: what is installed, what will be used, and how to get what is missing."""

from __future__ import annotations

import argparse
import json
from typing import Any

from commonart_desktop.cli.pictures import folder_of
from commonart_desktop.core.display import what_is_missing
from commonart_desktop.core.i18n import say, sentence, tr
from commonart_desktop.core.process import program
from commonart_desktop.core.settings import read_settings, settings_path
from engine.contract.errors import CommonArtError, Phrase


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
    """A phrase sent by the engine's programs, in the user's language."""
    return tr(text["template"], **text["fields"]) if isinstance(text, dict) else str(text)


def _line(name: str, title: Phrase, state: str, value: str | None, advice: str | None) -> dict[str, Any]:
    """A check in the form of the engine's program."""
    shown = {"template": title.template, "fields": title.fields}
    return {"id": name, "name": shown, "state": state, "value": value, "advice": advice}


def _told_error(error: CommonArtError) -> str:
    text, hint = sentence(error)
    return tr("{what}. {advice}", what=text, advice=hint) if hint else text


def _settings() -> dict[str, Any]:
    """Whether the settings file can be read: generating images fails otherwise."""
    read = read_settings()
    remark = read.remark()
    advice = _told_error(read.errors[0]) if read.errors else say(remark) if remark else None
    state = "missing" if read.errors else "warning" if remark else "ok"
    return _line("settings", Phrase("Settings file"), state, str(settings_path()), advice)


def _display() -> dict[str, Any]:
    """Whether the window can open here."""
    missing = what_is_missing()
    if missing is None:
        return _line("display", Phrase("Display"), "ok", None, None)
    return _line("display", Phrase("Display"), "warning", None, _told_error(missing))


def run(args: argparse.Namespace) -> int:
    """Print; 1 if something needed is missing."""
    checks = program("engine.doctor", ["--model", folder_of(args.model) or args.model] if args.model else [])["checks"]
    checks += [_settings(), _display()]
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
