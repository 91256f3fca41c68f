"""On a real display server, with the real worker and the bundled model: a Japanese prompt typed, the button pressed,
the picture in the gallery.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.paths import resources
from tests.support.console import open_and_close_window
from tests.support.stub_model import ROOT

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 is Linux's display server"),
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed"),
    pytest.mark.skipif(
        not (resources() / "models" / "commonart-mini" / "model_index.json").exists(),
        reason="the bundled model is not here",
    ),
]


@pytest.fixture
def display() -> Iterator[str]:
    """A display server of this test only, on a number that it finds itself."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(20)


def x11(display: str) -> dict[str, str]:
    return {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "WAYLAND_DISPLAY": ""}


def skip_without_xcb(display: str, home: Path) -> None:
    probe = run(display, home, "start")
    if probe.returncode and "xcb" in probe.stderr:
        pytest.skip("Qt's xcb plug-in lacks system libraries (libxcb-cursor0 and others)")
    assert '"platform": "xcb"' in probe.stdout and '"heavy": []' in probe.stdout, probe.stderr


def run(display: str, home: Path, *steps: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | x11(display) | {"COMMONART_HOME": str(home), "LANG": "ja_JP.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", "tests.support.gui_driver", *steps],
        cwd=ROOT,
        env=environment,
        encoding="utf-8",
        capture_output=True,
        timeout=240,
    )


def test_the_console_script_opens_the_window(display: str, tmp_path: Path) -> None:
    skip_without_xcb(display, tmp_path / "probe")
    open_and_close_window(tmp_path, tmp_path / "home", x11(display))


def test_from_the_first_letter_to_the_picture(display: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "settings.toml").write_text(f"out = {json.dumps(str(tmp_path / 'out'))}\n", encoding="utf-8")
    skip_without_xcb(display, tmp_path / "home")
    kept = Path(os.environ.get("COMMONART_SHOT", tmp_path / "screen.png"))
    done = run(display, tmp_path / "home", "type", "りんご、フラット調", "press", "picture", "200", "shot", str(kept))
    assert done.returncode == 0, done.stderr[-3000:]
    assert [p.name for p in (tmp_path / "out").rglob("*.png") if "りんご" in p.name]
    from PIL import Image

    with Image.open(kept) as shot:
        colours = shot.convert("RGB").getcolors(1 << 24)
    assert (
        shot.size == (1280, 800) and colours is not None and len(colours) > 500
    )  # a window with a picture in it, not a black screen
