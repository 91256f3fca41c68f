"""What README.md and docs/ tell people to type: each line is understood by the real command line, and the first pages'
are run in earnest.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from commonart_desktop.cli import COMMANDS, command_line
from engine.contract.errors import CommonArtError
from tests.support.console import script
from tests.support.paths import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("commonart", "make", "python", "pip")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(?:\|[A-Z_]+)*")


class Line(NamedTuple):
    """A command as it stands in a document."""

    document: str
    section: str
    text: str
    fenced: bool  # else inline, where a command's bare name may be meant

    @property
    def words(self) -> list[str]:
        """As a shell would have them, without the signs of a manual (``[...]``, ``...``)."""
        plain = re.sub(r"\[(--?[^\[\]]*)\]", r"\1", self.text).replace("...", "").replace("…", "")
        return shlex.split(plain, comments=True)


def lines() -> Iterator[Line]:
    """Every command of every document."""
    for document in DOCUMENTS:
        section, fence, prose = "", False, ""
        for row in document.read_text(encoding="utf-8").splitlines():
            if row.startswith("```"):
                fence = not fence
            elif fence:
                text = re.sub(r"^\.venv\\Scripts\\", "", row.strip())
                if text.split(" ")[0] in PROGRAMS and " " in text:
                    yield Line(document.name, section, text, True)
            else:
                if row.startswith("## "):
                    section = row[3:]
                prose += f"\n{row}" if row else "\n\n"
        for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
            text = " ".join(span.split())
            if text.split(" ")[0] in PROGRAMS and " " in text and "\n\n" not in span:
                yield Line(document.name, "", text, False)


ALL = list(lines())


def of(program: str) -> list[Line]:
    return [line for line in ALL if line.text.startswith(f"{program} ")]


def test_the_documents_are_read() -> None:
    """Else the tests below would pass for nothing."""
    assert len(of("commonart")) > 60 and len(of("make")) > 5 and len(of("python")) > 20 and len(of("pip")) > 2
    assert any(line.fenced for line in ALL) and any(not line.fenced for line in ALL)


# the command line -------------------------------------------------------------------------------------------------


@cache
def parser() -> argparse.ArgumentParser:
    return command_line()


def commands_of(one: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Its sub-commands."""
    found = [a for a in one._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def filled_in(words: list[str]) -> list[str]:
    """N, GB and the like as something that the option before it takes."""
    one, rest, options = parser(), list(words), {}
    while rest and rest[0] in commands_of(one):
        one = commands_of(one)[rest.pop(0)]
    options = {name: action for action in one._actions for name in action.option_strings}
    done = words[: len(words) - len(rest)]
    for before, word in zip(["", *rest], rest, strict=False):
        action = options.get(before)
        if action is not None and PLACEHOLDER.fullmatch(word):
            word = str(next(iter(action.choices))) if action.choices else "1" if action.type in (int, float) else word
        done.append(word)
    return done


def fault(words: list[str], capsys: pytest.CaptureFixture[str], *, bare: bool) -> str:
    """What the real parser says against it; with ``bare`` a command's name alone is right too."""
    one, rest = parser(), list(words)
    while rest and rest[0] in commands_of(one):
        one = commands_of(one)[rest.pop(0)]
    if bare and not rest and one is not parser():
        return ""
    try:
        parser().parse_args(filled_in(words))
    except CommonArtError as e:
        return str(e)
    except SystemExit as e:
        told = capsys.readouterr().err.strip().splitlines()
        return told[-1] if e.code else ""
    return ""


@pytest.mark.parametrize("line", of("commonart"), ids=lambda line: f"{line.document}: {line.text[:60]}")
def test_commands_and_options_exist(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    assert fault(line.words[1:], capsys, bare=not line.fenced) == ""


def test_what_does_not_exist_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("guii", "queue lst", "generate x --stesp 3", "export a", "generate x --steps many"):
        assert fault(shlex.split(text), capsys, bare=True), text
    assert not fault(["queue", "list"], capsys, bare=False) and not fault(["export"], capsys, bare=True)


def test_every_command_has_a_line_in_the_readme() -> None:
    there = {line.words[1] for line in of("commonart") if line.document == "README.md"}
    assert set(COMMANDS) <= there, set(COMMANDS) - there


# make, modules and extras -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", of("make"), ids=lambda line: f"{line.document}: {line.text[:60]}")
def test_targets_exist(line: Line) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert line.words[1] in targets


def ours(lines: list[Line]) -> list[Line]:
    """Programs of this repository, by module or by file."""
    return [line for line in lines if len(line.words) > 1 and line.words[1:] != ["-m"] and line.words[2] != "pip"]


def source_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.removesuffix(".py").replace("/", ".").split("."))
    return next((p for p in (place / "__main__.py", place.with_suffix(".py")) if p.is_file()), None)


def options_of(file: Path) -> set[str]:
    """Options declared in a program and in the modules of ours that it imports."""
    files, found = [file], set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            places = [ROOT.joinpath(*name.split(".")) for name in names]
            files += [p for q in places for p in (q.with_suffix(".py"), q / "__init__.py") if p.is_file()]
    for one in files:
        for node in ast.walk(ast.parse(one.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
                found |= {str(a.value) for a in node.args if isinstance(a, ast.Constant)}
    return found


@pytest.mark.parametrize("line", ours(of("python")), ids=lambda line: f"{line.document}: {line.text[:60]}")
def test_modules_and_their_options_exist(line: Line) -> None:
    words = line.words[1:] if line.words[1] != "-m" else line.words[2:]
    for module in [words[0], *(after for sign, after in pairwise(words) if sign == "|")]:
        file = source_of(module)
        assert file is not None, f"there is no module {module}"
        wanted = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert wanted <= options_of(file), wanted - options_of(file)


@pytest.mark.parametrize("line", of("pip"), ids=lambda line: f"{line.document}: {line.text[:60]}")
def test_extras_exist(line: Line) -> None:
    there = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extras in re.findall(r"commonart-desktop\[([\w,]+)\]", line.text):
        assert set(extras.split(",")) <= set(there)


# in earnest -------------------------------------------------------------------------------------------------------


class Person:
    """Somebody who types what the README says, in a folder of their own, with the bundled model."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "work"
        self.folder.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"COMMONART_HOME": str(self.home), "COMMONART_LANG": "en"}

    def types(self, words: list[str]) -> str:
        done = subprocess.run(
            [script(words[0]) if words[0] == "commonart" else words[0], *words[1:]],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=280,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def types_and_interrupts(self, words: list[str]) -> None:
        """What goes on until Ctrl+C."""
        process = subprocess.Popen(
            [script(words[0]), *words[1:]],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        try:
            time.sleep(4)
            assert process.poll() is None, process.communicate()[0]
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=120)[0]
        finally:
            process.kill()
            process.communicate()
        assert process.returncode in (0, 130) and "Traceback" not in told, told


def readme(section: str) -> list[list[str]]:
    found = [line.words for line in ALL if line.document == "README.md" and line.section == section and line.fenced]
    assert found, f"the README has no section {section} with commands"
    return found


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".webp"))


def test_try_it(person: Person) -> None:
    """``make demo`` by its recipe, with the first rows of its file; an installation there is already."""
    rows = (ROOT / "resources" / "demo.csv").read_text(encoding="utf-8-sig").splitlines()[:4]
    (person.folder / "resources").mkdir()
    (person.folder / "resources" / "demo.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for words in readme("Try it"):
        if words == ["make", "demo"]:
            recipe = re.search(
                r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
            )
            assert recipe is not None
            for command in recipe[1].strip().splitlines():
                typed = shlex.split(command.replace("$(BIN)/python", "python").replace("$(BIN)/", ""))
                typed = [n for w in typed for n in (sorted(map(str, person.folder.glob(w))) if "*" in w else [w])]
                person.types([sys.executable, *typed[1:]] if typed[0] == "python" else typed)
            assert (person.folder / "outputs" / "demo" / "contact-sheet.png").is_file()
            assert len(images(person.folder / "outputs" / "demo")) == 1 + len(rows) - 1
        elif words[0] == "commonart":
            before = len(images(person.folder))
            person.types(words)
            assert len(images(person.folder)) == before + 2


def test_the_window() -> None:
    """Opened in earnest by tests/gui/test_start.py, and on a real display by tests/gui/test_display.py."""
    assert readme("The window") == [["commonart", "gui"]]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_many_images(person: Person) -> None:
    """With the files that somebody would have."""
    (person.home / "wildcards").mkdir(parents=True)
    (person.home / "wildcards" / "place.txt").write_text("海\n山\n", encoding="utf-8")
    (person.folder / "prompts.csv").write_text("prompt,seed\nりんご,7\na red apple,\n", encoding="utf-8")
    (person.folder / "prompts.txt").write_text("花火\n", encoding="utf-8")
    for words in readme("Many pictures"):
        if "picture.png" in words and not (person.folder / "picture.png").exists():
            shutil.copy(next(p for p in images(person.folder) if p.suffix == ".png"), person.folder / "picture.png")
        before = len(images(person.folder))
        if words[1:3] == ["queue", "run"] and "--until-empty" not in words:
            person.types_and_interrupts(words)
            continue
        person.types(["exit" if w == "shutdown" else w for w in words])  # parsed as it stands above
        made = len(images(person.folder)) - before
        if words[1] == "show" or words[1:3] == ["queue", "add"]:
            assert made == 0, words
        else:
            assert made == 10 if words[1] == "queue" else made > 0, words


@pytest.mark.slow
def test_export(person: Person) -> None:
    for words in readme("Export to ONNX"):
        person.types(words)
    assert (person.folder / "mini-onnx" / "transformer" / "model.onnx").is_file()
    assert len(images(person.folder / "outputs")) == 1
