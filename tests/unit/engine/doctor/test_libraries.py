"""Libraries that are missing, overwritten by another distribution, or not the tested version; and the advice."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.contract import python_process
from engine.contract.python_process import pip_command, pip_install
from engine.doctor.libraries import check_library

Install = Callable[[str, str], None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A package folder of its own with the module ``doctor_fake`` of version 1.2.0; the call adds a distribution."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "doctor_fake.py").write_text('__version__ = "1.2.0"\n', encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "doctor_fake", raising=False)

    def install(name: str, version: str) -> None:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")

    return install


def check(**options: Any) -> dict[str, Any]:
    return check_library("doctor_fake", "Fake", "doctor-fake-gpu", "doctor-fake", **options)[0]


def test_a_library_that_is_not_there() -> None:
    row, module = check_library("no_such_library", "Nothing", "no-such-library")
    assert module is None and row["state"] == "missing"
    assert row["advice"]["fields"]["command"] == pip_install("no-such-library")


def test_a_library_that_is_as_its_metadata_says(site: Install) -> None:
    site("doctor-fake-gpu", "1.2.0+cu130")
    assert (check(exclusive=True)["state"], check()["value"]) == ("ok", "1.2.0+cu130")


def test_two_distributions_of_one_library(site: Install) -> None:
    """`onnxruntime` overwrites `onnxruntime-gpu` in place: both stay listed, and the graphics card is lost."""
    site("doctor-fake-gpu", "1.2.0")
    site("doctor-fake", "1.2.0")
    assert check()["state"] == "ok", "PySide6 and PySide6-Essentials belong together"
    row = check(exclusive=True)
    fields = row["advice"]["fields"]
    assert row["state"] == "warning" and fields["names"] == "doctor-fake-gpu 1.2.0, doctor-fake 1.2.0"
    assert fields["remove"] == pip_command("uninstall", "-y", "doctor-fake-gpu", "doctor-fake")
    assert fields["command"] == pip_install("doctor-fake-gpu")


def test_files_of_another_version(site: Install) -> None:
    """The other distribution was uninstalled again, or its metadata was: the files are still not what pip believes."""
    site("doctor-fake-gpu", "1.3.0")
    row = check(exclusive=True)
    assert row["state"] == "warning" and "--force-reinstall" in row["advice"]["fields"]["command"]
    assert (row["advice"]["fields"]["version"], row["advice"]["fields"]["loaded"]) == ("1.3.0", "1.2.0")


def test_the_command_is_of_this_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain `python` is often the system's; and a shell must read the line as it is meant."""
    assert pip_install("torch>=2.9,<3") == f'{shlex.quote(sys.executable)} -m pip install "torch>=2.9,<3"'
    python = tmp_path / "my folder" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    if sys.platform != "win32":
        done = subprocess.run(["sh", "-c", pip_install("a[b]>=1", "-U")], capture_output=True, encoding="utf-8")
        assert done.stdout == "-m|pip|install|-U|a[b]>=1|"
    monkeypatch.setattr(python_process.os, "name", "nt")
    monkeypatch.setattr(sys, "executable", r"C:\Program Files\Python\python.exe")
    assert pip_install("a[b]") == r'"C:\Program Files\Python\python.exe" -m pip install "a[b]"'
