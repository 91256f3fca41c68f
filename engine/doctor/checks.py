"""One check of the report, as data.

States: ``ok``; ``warning``, images can be generated but something is worth knowing; ``missing``, something needed is
absent or broken. ``name`` and ``advice`` are Phrases as data; ``value`` is the same in every language, and null if
there is none.
"""

from __future__ import annotations

from typing import Any

from engine.contract.errors import Phrase
from engine.system.json_program import phrase

Check = dict[str, Any]


def make_check(name: str, title: Phrase, state: str, value: str | None, advice: Phrase | None = None) -> Check:
    """A check as it is sent: ``name`` is its id, ``title`` what a person reads."""
    return {
        "id": name,
        "name": phrase(title),
        "state": state,
        "value": value,
        "advice": None if advice is None else phrase(advice),
    }


def format_bytes(n: int) -> str:
    """Bytes for a person: 1.5 GiB."""
    power = min(max(n.bit_length() - 1, 0) // 10, 4)
    return f"{n} B" if power == 0 else f"{n / 1024**power:.1f} {' KMGT'[power]}iB"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters; its class if it has no text."""
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
