"""The queue's side of the Make page, over a real ledger and, where pictures are made, the real worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QImage
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.queue import after_queue
from commonart_desktop.gui.pages.queue.labels import ERROR, LEFT, NAME, PROGRESS, SETTINGS
from commonart_desktop.gui.pages.queue.page_cache import PAGE, PAGES
from commonart_desktop.gui.pages.queue.panel import QueuePanel
from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from engine.contract import events
from engine.contract.errors import OutOfMemory
from engine.contract.ledger.ledger import Job, Ledger, Line, Row
from tests.support.stub_model import SIDE, requests

Make = Callable[..., QueuePanel]


@pytest.fixture
def panel(context: Context, qtbot: QtBot) -> Make:
    """Makes the panel of the context, shown, its model watched by Qt's tester."""

    def make(watched: bool = True) -> QueuePanel:
        one = QueuePanel(context)
        qtbot.addWidget(one)
        if watched:  # looks at every row, which takes long with thousands
            one.tester = QAbstractItemModelTester(one.model, QAbstractItemModelTester.FailureReportingMode.Fatal)  # type: ignore[attr-defined]
        one.resize(900, 700)
        one.show()
        one.activateWindow()
        qtbot.waitUntil(lambda: one.isActiveWindow() and not one.work.pending)
        one.view.setFocus()
        return one

    return make


def add(context: Context, name: str, count: int, **changes: object) -> int:
    return context.ledger.add_job(name, requests(Path(context.settings.now.model), context.out, count, **changes))


def names(model: LedgerModel) -> list[str]:
    return [model.labels.text(model.item(n), NAME) for n in range(model.rowCount())]


def select(one: QueuePanel, *rows: int) -> None:
    selection = one.view.selectionModel()
    selection.clear()
    for row in rows:
        selection.setCurrentIndex(
            one.model.index(row, 0), QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        )


def states(context: Context, job: int | None = None) -> list[str]:
    return [r.state for r in context.ledger.page(job=job, limit=1000)]


def failed(context: Context, job: int, count: int = 1) -> list[Row]:
    rows = context.ledger.claim("w", lambda rows: [r for r in rows if r.job == job][:count])
    context.ledger.fail([r.id for r in rows], OutOfMemory(device="cpu", width=32, height=32))
    return rows


# the model ------------------------------------------------------------------------------------------------------------


def test_jobs_unfold_to_their_pictures(context: Context, panel: Make) -> None:
    add(context, "apples", 3)
    add(context, "pears", 2)
    model = panel().model
    assert names(model) == ["apples", "pears"]
    model.fold(0)
    assert names(model) == ["apples", "りんご 0", "りんご 1", "りんご 2", "pears"]
    model.fold(4)
    model.fold(0)
    assert names(model) == ["apples", "pears", "りんご 0", "りんご 1"]
    assert model.labels.text(model.item(3), SETTINGS) == "seed 1  3 steps"
    assert model.labels.text(model.item(0), PROGRESS) == "0/3"
    assert model.labels.text(model.item(3), PROGRESS) == "waiting"


