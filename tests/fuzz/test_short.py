"""A short pass over every target with a fixed seed; and that the harness itself sees what it is there to see."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from engine.contract.errors import BadFile, Phrase
from tests.fuzz.core import Target, fuzz, keep
from tests.fuzz.targets import TARGETS
from tests.support.paths import ROOT

NUMBERS = st.integers(0, 10_000).map(lambda n: {"n": str(n).encode()})
FEW = {
    "queues": 20,
    "imports": 20,
    "evidence": 40,
    "gate": 20,
    "models": 30,
    "tables": 30,
    "templates": 30,
    "reuse": 30,
    "shards": 30,
}  # slower than the others


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_every_reader_answers_or_refuses(target: Target, tmp_path: Path) -> None:
    result = fuzz(target, tmp_path, examples=FEW.get(target.name, 50), seed=20)
    assert not result.crashes, "\n".join(f"{keep(c, target.name, tmp_path / 'kept')}\n{c.text}" for c in result.crashes)
    assert result.answered and result.refused, "both sides are reached"


def _found(read: Any, tmp_path: Path) -> Any:
    (crash,) = fuzz(Target("planted", "", lambda: NUMBERS, read), tmp_path, examples=200, seed=1, most=1).crashes
    return crash


def _number(folder: Path) -> int:
    return int((folder / "n").read_text(encoding="ascii"))


def test_a_stray_exception_is_found_and_made_small(tmp_path: Path) -> None:
    def read(folder: Path) -> Any:
        number = _number(folder)
        if number > 100:
            raise KeyError(number)
        if number % 2:
            raise BadFile(path=folder, why=Phrase("there is no such file"))
        return number

    crash = _found(read, tmp_path)
    assert crash.files == {"n": b"101"} and crash.key.startswith("KeyError")
    kept = keep(crash, "planted", tmp_path / "kept")
    assert (kept / "files" / "n").read_bytes() == b"101" and "KeyError: 101" in (kept / "told.txt").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("deed", ["open", "mkdir", "remove", "sqlite", "process", "socket"])
def test_what_a_reader_must_not_do_is_found(
    deed: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import socket
    import sqlite3

    work, away = tmp_path / "work", ROOT / "outputs" / f"fuzz-{os.getpid()}"

    def read(folder: Path) -> Any:
        try:
            if deed == "open":
                away.with_suffix(".txt").open("wb")
            elif deed == "mkdir":
                (away / "deeper" / "yet").mkdir()
            elif deed == "remove":
                away.with_suffix(".none").unlink()
            elif deed == "sqlite":
                sqlite3.connect(f"file:{away}/none/x.db?mode=ro", uri=True)
            elif deed == "process":
                subprocess.run([sys.executable + "-none"])
            else:
                socket.getaddrinfo("127.0.0.1", 1)
        except (OSError, sqlite3.Error):
            pass  # that it tried is enough
        return 1

    (ROOT / "outputs").mkdir(exist_ok=True)
    try:
        assert "it did what a reader must not" in _found(read, work).text
    finally:
        away.with_suffix(".txt").unlink(missing_ok=True)


def test_an_error_that_cannot_be_told_is_found(tmp_path: Path) -> None:
    def read(folder: Path) -> Any:
        raise BadFile(path=folder, why="")  # a sentence all the same

    assert not fuzz(Target("planted", "", lambda: NUMBERS, read), tmp_path, examples=5).crashes

    def broken(folder: Path) -> Any:
        error = BadFile(path=folder, why="")
        error.fields = {}
        raise error

    assert "KeyError" in _found(broken, tmp_path / "b").text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer of processor time")
def test_what_does_not_end_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import core

    monkeypatch.setattr(core, "SECONDS", 0.2)

    def read(folder: Path) -> Any:
        end = time.process_time() + 5
        while time.process_time() < end:
            pass

    started = time.process_time()
    result = fuzz(Target("planted", "", lambda: st.just({"n": b"1"}), read), tmp_path, examples=1)
    assert "TooLong" in result.crashes[0].text and time.process_time() - started < 4


@pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded on Linux only")
def test_what_takes_memory_without_bound_is_found(tmp_path: Path) -> None:
    def read(folder: Path) -> Any:
        return len(bytearray(6 << 30))

    assert "MemoryError" in _found(read, tmp_path).text


def test_the_runner_keeps_what_it_finds(tmp_path: Path) -> None:
    """One target for a moment, in its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--minutes", "0.01", "--out", str(tmp_path / "kept"), "names"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0 and "names" in done.stdout and "1 targets, 0 faults" in done.stdout, (
        done.stdout + done.stderr
    )
    again = tmp_path / "again"
    again.mkdir()
    (again / "name.txt").write_text("../{seed}", encoding="utf-8")
    (again / "prompt.txt").write_text("x", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--again", str(again), "names"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), done.stderr
