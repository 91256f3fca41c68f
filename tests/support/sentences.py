"""Every English sentence of the program, gathered from its source: what the translations must cover."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from pathlib import Path

import engine.contract.events  # noqa: F401  (its error belongs to the tree)
from engine.contract.errors import CommonArtError, tree
from engine.contract.ledger.schema import STATES
from tests.support.paths import ROOT


def collect() -> set[str]:
    """``tr("...")``, ``Phrase("...")``, notes, templates of errors, states, and argparse's own words."""
    found = {
        t
        for cls in tree(CommonArtError).values()
        for t in (cls.message, cls.hint)
        if t and t not in ("{why}", "{remedy}")
    }
    found |= set(STATES)
    for folder in ("commonart_desktop", "engine", "trainer"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    found |= _of_call(node, file)
    return found | _argparse()


def _of_call(node: ast.Call, file: Path) -> set[str]:
    name = (
        node.func.id
        if isinstance(node.func, ast.Name)
        else node.func.attr
        if isinstance(node.func, ast.Attribute)
        else ""
    )
    if (
        isinstance(node.func, ast.Attribute)
        and name == "tr"
        and not (isinstance(node.func.value, ast.Name) and node.func.value.id == "i18n")
    ):
        return set()  # Qt's own tr: resources/translations/commonart_ja.ts, see tests/gui/test_translations_qt.py
    if name in ("tr", "Phrase", "_note", "note") and node.args:
        texts = _strings(node.args[0])
        if texts is None and name == "Phrase" and not _passed_on(node.args[0]):
            raise AssertionError(f"{file}:{node.lineno}: the text of a Phrase must stand there in full")
        return texts or set()
    if name == "Note":
        return {k.value.value for k in node.keywords if k.arg == "template" and isinstance(k.value, ast.Constant)}
    return set()


def _passed_on(node: ast.expr) -> bool:
    """A template that comes from elsewhere: an error's message, or one read from the wire."""
    return isinstance(node, (ast.Attribute, ast.Subscript, ast.Name))


def _strings(node: ast.expr) -> set[str] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        a, b = _strings(node.body), _strings(node.orelse)
        return (a or set()) | (b or set()) if a or b else None
    return None


def _argparse() -> set[str]:
    """The sentences that argparse passes through gettext, of the Python that runs this."""
    texts: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(argparse))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            texts |= _strings(node.args[0]) or set()
    wanted = {
        "usage: ",
        "options",
        "positional arguments",
        "show this help message and exit",
        "show program's version number and exit",
        "unrecognized arguments: %s",
        "the following arguments are required: %s",
        "%(prog)s: error: %(message)s\n",
        "argument %(argument_name)s: %(message)s",
        "expected one argument",
        "expected at least one argument",
        "invalid choice: %(value)r (choose from %(choices)s)",
        "invalid %(type)s value: %(value)r",
        "not allowed with argument %s",
        "one of the arguments %s is required",
    }
    return wanted & texts


def fields(template: str) -> list[str]:
    """The places of a template, in no order."""
    return sorted(
        re.findall(r"\{(\w+)(?:![rs])?(?::[^}]*)?\}|%\((\w+)\)", template.replace("{{", "").replace("}}", ""))
    )


if __name__ == "__main__":
    for text in sorted(collect()):
        print(repr(text))
