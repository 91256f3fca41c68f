"""Settings that cannot be read, a data folder that cannot be written, no display: a sentence each, whatever is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import script
from tests.support.stub_model import make_stub

BROKEN = 'language = "ja"\nout = "D:\\Pictures\\new"\n'


def commonart(home: Path | str, *arguments: Any, status: int, **changes: str) -> tuple[str, str]:
    """Standard output and error of a person's run, in the language that the settings choose."""
    plain = {k: v for k, v in os.environ.items() if k not in ("COMMONART_LANG", "DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [script(), *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=plain | {"COMMONART_HOME": str(home), "COMMONART_BACKEND": "fake", "LC_ALL": "C.UTF-8"} | changes,
        timeout=200,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.toml").write_text(BROKEN, encoding="utf-8")
    return tmp_path / "home"


def test_what_makes_images_refuses_unreadable_settings(home: Path, tmp_path: Path) -> None:
    stub = make_stub(tmp_path / "stub")
    for command in (("generate", "x", "--model", stub), ("queue", "add", "x", "--model", stub), ("queue", "run")):
        out, errors = commonart(home, *command, status=2)
        assert not out and "settings.toml、2行目、12文字目" in errors and "out = 'D:\\Pictures\\new'" in errors
    (home / "settings.toml").write_text('language = "en"\nmemory = 8\n', encoding="utf-8")
    _, errors = commonart(home, "generate", "x", "--model", stub, status=2)
    assert "line 2, column 1: memory must be text in quotes" in errors
    assert not (tmp_path / "outputs").exists()


def test_everything_else_works_in_the_right_language(home: Path, tmp_path: Path) -> None:
    assert "使い方" in commonart(home, "--help", status=0)[0]
    assert "使い方" in commonart(home, "generate", "--help", status=0)[0]
    assert "もしかして" in commonart(home, "modles", status=2)[1]
    commonart(home, "models", "list", status=0)
    commonart(home, "queue", "list", status=0)
    checks = {c["id"]: c for c in json.loads(commonart(home, "doctor", "--json", status=1)[0])}
    assert checks["settings"]["state"] == "missing" and "D:\\Pictures\\new" in checks["settings"]["advice"]
    assert (home / "settings.toml").read_text(encoding="utf-8") == BROKEN


def test_unknown_settings_are_told_once_and_change_nothing(home: Path, tmp_path: Path) -> None:
    (home / "settings.toml").write_text('modle = "x"\nlanguage = "en"\n', encoding="utf-8")
    stub = make_stub(tmp_path / "stub")
    out, errors = commonart(home, "generate", "x", "--model", stub, "--out", tmp_path / "out", "--quiet", status=0)
    assert len(out.splitlines()) == 1 and errors.count("modle (model?)") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")
def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stub = make_stub(tmp_path / "stub")
    (tmp_path / "washi.toml").write_text('output = "washi"\n', encoding="utf-8")
    for command in (
        ("generate", "x", "--model", stub, "--out", tmp_path / "out"),
        ("queue", "add", "x", "--model", stub, "--out", tmp_path / "out"),
        ("queue", "list"),
        ("queue", "run", "--until-empty"),
        ("train", tmp_path / "washi.toml"),
        ("gui",),
    ):
        _, errors = commonart(tmp_path / "file" / "home", *command, status=1, COMMONART_LANG="en")
        assert "cannot be written" in errors and "COMMONART_HOME" in errors, (command, errors)
    checks = {c["id"]: c for c in json.loads(commonart(tmp_path / "file" / "home", "doctor", "--json", status=1)[0])}
    assert checks["data-folder"]["state"] == "missing"


def test_a_tilde_is_the_users_folder(tmp_path: Path) -> None:
    stub = make_stub(tmp_path / "stub")
    add = ("queue", "add", "x", "--model", stub, "--out", tmp_path / "out")
    commonart("~/mine", *add, status=0, HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    assert (tmp_path / "mine" / "queue.db").is_file() and not Path("~").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
def test_no_display_is_a_sentence(home: Path) -> None:
    _, errors = commonart(home, "gui", status=1, QT_QPA_PLATFORM="")
    assert "ウィンドウを開けません" in errors and "DISPLAY" in errors and len(errors.splitlines()) == 2
    checks = {c["id"]: c for c in json.loads(commonart(home, "doctor", "--json", status=1, QT_QPA_PLATFORM="")[0])}
    assert checks["display"]["state"] == "warning"
