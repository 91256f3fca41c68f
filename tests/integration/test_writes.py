"""Where a run writes: under --out, in the data folder and in the system's folder for temporary files.

And that nothing in a picture chooses a place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.contract.recipe import build
from engine.contract.request import ImageRequest
from engine.imagefile.image import pixel_sha256, read_pixels, to_bytes
from tests.fuzz.pictures import PIXELS
from tests.support.sentences import ROOT
from tests.support.stub_model import make_stub

_STRACE = (
    "openat",
    "open",
    "creat",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "truncate",
    "chmod",
    "fchmodat",
    "rmdir",
)


class World:
    """Folders of one test, and ``commonart`` whose every write is noted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.home, self.temp, self.log = (
            folder,
            folder / "out",
            folder / "home",
            folder / "temp",
            folder / "written.txt",
        )
        self.stub = make_stub(folder / "stub")
        self.temp.mkdir()
        (folder / "work").mkdir()

    def run(
        self, *arguments: Any, wrap: tuple[str, ...] = (), code: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        self.log.unlink(missing_ok=True)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "offline"), str(ROOT)]),
            "COMMONART_LANG": "en",
            "COMMONART_BACKEND": "fake",
            "PYTHONDONTWRITEBYTECODE": "1",
            "COMMONART_HOME": str(self.home),
            "COMMONART_WRITTEN": str(self.log),
            **{name: str(self.temp) for name in ("TMPDIR", "TEMP", "TMP")},
        }
        done = subprocess.run(
            [*wrap, sys.executable, "-m", "commonart_desktop", *map(str, arguments)],
            capture_output=True,
            encoding="utf-8",
            env=environment,
            timeout=120,
            stdin=subprocess.DEVNULL,
            cwd=self.folder / "work",
        )
        assert code in (done.returncode, None), done.stdout + done.stderr
        return done

    def outside(self) -> list[str]:
        """What was written in none of the three places."""
        lines = set(self.log.read_text(encoding="utf-8").splitlines()) if self.log.exists() else set()
        return [line for line in lines if not self._allowed(line.partition("\t")[2])]

    def _allowed(self, path: str) -> bool:
        roots = (self.out, self.home, self.temp, self.log)
        return (
            path in (os.devnull, ":memory:")
            or path.startswith("/dev/")
            or any(Path(path) == r or r in Path(path).parents for r in roots)
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def made(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_hook_sees_a_write_elsewhere(world: World) -> None:
    world.run("generate", "すし", "--model", world.stub, "--out", world.folder / "elsewhere")
    assert any("elsewhere" in line for line in world.outside())


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_run_writes_in_three_places_only(world: World, kind: str) -> None:
    before = made(world.stub)
    world.run(
        "generate", "すし", "{a|b} cat", "--count", 2, "--format", kind, "--model", world.stub, "--out", world.out
    )
    assert world.outside() == [] and len(made(world.out)) == 4
    world.run("queue", "add", "すし", "--model", world.stub, "--out", world.out)
    assert world.outside() == []
    world.run("queue", "run", "--until-empty")
    assert world.outside() == []
    world.run("verify", world.out)
    world.run("show", next(world.out.rglob("*.*g")))
    assert made(world.stub) == before and made(world.folder / "work") == [] and made(world.temp) == []


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace shows what libraries of machine code write, past Python's own hooks"
)
def test_the_system_sees_no_other_write(world: World) -> None:
    log = world.folder / "strace.txt"
    wrap = (
        str(shutil.which("strace")),
        "-f",
        "-y",
        "-qq",
        "-s",
        "4096",
        "-e",
        f"trace={','.join('?' + c for c in _STRACE)}",
        "-o",
        str(log),
    )
    if subprocess.run([*wrap, "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("strace may not look at processes here")
    world.run("generate", "sushi", "--name", "{seed}", "--model", world.stub, "--out", world.out, wrap=wrap)
    strange = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if "= -1 " in line or ("open" in line.split("(")[0] and not re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", line)):
            continue
        # AT_FDCWD</here> stands before a path, and a path of the call is in quotes
        for path in re.findall(r'"((?:[^"\\]|\\.)*)"', line):
            if path.startswith("/") and not world._allowed(path) and not path.startswith("/proc/"):
                strange.append(line)
    assert not strange, strange[:5]
    assert len(made(world.out)) == 1


def picture(path: Path, **changes: Any) -> Path:
    """A picture whose recipe asks for what ``changes`` says, as anybody can write one."""
    recipe = build(
        ImageRequest(prompt="x", model="stub", width=16, height=16, seed=3),
        model="stub",
        hashes={"denoiser": "a" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256=pixel_sha256(PIXELS),
        app="CommonArt Desktop 0.1.0",
    )
    data = to_bytes(PIXELS, "png", recipe)
    plain = json.dumps(recipe, ensure_ascii=False)
    path.parent.mkdir(exist_ok=True)
    # the recipe's text is put into the chunk anew, past every check of ours
    from tests.fuzz.mutate import chunk, chunks_of

    recipe["request"] |= changes
    parts = [
        chunk(n, b"commonart\0\0\0\0\0" + json.dumps(recipe, ensure_ascii=False).encode() if plain.encode() in b else b)
        for n, b in chunks_of(data)
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert read_pixels(path).shape == PIXELS.shape
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "../../x"},
        {"model": "/etc"},
        {"model": "C:\\models\\x"},
        {"model": "\\\\server\\share"},
        {"model": "~/x"},
        {"loras": [["/etc/x.safetensors", 1.0]]},
        {"loras": [["../x", 0.5]]},
    ],
    ids=str,
)
def test_a_recipe_chooses_no_model(world: World, changes: dict[str, Any]) -> None:
    foreign = picture(world.folder / "in" / "foreign.png", **changes)
    done = world.run("generate", "--like", foreign, "--out", world.out, code=2)
    assert done.stderr.startswith("commonart: ") and "not a path" in done.stderr and "Traceback" not in done.stderr
    assert made(world.out) == [] and world.outside() == []


@pytest.mark.parametrize("name", ["../../{seed}", "/etc/{seed}", "C:/{seed}", "..\\{seed}"])
def test_a_recipe_chooses_no_name(world: World, name: str) -> None:
    """It is refused, or another name is taken; it is never obeyed."""
    foreign = picture(world.folder / "in" / "foreign.png", name=name)
    world.run("generate", "--like", foreign, "--model", world.stub, "--out", world.out, code=None)
    assert world.outside() == [] and all(".." not in file for file in made(world.out))


def test_folders_in_a_recipe_are_passed_over(world: World) -> None:
    """``out`` and the parts are never in a recipe of ours; where somebody wrote them in, they do nothing."""
    foreign = picture(
        world.folder / "in" / "foreign.png", out=str(world.folder / "stolen"), text_encoder="/etc", vae="../x"
    )
    world.run("generate", "--like", foreign, "--model", world.stub, "--out", world.out)
    assert len(made(world.out)) == 1 and not (world.folder / "stolen").exists() and world.outside() == []


def test_a_prompt_file_chooses_no_place(world: World) -> None:
    for row in (
        {"prompt": "x", "out": "/etc"},
        {"prompt": "x", "name": "../{seed}"},
        {"prompt": "x", "model": "/etc"},
        {"prompt": "x", "loras": "/etc/x:1"},
    ):
        file = world.folder / "prompts.jsonl"
        file.write_text(json.dumps(row), encoding="utf-8")
        world.run("generate", "--from", file, "--model", world.stub, "--out", world.out, code=2)
        assert made(world.out) == [] and world.outside() == []