def test_only_pages_that_are_looked_at_are_read(context: Context, panel: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    add(context, "many", 5000)
    one = panel(watched=False)
    read: list[tuple[int, int]] = []
    lines = Ledger.lines
    monkeypatch.setattr(
        Ledger, "lines", lambda self, job, **k: read.append((k["offset"], k["limit"])) or lines(self, job, **k)
    )
    one.model.fold(0)
    assert one.model.rowCount() == 5001
    one.view.scrollToBottom()
    one.view.grab()
    assert one.model.labels.text(one.model.item(5000), NAME) == "りんご 4999"
    assert len(read) <= 4 and all(limit == PAGE for _, limit in read)


def test_the_cache_forgets_the_oldest_pages(context: Context, panel: Make) -> None:
    add(context, "many", 6000)
    model = panel(watched=False).model
    model.fold(0)
    for row in range(1, 6001, PAGE):
        assert model.line(row) is not None
    assert len(model.pages) == PAGES < 6000 / PAGE


def test_nothing_is_read_while_nothing_changes(
    context: Context, panel: Make, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    add(context, "apples", 3)
    one = panel()
    one.model.poll()
    seen: list[str] = []
    monkeypatch.setattr(
        Ledger, "_read", lambda self, sql, values=(), read=Ledger._read: seen.append(sql) or read(self, sql, values)
    )
    for _ in range(5):
        assert one.model.poll() is False
    assert set(seen) == {"PRAGMA data_version"}


def test_changes_of_others_are_seen_and_selection_and_folds_stay(context: Context, panel: Make, qtbot: QtBot) -> None:
    first, second = add(context, "apples", 3), add(context, "pears", 2)
    one = panel()
    one.model.fold(one.model.row_of_job(second))
    select(one, 3)  # the second pear
    third = add(context, "plums", 1)
    context.ledger.prioritise(third, 5)
    context.ledger.move(second, first)
    qtbot.waitUntil(lambda: names(one.model) == ["plums", "pears", "りんご 0", "りんご 1", "apples"], timeout=3000)
    chosen, count = one.commands.selected()
    assert isinstance(chosen, Line) and chosen.seed == 1 and count == 1
    context.ledger.set_state([third, first], ["waiting"], "cancelled")
    context.ledger.clear(["cancelled"])
    qtbot.waitUntil(lambda: names(one.model) == ["pears", "りんご 0", "りんご 1"], timeout=3000)
    assert one.commands.selected()[0].seed == 1


def test_under_a_filter_the_selected_picture_is_followed(context: Context, panel: Make, qtbot: QtBot) -> None:
    job = add(context, "apples", 300)
    one = panel()
    one.states.setCurrentIndex(one.states.findData("waiting"))
    one.model.fold(0)
    select(one, 261, 300)  # seeds 260 and 299
    failed(context, job, 7)
    qtbot.waitUntil(lambda: one.model.rowCount() == 294, timeout=3000)
    rows = [i for i in (one.model.item(r.top()) for r in one.view.selectionModel().selection()) if isinstance(i, Row)]
    assert sorted(r.request.seed for r in rows) == [260, 299]
    one.states.setCurrentIndex(one.states.findData("failed"))
    assert one.model.rowCount() == 8 and one.model.labels.text(one.model.item(1), ERROR).startswith(
        "There was not enough memory"
    )


def test_a_running_picture_tells_its_steps(context: Context, panel: Make) -> None:
    add(context, "apples", 3)
    one = panel()
    one.model.fold(0)
    row = context.ledger.claim("w", lambda rows: rows[:1])[0]
    one.model.poll()
    one.model.item(1)
    changed: list[int] = []
    one.model.dataChanged.connect(lambda a, b: changed.append(a.row()))
    one.model.on_event(events.Progress(images=[row.id], step=2, steps=3))
    assert one.model.labels.text(one.model.item(1), PROGRESS) == "step 2/3" and changed == [1]


def test_time_left_says_about(context: Context, panel: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.engine, "pace", lambda: 60.0)
    add(context, "apples", 12)
    add(context, "pears", 125)
    model = panel().model
    assert [model.labels.text(model.item(n), LEFT) for n in (0, 1)] == ["about 12 m", "about 2 h 5 m"]


# what a person does ---------------------------------------------------------------------------------------------------


def test_cancel_retry_and_remove_with_undo(context: Context, panel: Make, qtbot: QtBot) -> None:
    job = add(context, "apples", 4)
    one = panel()
    said: list[tuple[str, str, str, Callable[[], None]]] = []
    context.notices.asked.connect(lambda *a: said.append(a))
    one.model.fold(0)
    select(one, 2, 3)
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: states(context) == ["waiting", "cancelled", "cancelled", "waiting"])
    qtbot.waitUntil(one.commands.actions["retry"].isEnabled)
    select(one, 2)
    one.commands.actions["retry"].trigger()
    qtbot.waitUntil(lambda: states(context) == ["waiting", "waiting", "cancelled", "waiting"])
    first = failed(context, job)[0]
    one.model.poll()
    before = [(r.id, r.state, r.request, r.error) for r in context.ledger.page()]
    one.commands.actions["clear_failed"].trigger()
    qtbot.waitUntil(lambda: len(states(context)) == 3)
    qtbot.waitUntil(lambda: bool(said) and said[-1][2] == "Undo")
    said[-1][3]()
    qtbot.waitUntil(lambda: len(states(context)) == 4)
    assert [(r.id, r.state, r.request, r.error) for r in context.ledger.page()] == before
    assert context.ledger.job(job).failed == 1 and context.ledger.row(first.id) is not None
    one.view.clearSelection()
    qtbot.waitUntil(one.commands.actions["retry"].isEnabled)
    qtbot.keyClick(one.view, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: states(context).count("failed") == 0)


def test_a_whole_removed_job_comes_back(context: Context, panel: Make, qtbot: QtBot) -> None:
    job = add(context, "apples", 2)
    context.ledger.set_state([job], ["waiting"], "cancelled")
    one = panel()
    select(one, 0)
    one.commands.actions["clear_selected"].trigger()
    qtbot.waitUntil(lambda: one.model.rowCount() == 0)
    assert one.stack.currentIndex() == 1  # words instead of an empty table
    one.commands.actions["undo"].trigger()
    qtbot.waitUntil(lambda: names(one.model) == ["apples"])
    assert context.ledger.job(job).cancelled == 2


def test_a_great_selection_is_cancelled_without_being_read_in_the_window(
    context: Context, panel: Make, qtbot: QtBot
) -> None:
    add(context, "apples", 900)
    one = panel()
    one.model.fold(0)
    top = one.model.index(11, 0)
    one.view.selectionModel().select(
        top, QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    )
    from PySide6.QtCore import QItemSelection

    one.view.selectionModel().select(
        QItemSelection(top, one.model.index(900, ERROR)), QItemSelectionModel.SelectionFlag.Select
    )
    one.commands.actions["cancel"].trigger()
    qtbot.waitUntil(lambda: context.ledger.counts()["cancelled"] == 890)
    assert states(context)[:11] == ["waiting"] * 10 + ["cancelled"]


def test_order_priority_pause_and_copies(context: Context, panel: Make, qtbot: QtBot) -> None:
    a, b, c = (add(context, n, 2) for n in "abc")
    one = panel()
    act = one.commands.actions

    def order() -> list[int]:
        return [j.id for j in context.ledger.jobs()]

    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: order() == [b, a, c])
    qtbot.waitUntil(lambda: one.commands.selected()[0].id == a)
    act["down"].trigger()
    qtbot.waitUntil(lambda: order() == [b, c, a])
    qtbot.waitUntil(lambda: names(one.model) == ["b", "c", "a"])
    act["up"].trigger()
    qtbot.waitUntil(lambda: order() == [b, a, c])
    act["raise"].trigger()
    qtbot.waitUntil(lambda: context.ledger.job(a).priority == 1 and order() == [a, b, c])
    act["pause"].trigger()
    qtbot.waitUntil(lambda: context.ledger.job(a).paused and act["resume"].isEnabled())
    act["resume"].trigger()
    qtbot.waitUntil(lambda: not context.ledger.job(a).paused)
    act["duplicate"].trigger()
    qtbot.waitUntil(lambda: len(order()) == 4)
    copy = next(j for j in context.ledger.jobs() if j.id not in (a, b, c))
    assert copy.name == "Copy of a" and [r.request for r in context.ledger.page(job=copy.id)] == [
        r.request for r in context.ledger.page(job=a)
    ]


