"""The machines of a cluster in the queue's bar, by events written by hand; and the worker's option for it."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.background import worker_process as engine_module
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.queue.nodes import ERROR, PACE, NodesButton
from commonart_desktop.gui.pages.queue.status_strip import RunStrip
from engine.contract import events
from engine.contract.errors import DiskFull


def node(name: str, pace: float | None, state: str = "ready", error: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "device": "NVIDIA L4", "workers": 2, "images_per_hour": pace, "state": state, "error": error}


@pytest.fixture
def button(qtbot: QtBot, context: Context) -> NodesButton:
    strip = RunStrip(context)
    qtbot.addWidget(strip)
    strip.resize(900, 80)
    strip.show()
    strip.activateWindow()
    QAbstractItemModelTester(strip.nodes.model, QAbstractItemModelTester.FailureReportingMode.Fatal, strip)
    return strip.nodes


def test_a_cluster_is_told_in_a_word_and_gone_when_the_engine_ends(button: NodesButton, context: Context) -> None:
    assert not button.isVisible()
    context.engine.event.emit(events.Nodes(nodes=[node("a", 700.4), node("b", 540.0), node("c", None, "loading")]))
    assert (
        button.isVisible()
        and button.text().replace(",", "") == "3 nodes · 1240 images/h"
        and "3 nodes" in button.accessibleName()
    )
    full = DiskFull(path="/out").to_wire()
    context.engine.event.emit(
        events.Nodes(nodes=[node("a", 700.0), node("b", 540.0, "refused", full), node("c", None, "lost")])
    )
    assert button.text().startswith("1 of 3 nodes") and "/out" in button.toolTip() and "lost" in button.toolTip()
    context.engine.event.emit(events.Nodes(nodes=[node("a", None)]))
    assert button.text() == "1 node"
    context.engine.state.emit("off")
    assert not button.isVisible() and button.model.rowCount() == 0


def test_the_machines_are_listed_by_keyboard(button: NodesButton, context: Context, qtbot: QtBot) -> None:
    context.engine.event.emit(events.Nodes(nodes=[node("a", 700.4), node("b", None, "lost")]))
    button.setFocus(Qt.FocusReason.TabFocusReason)
    assert button.hasFocus()
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert (
        button.popup is not None
        and button.popup.isVisible()
        and button.table.hasFocus()
        and button.table.accessibleName()
    )
    assert [button.model.text(r, PACE) for r in range(2)] == ["700", "–"] and button.table.isColumnHidden(ERROR)
    context.engine.event.emit(
        events.Nodes(nodes=[node("a", 700.4), node("b", None, "refused", DiskFull(path="/out").to_wire())])
    )
    assert not button.table.isColumnHidden(ERROR) and "/out" in button.model.text(1, ERROR)
    qtbot.keyClick(QApplication.focusWidget() or button.table, Qt.Key.Key_Escape)
    assert not button.popup.isVisible()


def test_the_worker_is_told_of_the_cluster(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Started:
        def __init__(self, path: object, options: list[str]) -> None:
            asked.append(options)
            raise OSError("not here")

    monkeypatch.setattr(engine_module, "Worker", Started)
    for address in ("", "10.0.0.5:6379"):
        context.settings.put(cluster=address)
        with pytest.raises(OSError):
            context.engine.start()
    assert "--ray" not in asked[0] and asked[1][asked[1].index("--ray") + 1] == "10.0.0.5:6379"
