"""Translations of the command line, core and engine: English templates are the keys of
``resources/translations/ja/*.json``.
"""

from __future__ import annotations

import json
import locale
import os
import re
from functools import cache
from typing import Any

from commonart_desktop.core.settings import read_settings
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import resources

LANGUAGES = ("en", "ja")
_NOT_SHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)  # including bidirectional controls


@cache
def language() -> str:
    """``COMMONART_LANG``, else the settings, else the system's. Never raises: errors are shown in it."""
    for wanted in (os.environ.get("COMMONART_LANG"), read_settings().settings.language, _system()):
        if wanted and wanted[:2].lower() in LANGUAGES:
            return wanted[:2].lower()
    return "en"


def _system() -> str:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return os.environ[name]
    try:
        found = (locale.getlocale()[0] or "").lower()
    except ValueError:  # a locale unknown to Python, such as macOS's UTF-8
        found = ""
    return "ja" if found.startswith("japan") else found  # Windows says Japanese_Japan


@cache
def catalogue(lang: str) -> dict[str, str]:
    """English template -> template in ``lang``; empty for English."""
    if lang == "en":
        return {}
    found: dict[str, str] = {}
    for file in sorted((resources() / "translations" / lang).glob("*.json")):  # one per part of the program
        found |= json.loads(file.read_text(encoding="utf-8"))
    return found


def tr(template: str, /, **fields: Any) -> str:
    """The sentence in the user's language with its fields filled in; fields that are phrases are translated too."""
    told = {k: say(v) if isinstance(v, Phrase) else v for k, v in fields.items()}
    text = catalogue(language()).get(template, template)
    return text.format(**told) if told else text


def say(phrase: Phrase) -> str:
    """A part of a sentence in the user's language."""
    return tr(phrase.template, **phrase.fields)


def sentence(error: CommonArtError) -> tuple[str, str]:
    """What happened and why, and what to do (may be empty), in the user's language.

    It may quote files of others: control characters, which a terminal would interpret, are replaced.
    """
    fields = error.fields or {"why": str(error)}
    hint = tr(error.hint, **fields) if error.hint else ""
    return printable(tr(error.message, **fields)), printable(hint)


def printable(text: str) -> str:
    """Text that may quote a file, without the control characters that a terminal would interpret."""
    return _NOT_SHOWN.sub("\ufffd", text)
