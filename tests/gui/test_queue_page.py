"""The queue's page by mouse and keyboard: dragging, renaming, undo, errors told, what is painted, and what a new window
finds again.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QItemSelection, QItemSelectionModel, QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QDrag, QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make.page import MakePage
from commonart_desktop.gui.pages.queue.labels import ATTEMPTS, ERROR, LEFT, NAME, PROGRESS, SETTINGS
from commonart_desktop.gui.pages.queue.panel import QueuePanel
from commonart_desktop.gui.style import theme
from engine.contract.errors import DiskFull, OutOfMemory
from engine.contract.ledger.schema import STATES
from tests.support.stub_model import requests

Say = list[tuple[str, str, str, Callable[[], None]]]


@pytest.fixture
def panel(context: Context, qtbot: QtBot) -> Callable[[], QueuePanel]:
    """Makes the panel of the context, shown and with the keyboard."""

    def make() -> QueuePanel:
        one = QueuePanel(context)
        qtbot.addWidget(one)
        one.resize(1100, 700)
        one.show()
        one.activateWindow()
        qtbot.waitUntil(lambda: one.isActiveWindow() and not one.work.pending)
        one.view.setFocus()
        return one

    return make


@pytest.fixture
def said(context: Context) -> Say:
    """What the quiet bar was asked to show."""
    found: Say = []
    context.notices.asked.connect(lambda *a: found.append(a))
    return found


def add(context: Context, name: str, count: int, **changes: object) -> int:
    return context.ledger.add_job(name, requests(Path(context.settings.now.model), context.out, count, **changes))


def order(context: Context) -> str:
    return "".join(j.name for j in context.ledger.jobs())


def states(context: Context) -> str:
    return "".join(r.state[0] for r in context.ledger.page(limit=1000))


def shown(one: QueuePanel, column: int = NAME) -> list[str]:
    return [one.model.index(n, column).data() for n in range(one.model.rowCount())]


def at(one: QueuePanel, row: int, part: float = 0.5) -> QPoint:
    """A place in a row: 0 its top, 1 its bottom."""
    rect = one.view.visualRect(one.model.index(row, NAME))
    return QPoint(rect.left() + 120, rect.top() + round(part * (rect.height() - 1)))


def click(one: QueuePanel, row: int, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.mouseClick(one.view.viewport(), Qt.MouseButton.LeftButton, keys, at(one, row))


# dragging -------------------------------------------------------------------------------------------------------------


class Hand:
    """Carries what the view gives to Qt's drag to a place, through the events that the system would send."""

    def __init__(self, one: QueuePanel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.one, self.to, self.leave = one, QPoint(), False
        self.carried: list[str] = []
        self.lines: list[int | None] = []
        monkeypatch.setattr(QDrag, "exec", lambda drag, *_: self._carry(drag))

    def _carry(self, drag: QDrag) -> Qt.DropAction:
        view, mime = self.one.view, drag.mimeData()
        assert not drag.pixmap().isNull()
        self.carried.append(bytes(mime.data("application/x-commonart-jobs").data()).decode())
        self.drop(mime)
        assert view._drop_at is None
        return Qt.DropAction.MoveAction

    def drop(self, mime: QMimeData) -> None:
        port, move, left, none = (
            self.one.view.viewport(),
            Qt.DropAction.MoveAction,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(port, QDragEnterEvent(self.to, move, mime, left, none))
        QApplication.sendEvent(port, QDragMoveEvent(self.to, move, mime, left, none))
        self.lines.append(self.one.view._drop_at)
        port.grab()  # with the line where it would go
        QApplication.sendEvent(
            port, QDragLeaveEvent() if self.leave else QDropEvent(QPointF(self.to), move, mime, left, none)
        )

    def drag(self, row: int, to: QPoint) -> None:
        """Press on a row, move, let go elsewhere."""
        port, self.to = self.one.view.viewport(), to
        QTest.mousePress(port, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at(self.one, row))
        for n in range(1, 4):
            QTest.mouseMove(port, at(self.one, row) + QPoint(10 * n, 4 * n))
        QTest.mouseRelease(port, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, to)


def test_jobs_are_dragged_with_the_mouse(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {n: add(context, n, 2) for n in "abcd"}
    one = panel()
    hand = Hand(one, monkeypatch)
    hand.drag(2, at(one, 0, 0.2))  # c to the upper half of a: before it
    qtbot.waitUntil(lambda: order(context) == "cabd")
    qtbot.waitUntil(lambda: shown(one) == list("cabd"))
    assert hand.carried == [str(ids["c"])] and hand.lines == [0]
    one.model.fold(1)  # c a 1 2 b d
    hand.drag(0, at(one, 2))  # into the pictures of a: behind a
    qtbot.waitUntil(lambda: order(context) == "acbd")
    qtbot.waitUntil(lambda: shown(one)[0] == "a" and shown(one)[3] == "c")
    assert hand.lines[-1] == 4
    hand.drag(0, QPoint(60, one.view.viewport().height() - 5))  # below all
    qtbot.waitUntil(lambda: order(context) == "cbda")
    qtbot.waitUntil(lambda: shown(one)[:4] == list("cbda"))
    click(one, 0)
    click(one, 1, Qt.KeyboardModifier.ControlModifier)
    hand.drag(1, at(one, 2, 0.9))  # two at once, behind d
    qtbot.waitUntil(lambda: order(context) == "dcba")
    assert hand.carried[-1] == f"{ids['c']} {ids['b']}"


def test_what_is_no_job_is_not_dragged_and_nothing_else_dropped(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(context, "a", 2)
    add(context, "b", 1)
    one = panel()
    one.model.fold(0)
    hand = Hand(one, monkeypatch)
    hand.drag(1, at(one, 3, 0.9))  # a picture
    assert hand.carried == []
    words = QMimeData()
    words.setText("b")
    hand.drop(words)
    hand.leave = True
    hand.drag(0, at(one, 3, 0.9))
    assert hand.carried and one.view._drop_at is None
    one.model.poll()
    assert order(context) == "ab"


# keys -----------------------------------------------------------------------------------------------------------------


def test_f2_renames_a_job_while_the_queue_changes(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot
) -> None:
    job = add(context, "apples", 2)
    one = panel()
    one.model.fold(0)
    click(one, 1)  # a picture of it
    qtbot.keyClick(one.view, Qt.Key.Key_F2)
    field = one.view.findChild(QLineEdit)
    assert field is not None and field.text() == "apples"
    field.clear()
    qtbot.keyClicks(field, "ripe ")
    context.ledger.prioritise(job, 1)
    one.model.poll()  # does not put the old name back
    qtbot.keyClicks(field, "pears")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: context.ledger.job(job).name == "ripe pears")
    qtbot.waitUntil(lambda: shown(one)[0] == "ripe pears")
    one.view.setFocus()
    qtbot.keyClick(one.view, Qt.Key.Key_F2)
    field = one.view.findChildren(QLineEdit)[-1]
    field.setText("no")
    qtbot.keyClick(field, Qt.Key.Key_Escape)
    one.model.poll()
    assert context.ledger.job(job).name == "ripe pears"


def test_delete_cancels_and_ctrl_z_undoes(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, said: Say
) -> None:
    add(context, "apples", 4)
    one = panel()
    one.model.fold(0)
    click(one, 2)
    click(one, 3, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: states(context) == "wccw")
    qtbot.waitUntil(lambda: bool(said) and said[-1][2] == "Undo")
    qtbot.keyClick(one.view, Qt.Key.Key_Delete, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: states(context) == "ww")
    for wanted in ("wccw", "wwww"):
        qtbot.keyClick(one.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        qtbot.waitUntil(lambda wanted=wanted: states(context) == wanted)
    qtbot.keyClick(one.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: said[-1][0] == "There is nothing to undo.")


def test_keys_of_jobs(context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot) -> None:
    a = add(context, "a", 1)
    add(context, "b", 1)
    one = panel()
    click(one, 0)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    for key, keys, done in (
        (Qt.Key.Key_P, Qt.KeyboardModifier.NoModifier, lambda: context.ledger.job(a).paused),
        (Qt.Key.Key_P, shift, lambda: not context.ledger.job(a).paused),
        (Qt.Key.Key_Down, control, lambda: order(context) == "ba"),
        (Qt.Key.Key_Plus, control, lambda: context.ledger.job(a).priority == 1 and order(context) == "ab"),
        (Qt.Key.Key_Minus, control, lambda: context.ledger.job(a).priority == 0),
        (Qt.Key.Key_D, control, lambda: len(context.ledger.jobs()) == 3),
    ):
        qtbot.keyClick(one.view, key, keys)
        qtbot.waitUntil(done)
        qtbot.waitUntil(lambda: one.model.poll() is False)
    qtbot.keyClick(one.view, Qt.Key.Key_E, control)
    assert one.edit.isVisible() and one.edit.prompt.hasFocus()
    qtbot.keyClick(one.edit.prompt, Qt.Key.Key_Escape)
    assert not one.edit.isVisible() and one.view.hasFocus()
    qtbot.keyClick(one.view, Qt.Key.Key_F, control)
    assert one.search.hasFocus()
    assert all(
        a.shortcut().toString() in a.toolTip() for a in one.commands.actions.values() if not a.shortcut().isEmpty()
    )


def test_a_click_on_the_mark_unfolds(context: Context, panel: Callable[[], QueuePanel]) -> None:
    add(context, "a", 3)
    one = panel()
    where = one.view.visualRect(one.model.index(0, NAME)).topLeft() + QPoint(14, 10)
    QTest.mouseClick(one.view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, where)
    assert one.model.rowCount() == 4
    QTest.mouseDClick(one.view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at(one, 0))
    assert one.model.rowCount() == 1


def test_a_long_selection_is_copied_and_kept(context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot) -> None:
    job = add(context, "many", 700)
    one = panel()
    one.model.fold(0)
    rows = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    one.view.selectionModel().select(QItemSelection(one.model.index(101, 0), one.model.index(600, ERROR)), rows)
    qtbot.keyClick(one.view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().text().startswith("りんご 100\n"))
    assert QGuiApplication.clipboard().text().endswith("\nりんご 599")
    one.states.setCurrentIndex(one.states.findData("waiting"))
    one.view.selectAll()  # the job too
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: context.ledger.job(job).cancelled == 700)
    qtbot.waitUntil(lambda: one.model.rowCount() == 0)


# what is told ---------------------------------------------------------------------------------------------------------


def test_an_empty_queue_says_what_it_is_for_and_leads_to_the_prompt(
    context: Context, qtbot: QtBot, went: list[str]
) -> None:
    page = MakePage(context)
    qtbot.addWidget(page)
    page.show()
    page.activateWindow()
    qtbot.waitUntil(lambda: page.isActiveWindow() and page.queue.work.pending == 0)
    empty = page.queue.empty
    assert empty.isVisible() and "listed here" in empty.message.text() and "Ctrl+Enter" in empty.hint.text()
    page.compose.negative.setFocus()
    qtbot.mouseClick(empty.compose, Qt.MouseButton.LeftButton)
    assert went == ["make"] and page.compose.prompt.hasFocus()


def test_every_column_says_its_thing(
    context: Context, panel: Callable[[], QueuePanel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context.engine, "pace", lambda: 60.0)
    job = add(context, "apples", 3, width=64, height=32)
    row = context.ledger.claim("w", lambda rows: rows[:1])[0]
    context.ledger.begin([row])
    context.ledger.fail([row.id], OutOfMemory(device="cpu", width=64, height=32))
    context.ledger.prioritise(job, 2)
    one = panel()
    one.model.fold(0)
    told = {c: shown(one, c)[:3] for c in (NAME, SETTINGS, PROGRESS, LEFT, ATTEMPTS, ERROR)}
    assert told == {
        NAME: ["apples", "りんご 0", "りんご 1"],
        SETTINGS: ["priority +2", "seed 0  64×32  3 steps", "seed 1  64×32  3 steps"],
        PROGRESS: ["0/3", "failed", "waiting"],
        LEFT: ["about 2 m", "", ""],
        ATTEMPTS: ["", "1", ""],
        ERROR: ["1 failed", told[ERROR][1], ""],
    }
    assert told[ERROR][1].startswith("There was not enough memory")
    assert one.model.index(1, NAME).data(Qt.ItemDataRole.AccessibleTextRole) == "りんご 0, failed"


def test_an_error_can_be_copied_beside_it(context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot) -> None:
    add(context, "apples", 2)
    row = context.ledger.claim("w", lambda rows: rows[:1])[0]
    context.ledger.fail([row.id], DiskFull(path="/あ"))
    one = panel()
    one.model.fold(0)
    click(one, 1)
    assert "The disk of /あ is full" in one.details.toPlainText() and "Copy error details" in one.details.toPlainText()
    one.details.anchorClicked.emit("copy")
    assert "disk-full" in QGuiApplication.clipboard().text() and "/あ" in QGuiApplication.clipboard().text()
    click(one, 2)
    assert "Copy" not in one.details.toPlainText()


@pytest.fixture
def works(context: Context) -> Iterator[Callable[[], None]]:
    """Starts the real worker; it is gone when the test ends."""
    yield lambda: context.engine.start()
    context.engine.stop()


def test_a_full_disk_holds_the_queue_and_says_so(
    context: Context,
    panel: Callable[[], QueuePanel],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    works: Callable[[], None],
) -> None:
    add(context, "apples", 3)
    one = panel()
    monkeypatch.setenv("COMMONART_FAULT", "ENOSPC@write")
    works()
    qtbot.waitUntil(one.strip.reason.isVisible, timeout=30_000)
    assert (
        "disk" in one.strip.reason_text.text()
        and "full" in one.strip.reason_text.text()
        and "Free some space" in one.strip.reason_text.text()
    )
    one.strip.copy.click()
    assert "disk-full" in QGuiApplication.clipboard().text()
    assert "f" not in states(context) and one.strip.does == "resume"
    qtbot.keyClick(one.view, Qt.Key.Key_Space)  # there is room again
    qtbot.waitUntil(lambda: states(context) == "ddd", timeout=30_000)
    qtbot.waitUntil(lambda: not one.strip.reason.isVisible())


def test_an_output_folder_that_is_gone_holds_the_queue_until_another_is_given(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, works: Callable[[], None], tmp_path: Path
) -> None:
    (tmp_path / "stick").write_text("a file where the folder was", encoding="utf-8")
    context.ledger.add_job("apples", requests(Path(context.settings.now.model), tmp_path / "stick" / "out", 1))
    one = panel()
    works()
    qtbot.waitUntil(one.strip.reason.isVisible, timeout=30_000)
    assert "stick" in one.strip.reason_text.text() and one.strip.does == "resume"
    qtbot.waitUntil(lambda: states(context) == "w")
    one.model.poll()
    click(one, 0)
    one.commands.actions["edit"].trigger()
    one.edit.out.setText(str(tmp_path / "elsewhere"))
    one.edit.apply.click()
    qtbot.waitUntil(lambda: context.ledger.page()[0].request.out == str(tmp_path / "elsewhere"))
    one.strip.button.click()
    qtbot.waitUntil(lambda: states(context) == "d", timeout=30_000)
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_a_model_that_no_longer_loads_is_told_on_the_row(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, works: Callable[[], None]
) -> None:
    model = Path(context.settings.now.model)
    add(context, "apples", 1)
    shutil.rmtree(model / "transformer")
    one = panel()
    one.model.fold(0)
    works()
    qtbot.waitUntil(lambda: states(context) == "f", timeout=30_000)
    qtbot.waitUntil(lambda: bool(one.model.index(1, ERROR).data()))
    click(one, 1)
    assert "What to do" in one.details.toPlainText() or "transformer" in one.details.toPlainText()


# what is painted ------------------------------------------------------------------------------------------------------


def colours_in(one: QueuePanel, row: int, column: int) -> set[str]:
    rect = one.view.visualRect(one.model.index(row, column))
    image = one.view.viewport().grab(rect).toImage()
    return {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_rows_are_painted_in_the_theme(
    context: Context, panel: Callable[[], QueuePanel], qtbot: QtBot, name: str
) -> None:
    theme.apply(QApplication.instance(), name)  # type: ignore[arg-type]
    c = theme.colours()
    add(context, "apples", 4)
    row = context.ledger.claim("w", lambda rows: rows[:1])[0]
    context.ledger.fail([row.id], DiskFull(path="/x"))
    one = panel()
    one.model.fold(0)
    click(one, 3)
    assert c.bad in colours_in(one, 1, ERROR) | colours_in(one, 1, PROGRESS) and c.bad not in colours_in(
        one, 2, PROGRESS
    )
    assert c.selection in colours_in(one, 3, NAME) and c.selection not in colours_in(one, 2, NAME)
    assert c.panel in colours_in(one, 0, SETTINGS) and c.field in colours_in(one, 2, SETTINGS)
    assert QColor(c.accent).name() in colours_in(one, 0, PROGRESS) | colours_in(one, 3, NAME)
    before = one.view.viewport().grab().toImage()
    context.ledger.set_state(None, ["waiting"], "cancelled")
    one.model.poll()
    assert one.view.viewport().grab().toImage() != before
    assert shown(one, PROGRESS)[1:] == ["failed", "cancelled", "cancelled", "cancelled"]
    theme.apply(QApplication.instance(), "light")  # type: ignore[arg-type]


def test_each_state_has_its_own_mark(context: Context, panel: Callable[[], QueuePanel]) -> None:
    one = panel()
    painter = one.view._rows
    add(context, "apples", 1)
    one.model.poll()
    one.view.viewport().grab()
    marks = {s: painter._mark(s).toImage() for s in (*STATES, "pause")}
    assert all(marks[a] != marks[b] for a in marks for b in marks if a < b)


# a new window ---------------------------------------------------------------------------------------------------------


def test_a_new_window_finds_the_queue_where_it_was(context: Context, qtbot: QtBot) -> None:
    a = add(context, "a", 300)
    add(context, "b", 2)
    one = QueuePanel(context)
    one.resize(1300, 700)
    one.show()
    qtbot.waitUntil(lambda: not one.work.pending)
    one.model.fold(0)
    one.view.setColumnWidth(SETTINGS, 222)
    one.split.setSizes([300, 300])
    one.states.setCurrentIndex(one.states.findData("waiting"))
    one.view.verticalScrollBar().setValue(120)
    sizes = one.split.sizes()
    one.keep()
    gone: list[bool] = []
    one.destroyed.connect(lambda: gone.append(True))
    one.deleteLater()
    qtbot.waitUntil(lambda: bool(gone))
    assert not [t for t in threading.enumerate() if t.name.startswith("queue")]
    two = QueuePanel(context)
    qtbot.addWidget(two)
    two.resize(1300, 700)
    two.show()
    qtbot.waitUntil(lambda: two.view.verticalScrollBar().value() == 120)
    assert (
        two.model.is_open(a)
        and two.model.state == "waiting"
        and two.view.columnWidth(SETTINGS) == 222
        and two.split.sizes() == sizes
    )