def test_jobs_are_dragged_to_their_place(context: Context, panel: Make, qtbot: QtBot) -> None:
    a, b, c = (add(context, n, 2) for n in "abc")
    model = panel().model
    model.fold(0)
    data = model.mimeData([model.index(4, 0)])  # c
    assert model.dropMimeData(data, Qt.DropAction.MoveAction, 0, 0, QModelIndex())
    qtbot.waitUntil(lambda: [j.id for j in context.ledger.jobs()] == [c, a, b])
    qtbot.waitUntil(lambda: names(model) == ["c", "a", "りんご 0", "りんご 1", "b"])
    assert model.dropMimeData(
        model.mimeData([model.index(0, 0), model.index(1, 0)]), Qt.DropAction.MoveAction, -1, -1, QModelIndex()
    )
    qtbot.waitUntil(lambda: [j.id for j in context.ledger.jobs()] == [b, c, a])
    assert not model.flags(model.index(1, 0)) & Qt.ItemFlag.ItemIsDragEnabled or isinstance(model.item(1), Job)


def test_waiting_pictures_are_changed(context: Context, panel: Make, qtbot: QtBot) -> None:
    job = add(context, "apples", 3)
    failed(context, job)
    one = panel()
    select(one, 0)
    one.commands.actions["edit"].trigger()
    assert one.edit.isVisible() and one.edit.settings() == {}
    one.edit.steps.setValue(9)
    one.edit.prompt.setText("なし")
    one.edit.apply.click()
    qtbot.waitUntil(lambda: not one.edit.isVisible())
    assert [(r.request.prompt, r.request.steps) for r in context.ledger.page()] == [
        ("りんご 0", 3),
        ("なし", 9),
        ("なし", 9),
    ]
    one.commands.actions["edit"].trigger()
    one.edit.width_.setValue(8)  # too small
    one.edit.apply.click()
    qtbot.waitUntil(one.edit.problem.isVisible)
    assert "width" in one.edit.problem.text() and one.edit.isVisible()


