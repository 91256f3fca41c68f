"""What the licence check's rules, a run's states and its phases are called."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, QLocale

from commonart_desktop.core.i18n import tr

_RULES = {
    "licence-missing": QT_TRANSLATE_NOOP("train", "no licence"),
    "licence-unreadable": QT_TRANSLATE_NOOP("train", "unreadable licence"),
    "licence": QT_TRANSLATE_NOOP("train", "licence not allowed"),
    "attribution": QT_TRANSLATE_NOOP("train", "attribution incomplete"),
    "licence-url-differs": QT_TRANSLATE_NOOP("train", "licence address differs"),
    "licence-in-file-differs": QT_TRANSLATE_NOOP("train", "file names another licence"),
    "licence-statements-differ": QT_TRANSLATE_NOOP("train", "licence stated differently"),
    "licence-statement-unknown": QT_TRANSLATE_NOOP("train", "statement not understood"),
    "licence-decided": QT_TRANSLATE_NOOP("train", "licence given by hand"),
    "hash-missing": QT_TRANSLATE_NOOP("train", "no hash recorded"),
    "hash-differs": QT_TRANSLATE_NOOP("train", "file was altered"),
    "no-picture": QT_TRANSLATE_NOOP("train", "picture missing"),
    "no-row": QT_TRANSLATE_NOOP("train", "picture without record"),
    "two-rows": QT_TRANSLATE_NOOP("train", "two records"),
    "bad-row": QT_TRANSLATE_NOOP("train", "unreadable record"),
    "picture": QT_TRANSLATE_NOOP("train", "unreadable picture"),
    "empty": QT_TRANSLATE_NOOP("train", "no pictures"),
    "two-licences": QT_TRANSLATE_NOOP("train", "two licences"),
    "near-duplicate-other-licence": QT_TRANSLATE_NOOP("train", "look-alike, other licence"),
    "near-duplicate": QT_TRANSLATE_NOOP("train", "look-alike"),
    "same-picture": QT_TRANSLATE_NOOP("train", "same picture twice"),
    "training-forbidden": QT_TRANSLATE_NOOP("train", "training forbidden"),
    "training-constrained": QT_TRANSLATE_NOOP("train", "training with conditions"),
    "ai-made": QT_TRANSLATE_NOOP("train", "made by AI"),
    "caption-empty": QT_TRANSLATE_NOOP("train", "no caption"),
    "caption-long": QT_TRANSLATE_NOOP("train", "caption too long"),
    "caption-control": QT_TRANSLATE_NOOP("train", "control characters"),
    "one-creator": QT_TRANSLATE_NOOP("train", "mostly one creator"),
    "unreadable-provenance": QT_TRANSLATE_NOOP("train", "damaged provenance"),
}
_STATES = {
    "draft": ("waiting", QT_TRANSLATE_NOOP("train", "prepared")),
    "waiting": ("waiting", QT_TRANSLATE_NOOP("train", "waiting")),
    "running": ("running", QT_TRANSLATE_NOOP("train", "running")),
    "paused": ("pause", QT_TRANSLATE_NOOP("train", "paused")),
    "done": ("done", QT_TRANSLATE_NOOP("train", "done")),
    "stopped": ("cancelled", QT_TRANSLATE_NOOP("train", "stopped")),
    "failed": ("failed", QT_TRANSLATE_NOOP("train", "failed")),
    "broken-off": ("failed", QT_TRANSLATE_NOOP("train", "broken off")),
}
_PHASES = {
    "": QT_TRANSLATE_NOOP("train", "Starting"),
    "gate": QT_TRANSLATE_NOOP("train", "Checking the licences"),
    "latents": QT_TRANSLATE_NOOP("train", "Encoding the pictures"),
    "captions": QT_TRANSLATE_NOOP("train", "Encoding the captions"),
    "learning": QT_TRANSLATE_NOOP("train", "Learning"),
}


def _say(text: str) -> str:
    return QCoreApplication.translate("train", text)


def rule_word(rule: str) -> str:
    """A rule of the gate in a few words; one not known here under its own name."""
    return _say(_RULES[rule]) if rule in _RULES else rule


def state_word(state: str) -> str:
    return _say(_STATES[state][1])


def state_icon(state: str) -> str:
    """The icon's name: states differ by shape."""
    return _STATES[state][0]


def phase_word(phase: str) -> str:
    return _say(_PHASES.get(phase, _PHASES[""]))


def why(data: dict[str, Any]) -> str:
    """A sentence sent as template and fields, in the user's language."""
    fields = {
        k: tr(v["template"], **v["fields"]) if isinstance(v, dict) and "template" in v else v
        for k, v in data["fields"].items()
    }
    try:
        return tr(data["template"], **fields)
    except (KeyError, IndexError, ValueError):
        return str(data["template"])


def duration(seconds: float) -> str:
    """``12 m``, ``1 h 05 m``."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return QCoreApplication.translate("train", "{count} s").format(count=max(1, round(seconds)))
    if minutes < 60:
        return QCoreApplication.translate("train", "{count} m").format(count=minutes)
    return QCoreApplication.translate("train", "{hours} h {minutes} m").format(
        hours=minutes // 60, minutes=f"{minutes % 60:02d}"
    )


def number(value: float) -> str:
    return QLocale().toString(round(value))
