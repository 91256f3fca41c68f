"""Making things over several event-loop turns."""

from __future__ import annotations

import threading

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSplitter, QWidget
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.background.incremental import IncrementalBuild, Steps, at_once
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.style import theme


def test_a_part_a_turn_and_threads_are_waited_for(qtbot: QtBot) -> None:
    done: list[str] = []
    gate = threading.Event()

    def steps() -> Steps:
        done.append("a")
        task = Task(owner, lambda task: gate.wait(20))
        yield task
        done.append("too early" if not task.join(0) else "b")
        yield
        done.append("c")

    owner = QObject()
    turns = IncrementalBuild(steps(), owner)
    turns.over.connect(lambda: done.append("over"))
    other = QTimer(owner, interval=0)
    other.timeout.connect(lambda: done.append("·") if done[-1:] != ["·"] else None)
    QTimer.singleShot(30, gate.set)  # many turns later
    other.start()
    assert done == []  # not in this turn
    qtbot.waitUntil(lambda: "over" in done)
    other.stop()
    order = [d for d in done if d != "·"]
    assert (
        order == ["a", "b", "c", "over"]
        and "·" in done[done.index("a") : done.index("b")]
        and "·" in done[done.index("b") : done.index("c")]
    )
    at_once(steps())
    assert done[-3:] == ["a", "b", "c"]


def test_the_rest_can_be_done_now(qtbot: QtBot) -> None:
    done: list[int] = []

    def steps() -> Steps:
        for n in range(3):
            done.append(n)
            turns.finish()  # a part that asks for the whole changes nothing
            yield

    owner = QObject()
    turns = IncrementalBuild(steps(), owner)
    turns.finish()
    assert done == [0, 1, 2]


def test_a_large_page_is_dressed_in_parts_that_leave_nothing_out(qtbot: QtBot) -> None:
    whole = QWidget()
    qtbot.addWidget(whole)
    line = QHBoxLayout(whole)
    splitter = QSplitter()
    line.addWidget(splitter)
    labels = []
    for _ in range(3):
        part = QWidget()
        column = QHBoxLayout(part)
        for _ in range(40):
            labels.append(label := QLabel("x"))
            label.setProperty("role", "title")
            column.addWidget(label)
        splitter.addWidget(part)
    roots = theme.style_roots(whole)
    assert len(roots) >= 3 and all(not a.isAncestorOf(b) for a in roots for b in roots if a is not b)
    for root in roots:
        theme.apply_style(root)
    assert all(any(i is w or i.isAncestorOf(w) for i in roots) for w in labels)
    assert {w.font().pixelSize() for w in labels} == {theme.FONT["title"]}