def test_search_shows_pictures_of_any_job(context: Context, panel: Make, qtbot: QtBot) -> None:
    add(context, "apples", 12)
    add(context, "percent", 1, prompt="100%_")
    one = panel()
    one.search.setText("ご 1")
    qtbot.waitUntil(lambda: names(one.model) == ["りんご 1", "りんご 10", "りんご 11"])
    one.search.setText("%_")
    qtbot.waitUntil(lambda: names(one.model) == ["100%_"])
    one.search.setText("nothing like it")
    qtbot.waitUntil(lambda: one.stack.currentIndex() == 1)
    qtbot.mouseClick(one.empty.show_all, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: names(one.model) == ["apples", "percent"])


def test_copying_and_opening(
    context: Context, panel: Make, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add(context, "apples", 2)
    failed(context, job)
    second = context.ledger.claim("w", lambda rows: rows[:1])[0]
    picture = tmp_path / "りんご.png"
    image = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.red)
    assert image.save(str(picture))
    context.ledger.done(second.id, path=picture, pixel_sha256="0", recipe={})
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) or True)
    one = panel()
    one.model.fold(0)
    select(one, 1)
    assert "not enough memory" in one.details.toPlainText() and "smaller" in one.details.toPlainText()
    one.commands.actions["copy_error"].trigger()
    assert "out-of-memory" in QGuiApplication.clipboard().text()
    select(one, 2)
    qtbot.keyClick(one.view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "りんご 1"
    qtbot.waitUntil(lambda: not one.preview.pixmap.isNull())
    qtbot.keyClick(one.view, Qt.Key.Key_Return)
    one.commands.actions["folder"].trigger()
    assert [Path(u.toLocalFile()) for u in opened] == [picture, tmp_path]


def test_arrow_keys_fold(context: Context, panel: Make, qtbot: QtBot) -> None:
    add(context, "apples", 2)
    one = panel()
    one.view.setCurrentIndex(one.model.index(0, 0))
    qtbot.keyClick(one.view, Qt.Key.Key_Right)
    assert one.model.rowCount() == 3
    one.view.setCurrentIndex(one.model.index(2, 0))
    qtbot.keyClick(one.view, Qt.Key.Key_Left)
    qtbot.keyClick(one.view, Qt.Key.Key_Left)
    assert one.model.rowCount() == 1


# the strip and the engine ---------------------------------------------------------------------------------------------


def test_start_makes_pictures_and_space_pauses(context: Context, panel: Make, qtbot: QtBot) -> None:
    add(context, "apples", 6)
    one = panel()
    one.model.fold(0)
    assert one.strip.left.text() == "6 left" and one.strip.does == "start" and one.strip.button.text() == "Start"
    qtbot.keyClick(one.view, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: one.strip.does == "pause" or states(context) == ["done"] * 6, timeout=10_000)
    qtbot.waitUntil(lambda: states(context) == ["done"] * 6, timeout=30_000)
    qtbot.waitUntil(lambda: one.model.labels.text(one.model.item(0), PROGRESS) == "6/6" and not one.strip.does)
    assert [one.model.labels.text(one.model.item(n), PROGRESS) for n in (1, 6)] == ["done", "done"]
    add(context, "pears", 1)
    one.run("pause")
    qtbot.waitUntil(lambda: one.strip.does == "resume")
    assert context.ledger.paused()[0] and "paused" in one.strip.forecast.text()
    context.engine.stop()


def test_after_a_crash_it_asks_before_going_on(context: Context, panel: Make, qtbot: QtBot) -> None:
    add(context, "apples", 3)
    context.ledger.claim("dead", lambda rows: rows[:2])
    one = panel()
    qtbot.waitUntil(one.strip.question.isVisible)
    assert "2 image" in one.strip.question_text.text() and one.strip.does == ""
    one.strip.go_on.click()
    assert not one.strip.question.isVisible()
    qtbot.waitUntil(lambda: states(context) == ["done"] * 3, timeout=30_000)
    context.engine.stop()


def test_the_running_picture_is_shown(context: Context, panel: Make, qtbot: QtBot, tmp_path: Path) -> None:
    add(context, "apples", 1)
    one = panel()
    image = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.green)
    assert image.save(str(tmp_path / "now.webp"))
    context.engine.event.emit(events.Progress(images=[1], step=4, steps=20, preview=str(tmp_path / "now.webp")))
    qtbot.waitUntil(lambda: not one.preview.pixmap.isNull())
    context.engine.event.emit(events.Idle())
    assert one.preview.pixmap.isNull()


