"""The whole way, with real processes and the fake backend: from what is typed to a file on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make.compose_panel import ComposePanel
from tests.gui.test_compose import drop, settle


@pytest.fixture
def open_page(qtbot: QtBot, context: Context) -> Callable[[], ComposePanel]:
    """Open the Make page and give its compose side."""
    from commonart_desktop.gui.pages.make.page import MakePage

    pages: list[MakePage] = []

    def build() -> ComposePanel:
        pages.append(page := MakePage(context))
        qtbot.addWidget(page, before_close_func=lambda p: settle(qtbot, p.compose))
        page.resize(1024, 560)
        page.show()
        settle(qtbot, page.compose)
        return page.compose

    return build


def test_from_a_japanese_prompt_to_a_file(
    qtbot: QtBot, context: Context, open_page: Callable[[], ComposePanel]
) -> None:
    panel = open_page()
    panel.prompt.setPlainText("夕焼けの富士山、フラット調")
    panel.form.steps.setValue(3)
    panel.activateWindow()
    panel.prompt.setFocus()
    qtbot.waitUntil(panel.prompt.hasFocus)
    qtbot.keyClick(panel.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: context.ledger.counts()["done"] == 1, timeout=60_000)
    ((job, row),) = context.ledger.every()
    assert row.path is not None and Path(row.path).is_file() and Path(row.path).is_relative_to(context.out)
    assert "夕焼けの富士山" in Path(row.path).name and job.name == row.request.prompt == "夕焼けの富士山、フラット調"
    drop(panel, Path(row.path))  # and back: its settings
    panel.prompt.setPlainText("")
    qtbot.waitUntil(lambda: panel.prompt.toPlainText() == row.request.prompt, timeout=20_000)
    assert panel.form.seed.value() == row.request.seed and panel.form.steps.value() == 3


def test_five_hundred_prompts_of_a_file(
    qtbot: QtBot,
    context: Context,
    open_page: Callable[[], ComposePanel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context.engine, "start", lambda **_: None)  # nothing is to be made meanwhile
    wanted = [f"りんご、{n}番目の絵、「赤い」" for n in range(500)]
    file = tmp_path / "絵のリスト.csv"
    file.write_text("prompt,steps\n" + "".join(f'"{p}",2\n' for p in wanted), encoding="utf-8")
    panel = open_page()
    drop(panel, file)
    qtbot.waitUntil(lambda: context.ledger.counts()["waiting"] == 500, timeout=30_000)
    assert [r.request.prompt for _, r in context.ledger.every()] == wanted
    (job,) = context.ledger.jobs()
    assert job.name == "絵のリスト.csv" and job.total == 500


def test_a_new_start_brings_the_draft_back(
    qtbot: QtBot, context: Context, open_page: Callable[[], ComposePanel]
) -> None:
    first = open_page()
    first.prompt.setPlainText("書きかけの文 {青い|赤い}鳥")
    first.form.count.setValue(7)
    page = first.window()
    splitter = page.findChild(QSplitter)
    splitter.setSizes([450, 574])
    page.keep()
    again = open_page()
    assert again.values() == first.values()
    assert again.window().findChild(QSplitter).sizes() == splitter.sizes()


def test_a_dead_engine_takes_nothing_of_what_is_typed(
    qtbot: QtBot, context: Context, open_page: Callable[[], ComposePanel]
) -> None:
    panel = open_page()
    panel.prompt.setPlainText("猫")
    panel.form.count.setValue(40)
    panel.form.steps.setValue(1000)
    panel.add()
    qtbot.waitUntil(lambda: context.engine.now == "working", timeout=60_000)
    panel.prompt.setPlainText("つぎの文")
    worker = context.engine._worker
    assert worker is not None
    worker.process.kill()
    qtbot.waitUntil(lambda: context.engine.now == "dead", timeout=20_000)
    qtbot.waitUntil(lambda: not context.engine.running, timeout=20_000)
    assert panel.prompt.toPlainText() == "つぎの文"
    panel.form.count.setValue(2)
    before = sum(context.ledger.counts().values())
    panel.add()
    qtbot.waitUntil(lambda: sum(context.ledger.counts().values()) == before + 2, timeout=20_000)
    settle(qtbot, panel)
    assert context.ledger.stranded() and not context.engine.running  # it waits to be resumed
