"""Calls off the GUI thread."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.background.tasks import Task, TaskQueue, pending_tasks
from engine.contract.errors import BadFile, CommonArtError


def destroy(owner: QObject) -> None:
    owner.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


class Resource:
    """Counts on which threads it was opened, used and closed."""

    def __init__(self, log: list[str]) -> None:
        self._log, self._thread = log, threading.get_ident()
        self._log.append("open")

    def close(self) -> None:
        self._log.append("close" if threading.get_ident() == self._thread else "close in another thread")


def test_calls_run_in_order_on_one_resource(qtbot: QtBot) -> None:
    owner, log, results = QObject(), [], []
    queue = TaskQueue(owner, "test queue", open=lambda: Resource(log))
    for n in range(20):
        queue.submit(lambda resource, n: (isinstance(resource, Resource), n), n, done=results.append)
    qtbot.waitUntil(lambda: len(results) == 20)
    assert results == [(True, n) for n in range(20)] and log == ["open"]
    queue.stop()
    assert log == ["open", "close"] and not [t for t in threading.enumerate() if t.name == "test queue"]
    queue.submit(lambda _: log.append("late"))
    queue.stop()
    assert log == ["open", "close"]


def test_the_first_and_the_dropped(qtbot: QtBot) -> None:
    owner, order, results = QObject(), [], []
    queue, gate = TaskQueue(owner, "test queue"), threading.Event()
    queue.submit(gate.wait, 20, done=lambda _: results.append("dropped while it ran"))
    for n in range(3):
        queue.submit(order.append, n)
    queue.submit(order.append, 9, first=True)
    queue.submit(order.append, 10, first=True)
    queue.clear()
    for n in (4, 5):
        queue.submit(order.append, n, done=lambda _: results.append("came"))
    queue.submit(order.append, 6, first=True)
    gate.set()
    qtbot.waitUntil(lambda: results == ["came", "came"])
    assert order == [6, 4, 5]


def test_errors_reach_their_callback_or_the_signal(qtbot: QtBot) -> None:
    owner, handled, signalled = QObject(), [], []
    queue = TaskQueue(owner, "test queue")
    queue.failed.connect(signalled.append)

    def fails(error: Exception) -> None:
        raise error

    queue.submit(fails, BadFile(path="x", why="y"), failed=handled.append)
    queue.submit(fails, OSError(13, "denied"))
    queue.submit(fails, sqlite3.OperationalError("locked"))
    qtbot.waitUntil(lambda: len(signalled) == 2)
    assert [type(e) for e in handled] == [BadFile]
    assert [str(e) for e in signalled] == ["denied", "locked"]
    assert isinstance(signalled[1].__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize("finish", [True, False])
def test_a_queue_ends_with_its_owner(qtbot: QtBot, finish: bool) -> None:
    owner, order, results = QObject(), [], []
    queue, gate = TaskQueue(owner, "test queue", finish=finish), threading.Event()
    queue.submit(gate.wait, 20)
    queue.submit(order.append, 1, done=results.append)
    threading.Timer(0.05, gate.set).start()
    destroy(owner)
    qtbot.wait(20)
    assert order == ([1] if finish else []) and results == []
    assert not [t for t in threading.enumerate() if t.name == "test queue"]


def test_a_bug_is_reported_and_not_lost(qtbot: QtBot) -> None:
    owner, handled = QObject(), []

    def work(task: Task) -> None:
        raise ValueError("a bug")

    with qtbot.captureExceptions() as raised:
        Task(owner, work, failed=handled.append)
        qtbot.waitUntil(lambda: bool(raised))
        Task(owner, work)
        qtbot.waitUntil(lambda: len(raised) == 2)
    assert [type(e) for e in handled] == [CommonArtError] and str(handled[0]) == "ValueError: a bug"
    assert all(kind is ValueError for kind, *_ in raised)


def test_pending_tasks_are_counted_below_their_owner(qtbot: QtBot) -> None:
    owner, gate = QObject(), threading.Event()
    inner = QObject(owner)
    Task(inner, lambda task: gate.wait(20))
    other = Task(owner, lambda task: task.wait(20))
    assert pending_tasks(owner) == 2 and pending_tasks(inner) == 1
    other.cancel()
    assert pending_tasks(owner) == 1 and other.join(10)
    gate.set()
    qtbot.waitUntil(lambda: pending_tasks(owner) == 0)
    other.cancel()  # also after Qt's part of it is gone
