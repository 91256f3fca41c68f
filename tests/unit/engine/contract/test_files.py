"""Replacing files: complete or not at all, and patient with other programs that have them open."""

from __future__ import annotations

import ast
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract import files
from engine.contract.errors import DiskFull, OutputFile, Phrase
from engine.contract.files import ABANDONED, PART, rename, replacing
from engine.system import atomic

ROOT = Path(__file__).resolve().parents[4]
NO_DELAYS = tuple(0.0 for _ in files.DELAYS)


def busy(real: Callable[..., Any], winerror: int, times: int, calls: list[int]) -> Callable[..., Any]:
    """``real``, refused ``times`` times as Windows does."""

    def operation(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            error = PermissionError(errno.EACCES, "The process cannot access the file")
            error.winerror = winerror  # type: ignore[attr-defined,unused-ignore]  # only on Windows
            raise error
        return real(*arguments, **more)

    return operation


@pytest.mark.parametrize("winerror", files.BUSY)
def test_a_rename_waits_for_another_program(winerror: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(files, "DELAYS", NO_DELAYS)
    monkeypatch.setattr(os, "replace", busy(os.replace, winerror, 2, calls))
    (tmp_path / "a").write_bytes(b"old")
    with replacing(tmp_path / "a") as f:
        f.write(b"new")
    assert len(calls) == 3 and (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("winerror", files.BUSY)
def test_one_that_never_lets_go_is_one_sentence(winerror: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DELAYS", NO_DELAYS)
    monkeypatch.setattr(os, "replace", busy(os.replace, winerror, 10**6, []))
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputFile) as caught, replacing(tmp_path / "a") as f:
        f.write(b"new")
    why = "it is not permitted" if winerror == 5 else "another program has it open"
    assert str(caught.value) == f"{tmp_path / 'a'} cannot be written: {why}"
    assert isinstance(caught.value.fields["why"], Phrase) and caught.value.advice
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_what_is_not_permitted_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "rename", busy(os.rename, 19, 10**6, calls))  # ERROR_WRITE_PROTECT
    with pytest.raises(PermissionError):
        rename(tmp_path / "a", tmp_path / "b")
    assert len(calls) == 1


def test_folders_and_published_files_wait_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DELAYS", NO_DELAYS)
    calls: list[int] = []
    monkeypatch.setattr(os, "rename", busy(os.rename, 32, 2, calls))
    (tmp_path / "folder").mkdir()
    rename(tmp_path / "folder", tmp_path / "renamed")
    assert (tmp_path / "renamed").is_dir() and len(calls) == 3

    def no_links(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    calls.clear()
    monkeypatch.setattr(os, "link", no_links)
    part = atomic.write_aside(tmp_path, "row", b"data")
    atomic.publish(part, tmp_path / "image.png")
    assert (tmp_path / "image.png").read_bytes() == b"data" and len(calls) == 3


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as f:
        f.write(b"half")
        raise ZeroDivisionError
    with pytest.raises(DiskFull), replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "no space left on device")
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]
    with pytest.raises(OutputFile, match="there is no such file or folder"), replacing(tmp_path / "no" / "a"):
        pass


def test_several_writers_each_write_a_complete_file(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def write(letter: bytes) -> None:
        try:
            with replacing(tmp_path / "a", durable=False) as f:
                barrier.wait()
                f.write(letter * 100_000)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = (tmp_path / "a").read_bytes()
    assert not failures and len(data) == 100_000 and len(set(data)) == 1
    assert os.listdir(tmp_path) == ["a"]


def test_the_leftover_of_a_killed_process_goes_after_an_hour(tmp_path: Path) -> None:
    left = tmp_path / f".a{PART}"
    left.write_bytes(b"half")
    with replacing(tmp_path / "a") as f:
        f.write(b"new")
    assert left.read_bytes() == b"half"  # it could be another program's, which is writing now
    os.utime(left, (left.stat().st_atime, left.stat().st_mtime - ABANDONED - 60))
    with replacing(tmp_path / "a") as f:
        f.write(b"newer")
    assert (tmp_path / "a").read_bytes() == b"newer" and os.listdir(tmp_path) == ["a"]


def renames(tree: ast.AST) -> list[int]:
    """Lines that rename a file without ``engine.contract.files``: ``os.rename`` and the like, ``Path``'s methods."""
    lines = []
    for node in ast.walk(tree):
        names: set[tuple[str, str]] = set()
        if isinstance(node, ast.ImportFrom):
            names = {(node.module or "", a.name) for a in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = {(node.value.id, node.attr)}
        if names & {("os", "rename"), ("os", "renames"), ("os", "replace"), ("shutil", "move")}:
            lines.append(node.lineno)
        # the methods of Path take one argument, those of str and bytes two; QFile has its own ways to Windows
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
            owner = node.func.value.func if isinstance(node.func.value, ast.Call) else node.func.value
            other = isinstance(owner, ast.Name) and owner.id in ("dataclasses", "copy", "QFile")
            if node.func.attr in ("rename", "replace") and not node.keywords and not other:
                lines.append(node.lineno)
    return lines


def test_the_rule_sees_every_form() -> None:
    for line in (
        "import os; os.replace(a, b)",
        "import os; move = os.rename",
        "from os import replace",
        "import shutil; shutil.move(a, b)",
        "part.replace(path)",
        "part.rename(path)",
        "Path(x).with_suffix('.tmp').replace(path)",
    ):
        assert renames(ast.parse(line)), line
    assert not renames(ast.parse("text.replace('a', 'b'); dataclasses.replace(request, out=out); replace(request)"))


@pytest.mark.parametrize("folder", ["engine", "trainer", "commonart_desktop"])
def test_files_are_renamed_by_one_module(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "engine" / "contract" / "files.py"
        for line in renames(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "use engine.contract.files.rename or replacing"