def test_when_all_is_done_the_choice_is_carried_out_once(
    context: Context, panel: Make, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add(context, "apples", 1)
    one = panel()
    done: list[str] = []
    monkeypatch.setattr(after_queue.after, "do", lambda what: done.append(what) or 0)
    after = one.after
    after.choice.setCurrentIndex(after.choice.findData("command"))
    after.command.setText("true")
    saved = events.Saved(image=1, report={})
    context.engine.event.emit(events.Idle())  # no work was done
    context.engine.event.emit(saved)
    context.engine.event.emit(events.Idle())  # something waits
    context.ledger.set_state([job], ["waiting"], "cancelled")
    context.engine.event.emit(events.Idle())
    context.engine.event.emit(events.Idle())
    qtbot.waitUntil(lambda: done == ["true"])
    assert context.state.value("queue/then") == "command" and context.state.value("queue/command") == "true"
    said: list[tuple[str, str, str, Callable[[], None]]] = []
    context.notices.asked.connect(lambda *a: said.append(a))
    after.choice.setCurrentIndex(after.choice.findData("sleep"))
    after._grace.setInterval(50)
    context.engine.event.emit(saved)
    context.engine.event.emit(events.Idle())
    said[-1][3]()  # keep it on
    assert not after._grace.isActive() and done == ["true"]
    context.engine.event.emit(saved)
    context.engine.event.emit(events.Idle())
    qtbot.waitUntil(lambda: done == ["true", "sleep"])


def test_what_is_kept_is_there_again_and_no_thread_stays(context: Context, qtbot: QtBot) -> None:
    job = add(context, "apples", 2)
    one = QueuePanel(context)
    one.show()
    qtbot.waitUntil(lambda: not one.work.pending)
    one.model.fold(0)
    one.keep()
    gone: list[bool] = []
    one.destroyed.connect(lambda: gone.append(True))
    one.deleteLater()
    qtbot.waitUntil(lambda: bool(gone))
    assert not [t for t in threading.enumerate() if t.name.startswith("queue")]
    two = QueuePanel(context)
    qtbot.addWidget(two)
    assert two.model.is_open(job) and two.model.rowCount() == 3
