"""No network, whatever is done: every command in a real process in which each attempt is refused, and written down even
if a library swallows the refusal.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commonart_desktop.core import process
from tests.support.images import make_dataset
from tests.support.sentences import ROOT
from tests.support.stub_model import make_stub
from tests.support.training_runs import write_config

TELEMETRY = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


class World:
    """A data folder, a dataset, models and pictures that all tests here share.

    And ``commonart`` in it without a network.
    """

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self.tiny, self.stub = folder, tiny, make_stub(folder / "stub")
        self.data = make_dataset(folder / "data", 8, size=40)
        shutil.copytree(tiny, folder / "tiny")

    def commonart(
        self, *arguments: Any, fake: bool = True, wrap: tuple[str, ...] = (), **more: str
    ) -> subprocess.CompletedProcess[str]:
        tried = self.folder / "tried.txt"
        tried.unlink(missing_ok=True)
        plain = {k: v for k, v in os.environ.items() if k not in TELEMETRY}  # a person's shell has none of these
        environment = (
            plain
            | {
                "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "offline"), str(ROOT)]),
                "COMMONART_LANG": "en",
                "COMMONART_TRIED": str(tried),
                "COMMONART_HOME": str(self.folder / "home"),
            }
            | ({"COMMONART_BACKEND": "fake"} if fake else {})
            | more
        )
        done = subprocess.run(
            [*wrap, sys.executable, "-m", "commonart_desktop", *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=250,
            stdin=subprocess.DEVNULL,
        )
        assert not tried.exists(), tried.read_text(encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> World:
    return World(tmp_path_factory.mktemp("offline"), tiny_model)


def test_the_hook_sees_what_is_tried_and_swallowed(world: World) -> None:
    """Else all the tests here would pass for nothing."""
    tries = {
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(('127.0.0.1', 9))": "socket.connect",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('::1', 9))": "socket.sendto",
        "socket.getaddrinfo('localhost', 80)": "socket.getaddrinfo",
        "socket.create_connection(('example.org', 80))": "socket.getaddrinfo",
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM).bind(('0.0.0.0', 0))": "socket.bind",
        "__import__('urllib.request').request.urlopen('http://example.org')": "socket.getaddrinfo",
    }
    tried = world.folder / "planted.txt"
    for code, event in tries.items():
        tried.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", f"import socket\ntry:\n    {code}\nexcept OSError:\n    pass"],
            encoding="utf-8",
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests" / "offline"), "COMMONART_TRIED": str(tried)},
            capture_output=True,
        )
        assert done.returncode == 0 and event in tried.read_text(encoding="utf-8"), (code, done.stderr)
    tried.unlink()
    if sys.platform != "win32":
        code = (
            "import socket; a, b = socket.socketpair(); a.send(b'x'); s = socket.socket(socket.AF_UNIX); "
            "s.connect_ex('/none')"
        )
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "tests" / "offline"), "COMMONART_TRIED": str(tried)},
        )
        assert not tried.exists(), "processes of this machine may speak to each other"


def test_pictures_by_the_real_engine(world: World) -> None:
    world.commonart(
        "generate",
        "すし",
        "{a|b} cat",
        "--steps",
        2,
        "--model",
        world.tiny,
        "--out",
        world.folder / "real",
        "--json",
        fake=False,
    )
    assert len(list((world.folder / "real").rglob("*.png"))) == 2


def test_the_queue_and_verify(world: World) -> None:
    out = world.folder / "queued"
    world.commonart("queue", "add", "すし", "--count", 3, "--model", world.stub, "--out", out)
    world.commonart("queue", "run", "--until-empty")
    done = world.commonart("verify", out, "--json")
    assert len(list(out.rglob("*.png"))) == 3 and '"intact": true' in done.stdout
    world.commonart("show", next(out.rglob("*.png")))
    world.commonart("models", "list")


def test_the_licence_check(world: World) -> None:
    world.commonart("dataset", "import", world.folder / "mine", "--from", world.data)
    world.commonart("dataset", "check", world.folder / "mine")


@pytest.mark.skipif(
    importlib.util.find_spec("trainer.__main__") is None, reason="the trainer is not part of this installation"
)
def test_a_training(world: World) -> None:
    world.commonart(
        "train",
        write_config(world.folder, "run"),
        "--set",
        "schedule.steps=2",
        "--set",
        "schedule.warmup=0",
        fake=False,
    )
    assert (world.folder / "run" / "run.safetensors").is_file()


def test_an_evaluation(world: World) -> None:
    world.commonart(
        "evaluate", "commonart-mini", "--limit", 1, "--steps", 1, "--out", world.folder / "evaluation", fake=False
    )
    assert (world.folder / "evaluation" / "report.html").is_file()


def test_an_export_is_asked_for(world: World) -> None:
    """Everything up to the graphs themselves; those are the long test below."""
    with pytest.raises(AssertionError, match="cannot be exported into"):
        world.commonart("export", world.tiny, world.data, fake=False)


@pytest.mark.skipif(
    "COMMONART_LONG" not in os.environ,
    reason="tracing four graphs takes half a minute of an idle core; `make fuzz` does it",
)
def test_a_whole_export(world: World) -> None:
    world.commonart("export", world.tiny, world.folder / "exported", fake=False)
    assert (world.folder / "exported" / "transformer" / "model.onnx").is_file()


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace shows what libraries of machine code do, past Python's own hooks"
)
def test_the_system_sees_no_network_either(world: World) -> None:
    """Signing and verifying are done by a library of machine code: the kernel's own calls are looked at."""
    log = world.folder / "strace.txt"
    wrap = (str(shutil.which("strace")), "-f", "-qq", "-e", "trace=connect,bind,listen,sendto,sendmsg", "-o", str(log))
    if subprocess.run([*wrap, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("strace may not look at processes here")
    world.commonart("generate", "すし", "--model", world.stub, "--out", world.folder / "traced", wrap=wrap)
    calls = log.read_text(encoding="utf-8")
    world.commonart("verify", world.folder / "traced", wrap=wrap)
    calls += log.read_text(encoding="utf-8")
    strange = [
        line
        for line in calls.splitlines()
        if "AF_INET" in line and not re.search(r'bind\(.*(?:"::1"|"127\.0\.0\.1")', line)
    ]
    assert not strange, strange[:5]


def test_children_are_told_to_stay_offline_and_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TELEMETRY:
        monkeypatch.setenv(name, "0")  # whatever the shell says
    assert process._environment().items() >= TELEMETRY.items()


def test_only_the_one_command_that_fetches_may_go_online(monkeypatch: pytest.MonkeyPatch) -> None:
    """``online=True`` is given in one place of the front ends for each way to fetch a model."""
    found = sorted(
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "commonart_desktop").rglob("*.py")
        if "online=True" in p.read_text(encoding="utf-8")
    )
    assert found and all("models" in name for name in found), found
