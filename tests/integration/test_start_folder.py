"""Nothing is imported from the folder that the program is started in: a ``numpy.py`` among downloaded files stays
unread.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.console import open_and_close_window, script
from tests.support.images import make_dataset
from tests.support.sentences import ROOT
from tests.support.training_runs import write_config

#: what the program and its libraries import early and often, its own packages among them
PLANTED = (
    *("numpy", "torch", "PIL", "json", "safetensors", "transformers", "diffusers", "onnxruntime", "PySide6", "psutil"),
    *("engine", "trainer", "commonart_desktop", "resources", "accelerate", "ray"),
)


class StartFolder:
    """A folder in which somebody planted modules, one of them a package; and ``commonart`` started in it."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self.home, self.tiny = folder, folder.parent / "home", tiny
        self.marker = folder.parent / "imported.txt"
        folder.mkdir()
        for name in PLANTED:
            file = folder / name / "__init__.py" if name == "torch" else folder / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(
                "import os\n"
                f"fd = os.open({str(self.marker)!r}, os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n"
                f"os.write(fd, b'{name} ')\n",
                encoding="utf-8",
            )

    def environment(self, **changes: str) -> dict[str, str]:
        return os.environ | {"COMMONART_HOME": str(self.home), "COMMONART_LANG": "en"} | changes

    def run(self, *command: Any, status: int = 0, **changes: str) -> str:
        """Standard output and error of ``command``, by which nothing planted was imported."""
        self.marker.unlink(missing_ok=True)
        done = subprocess.run(
            [*map(str, command)],
            capture_output=True,
            encoding="utf-8",
            env=self.environment(**changes),
            timeout=280,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
        )
        self.nothing_imported()
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commonart(self, *arguments: Any, **changes: str) -> str:
        return self.run(script(), *arguments, **changes)

    def nothing_imported(self) -> None:
        assert not self.marker.exists(), f"imported: {self.marker.read_text(encoding='utf-8')}"


@pytest.fixture
def start(tmp_path: Path, tiny_model: Path) -> StartFolder:
    return StartFolder(tmp_path / "downloads", tiny_model)


def test_the_plants_are_imported_by_a_process_that_does_not_care(start: StartFolder) -> None:
    """Else all the tests here would pass for nothing."""
    for name in PLANTED:
        with pytest.raises(AssertionError, match=f"imported: {name} "):
            start.run(sys.executable, "-c", f"import {name}")


def test_images_made_queued_and_verified(start: StartFolder) -> None:
    common = ("--steps", 1, "--model", start.tiny, "--out", "out")
    start.commonart("generate", "すし", *common)
    start.commonart("queue", "add", "りんご", *common)
    start.commonart("queue", "run", "--until-empty")
    image = next((start.folder / "out").rglob("*.png"))
    assert '"intact": true' in start.commonart("verify", "out", "--json")
    start.commonart("show", image)
    start.commonart("models", "list")


def test_from_a_dataset_to_a_training(start: StartFolder) -> None:
    make_dataset(start.folder / "data", 8, size=40)
    (start.folder / "tiny").symlink_to(start.tiny, target_is_directory=True)
    start.commonart("dataset", "import", "mine", "--from", "data")
    start.commonart("dataset", "check", "mine")
    steps = ("--set", "schedule.steps=2", "--set", "schedule.warmup=0")
    start.commonart("train", write_config(start.folder, "run"), *steps)
    assert (start.folder / "run" / "run.safetensors").is_file()


def test_an_export_starts_in_its_own_processes(start: StartFolder) -> None:
    """The whole of it is the slow test below: here one of its steps, which cannot find its model."""
    code = "from engine.export.stage import run_stage; run_stage('graph', {'out': 'x'}, in_subprocess=True)"
    assert "CommonArtError" in start.run(sys.executable, "-P", "-c", code, status=1)
    start.run(script(), "export", start.tiny, ".", status=2)  # there is something in it


@pytest.mark.slow
def test_a_whole_export_and_images_from_it(start: StartFolder) -> None:
    start.commonart("export", start.tiny, "exported")
    start.commonart("generate", "すし", "--steps", 1, "--model", "exported", "--out", "out")


@pytest.mark.slow
def test_measurements(start: StartFolder) -> None:
    model = ("--model", start.tiny)
    start.commonart("bench", "--against", "diffusers", "--prompts", 1, "--rounds", 1, "--steps", 1, *model)
    start.commonart("bench", "--probe", *model)
    start.commonart("evaluate", "commonart-mini", "--limit", 1, "--steps", 1, "--out", "evaluation")


@pytest.mark.slow
def test_many_processes(start: StartFolder) -> None:
    """Those that accelerate and Ray start."""
    make_dataset(start.folder / "data", 8, size=40)
    (start.folder / "tiny").symlink_to(start.tiny, target_is_directory=True)
    steps = ("--set", "schedule.steps=2", "--set", "schedule.warmup=0")
    start.commonart(
        "train", write_config(start.folder, "run"), *steps, "--accelerate", "cpu", "--launch", "num_processes=2"
    )
    start.commonart("queue", "add", "りんご", "--steps", 1, "--model", start.tiny, "--out", "out")
    start.commonart("queue", "run", "--until-empty", "--ray", "auto")
    assert len(list((start.folder / "out").rglob("*.png"))) == 1


def test_doctor(start: StartFolder) -> None:
    start.commonart("doctor", "--json")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
def test_the_window(start: StartFolder) -> None:
    open_and_close_window(start.folder, start.home, {"QT_QPA_PLATFORM": "offscreen"})
    start.nothing_imported()


def test_modules_started_by_name(start: StartFolder) -> None:
    """``python -m`` itself looks into the folder; from our first line on nobody does.

    One's own name cannot be helped.
    """
    for name, arguments in {
        "commonart_desktop": ["generate", "すし", "--steps", "1", "--model", start.tiny, "--out", "out"],
        "engine": ["output", "sheet", "sheet.png", "out"],
        "trainer": ["dataset", "check", "data"],
    }.items():
        own = start.folder / f"{name}.py"
        kept = own.rename(start.folder.parent / own.name)
        if name == "commonart_desktop":
            start.run(sys.executable, "-m", name, *arguments)
        else:
            start.run(sys.executable, "-m", f"{name}.{arguments[0]}", *arguments[1:], status=2)
        kept.rename(own)


def test_only_one_place_says_how_a_python_is_started() -> None:
    """``sys.executable`` in a command, a name such as ``python3`` there, or another way to start a process: by that
    place only.
    """
    found = []
    for folder in ("commonart_desktop", "engine", "trainer"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            if name == "engine/contract/python_process.py":
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                first = node.elts[0] if isinstance(node, (ast.List, ast.Tuple)) and node.elts else None
                if first is not None and (
                    ast.unparse(first) == "sys.executable"
                    or (isinstance(first, ast.Constant) and str(first.value).startswith("python"))
                ):
                    found.append(f"{name}:{node.lineno}: {ast.unparse(node)[:80]}")
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    full = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                    names = [a.name for a in node.names]
                    if any(m.startswith(("multiprocessing", "concurrent.futures.process")) for m in full):
                        found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
                    if {"QProcess", "ProcessPoolExecutor"} & set(names):
                        found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
                if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(
                    ("os.exec", "os.spawn", "os.posix_spawn", "os.fork", "torch.multiprocessing")
                ):
                    found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert not found, "\n".join(found)
