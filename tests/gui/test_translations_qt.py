"""The window's Japanese covers every text of the window, and the shipped ``.qm`` is that of the ``.ts``."""

from __future__ import annotations

import ast
import re
import string
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PySide6.QtCore import QTranslator

from tests.support.sentences import ROOT, fields

TS = ROOT / "resources" / "translations" / "commonart_ja.ts"
SAME = {"VAE"}  # words that Japanese writes in Latin letters


def messages(file: Path) -> dict[tuple[str, str], ElementTree.Element]:
    """(context, English) -> its translation."""
    found = {}
    for context in ElementTree.parse(file).getroot().iter("context"):
        name = context.findtext("name") or ""
        for message in context.iter("message"):
            translation = message.find("translation")
            assert translation is not None
            found[name, message.findtext("source") or ""] = translation
    return found


def test_every_text_of_the_window_is_in_it(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("pyside6-lupdate")
    if not tool.exists():
        pytest.skip("lupdate is not installed")
    fresh = tmp_path / "fresh.ts"
    files = sorted(str(p) for p in (ROOT / "commonart_desktop" / "gui").rglob("*.py"))
    subprocess.run(
        [tool, "-extensions", "py", "-source-language", "en", "-target-language", "ja", *files, "-ts", fresh],
        check=True,
        capture_output=True,
    )
    wanted, there = set(messages(fresh)), set(messages(TS))
    assert sorted(wanted - there) == [], "run `make translations` and fill in what is unfinished"
    assert sorted(there - wanted) == [], "run `make translations`"


def test_nothing_is_unfinished() -> None:
    assert [key for key, t in messages(TS).items() if t.get("type") == "unfinished" or not t.text] == []


def test_places_and_letters() -> None:
    for (_, english), translation in messages(TS).items():
        japanese = translation.text or ""
        assert fields(japanese) == fields(english), english
        assert english in SAME or any(ord(c) > 0x2FFF for c in japanese) or not re.search(r"[a-z]{2}", english), english


def test_the_shipped_file_is_up_to_date() -> None:
    translator = QTranslator()
    assert translator.load(str(TS.with_suffix(".qm")))
    for (context, english), translation in messages(TS).items():
        assert translator.translate(context, english) == translation.text, english


def test_every_sentence_is_formatted_with_its_own_fields() -> None:
    """``self.tr("{count} left").format(counts=...)`` would fail only when it is shown."""
    wrong = []
    for file in sorted((ROOT / "commonart_desktop" / "gui").rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "format"):
                continue
            text = call.func.value
            if not (isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute) and text.args):
                continue
            template = text.args[-1]
            if text.func.attr not in ("tr", "translate") or not isinstance(template, ast.Constant):
                continue
            wanted = {name for _, name, _, _ in string.Formatter().parse(str(template.value)) if name is not None}
            given = {keyword.arg for keyword in call.keywords}
            if None not in given and wanted != given:
                wrong.append(f"{file.name}, line {call.lineno}: {sorted(wanted)} and {sorted(map(str, given))}")
    assert wrong == []
