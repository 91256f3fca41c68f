"""The program as real processes: start, a second instance, closing and opening again, an engine that is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from commonart_desktop.core.settings import Settings
from commonart_desktop.core.settings_save import save_settings
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.background.tasks import pending_tasks
from engine.contract.ledger.ledger import Ledger
from tests.support.stub_model import ROOT, make_stub, until

DRIVER = [sys.executable, "-m", "tests.support.gui_driver"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the driver; what still runs at the end is killed."""
    model = make_stub(tmp_path / "home" / "models" / "stub-one")
    save_settings(Settings(language="ja", model=model.name, out=str(tmp_path / "out")))
    running: list[subprocess.Popen[str]] = []

    def start(*steps: str) -> subprocess.Popen[str]:
        running.append(
            child := subprocess.Popen(
                [*DRIVER, *steps],
                cwd=ROOT,
                encoding="utf-8",
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"COMMONART_BACKEND": "fake"},
            )
        )
        return child

    yield start
    for child in running:
        if child.poll() is None:
            child.kill()
        child.communicate()


def answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def test_the_window_comes_up_without_heavy_libraries(started: Callable[..., subprocess.Popen[str]]) -> None:
    told = answer(started("start"))
    assert told["heavy"] == [] and told["pages"] == ["make"]


def test_a_second_instance_raises_the_first(
    started: Callable[..., subprocess.Popen[str]], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commonart_desktop.gui import app as program

    first = started("open")
    until(lambda: _answers(program), timeout=60)
    second = started("open")
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0 and out == "" and err == ""
    assert first.poll() is None
    first.terminate()


def _answers(program: Any) -> bool:
    """Whether the first instance listens. This too asks it to come to the front."""
    return bool(program._already_open())


def test_the_queue_and_the_draft_are_where_they_were(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    lists = []
    for name, count in (("春", 500), ("夏", 2)):
        prompts = [f"りんご、{name}の{n}番、「赤い」" for n in range(count)]
        lists.append(tmp_path / f"{name}.csv")
        lists[-1].write_text("prompt,steps\n" + "".join(f'"{p}",2\n' for p in prompts), encoding="utf-8")
    before = answer(
        started("engine", "off", "drop", str(lists[0]), "drop", str(lists[1]), "swap", "type", "書きかけの文", "tell")
    )
    assert len(before["rows"]) == 502 and before["draft"] == "書きかけの文"
    assert [r[0] for r in before["rows"][:3]] == ["夏.csv", "夏.csv", "春.csv"]
    assert [r[1] for r in before["rows"][2:]] == [f"りんご、春の{n}番、「赤い」" for n in range(500)]
    after = answer(started("engine", "off", "tell"))
    assert after.pop("sizes")[0] == before.pop("sizes")[0]  # the window itself may be narrower: another screen
    assert after == before


def test_a_killed_engine_is_told_of_quietly_and_goes_on(
    qtbot: QtBot, open_program: Callable[..., Application], tmp_path: Path
) -> None:
    whole = open_program()
    whole.window.show()
    compose: Any = whole.window.page("make").compose
    compose.prompt.setPlainText("猫")
    compose.form.count.setValue(3)
    compose.form.steps.setValue(400)
    compose.add()
    qtbot.waitUntil(lambda: whole.engine.now == "working", timeout=60_000)
    compose.prompt.setPlainText("つぎの文")
    worker = whole.engine._worker
    assert worker is not None
    worker.process.kill()
    qtbot.waitUntil(lambda: whole.engine.now == "dead", timeout=20_000)
    bar = whole.window.notice
    assert bar.isVisible() and bar.button.text() == "Restart the engine" and bar.details.isVisible() and bar.text.text()
    assert compose.prompt.toPlainText() == "つぎの文"
    qtbot.mouseClick(bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: whole.ledger.counts()["done"] == 3, timeout=60_000)
    assert not bar.isVisible() and compose.prompt.toPlainText() == "つぎの文"


def test_a_worker_left_at_work_is_found_again(
    qtbot: QtBot, open_program: Callable[..., Application], tmp_path: Path
) -> None:
    first = open_program()
    compose: Any = first.window.page("make").compose
    compose.prompt.setPlainText("犬")
    compose.form.count.setValue(400)
    compose.form.steps.setValue(300)
    compose.add()
    qtbot.waitUntil(lambda: first.engine.now == "working", timeout=60_000)
    open_program.shut(first, leave_working=True)  # type: ignore[attr-defined]
    worker = first.engine._worker
    assert worker is not None and worker.process.poll() is None
    book = Ledger(tmp_path / "home" / "queue.db")
    try:
        made = book.counts()["done"]
        qtbot.waitUntil(lambda: book.counts()["done"] > made, timeout=60_000)  # with nobody listening
        again = open_program()
        again.engine.look()
        assert again.engine.now == "working" and again.engine.running
        again.engine.stop()
        worker.process.wait(60)
        again.engine.look()
        assert again.engine.now == "off"
    finally:
        book.close()
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()
        worker.close()


@pytest.mark.parametrize("place", ["gone", "file"])
def test_an_output_folder_that_vanished(
    qtbot: QtBot, open_program: Callable[..., Application], tmp_path: Path, place: str
) -> None:
    if place == "file":
        (tmp_path / "blocked").write_text("", encoding="utf-8")
    whole = open_program(out=str(tmp_path / ("blocked/out" if place == "file" else "never/made")))
    compose: Any = whole.window.page("make").compose
    whole.window.go_to("pictures")
    whole.window.go_to("settings")
    compose.prompt.setPlainText("猫")
    compose.form.steps.setValue(2)
    compose.make_one()
    if place == "file":
        qtbot.waitUntil(lambda: "blocked" in whole.window.notice.text.text(), timeout=20_000)
        assert sum(whole.ledger.counts().values()) == 0
    else:
        qtbot.waitUntil(lambda: whole.ledger.counts()["done"] == 1, timeout=60_000)


def test_a_model_that_no_longer_loads(qtbot: QtBot, open_program: Callable[..., Application], tmp_path: Path) -> None:
    whole = open_program()
    compose: Any = whole.window.page("make").compose
    qtbot.waitUntil(lambda: pending_tasks(compose) == 0, timeout=30_000)
    shutil.rmtree(tmp_path / "home" / "models" / "stub-one" / "vae")
    compose.prompt.setPlainText("猫")
    compose.make_one()
    qtbot.waitUntil(lambda: whole.ledger.counts()["failed"] == 1, timeout=20_000)
    ((_, row),) = whole.ledger.every()
    assert row.error is not None and row.error["kind"] == "missing-part"
