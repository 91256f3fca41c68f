"""The Pictures page over real files, a real index, and pictures that a real worker makes while it looks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PySide6.QtCore import QItemSelectionModel, QPoint, QPointF, QRect, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QAbstractItemView, QApplication, QLabel, QLineEdit, QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.gallery import file_operations
from commonart_desktop.gui.pages.gallery.grid_view import SIZES
from commonart_desktop.gui.pages.gallery.page import GalleryPage
from commonart_desktop.gui.pages.verify.gallery_section import ProvenancePanel
from tests.support.gallery import TIMEOUT, NoBin, names, open_gallery, ready, select, write  # noqa: F401
from tests.support.stub_model import requests

# the page -------------------------------------------------------------------------------------------------------------


def test_empty_page_offers_to_make(page: Callable[[], GalleryPage], went: list[str], qtbot: QtBot) -> None:
    one = page()
    assert one.stack.currentWidget() is one.empty and one.empty.button.text() == "Make images"
    qtbot.mouseClick(one.empty.button, Qt.MouseButton.LeftButton)
    assert went == ["make"]


def test_search_and_rate_by_keyboard(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(30):
        write(context.out / f"{n:02}.png", n)
    one = page()
    assert names(one)[:2] == ["29.png", "28.png"] and one.model.rowCount() == 30
    select(one, 0, 1)
    one.view.setFocus()
    qtbot.keyClick(one.view, Qt.Key.Key_4)
    qtbot.keyClick(one.view, Qt.Key.Key_S)
    qtbot.waitUntil(
        lambda: all(one.model.image(r).rating == 4 and one.model.image(r).starred for r in (0, 1)), timeout=TIMEOUT
    )
    assert "rating 4 of 5" in one.model.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    one.filters.starred.setChecked(True)
    qtbot.waitUntil(lambda: one.model.rowCount() == 2, timeout=TIMEOUT)
    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: names(one) == ["28.png"], timeout=TIMEOUT)
    one.filters.starred.setChecked(False)
    qtbot.keyClick(one, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(one.filters.search.hasFocus, timeout=TIMEOUT)
    qtbot.keyClicks(one.filters.search, "ss5")  # letters are letters here
    qtbot.waitUntil(lambda: one.stack.currentWidget() is one.empty, timeout=TIMEOUT)
    assert one.empty.button.text() == "Show all images" and not one.model.image(0)
    qtbot.mouseClick(one.empty.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: one.model.rowCount() == 30, timeout=TIMEOUT)
    one.filters.rating.setCurrentIndex(4)
    qtbot.waitUntil(lambda: names(one) == ["29.png", "28.png"], timeout=TIMEOUT)


def test_panel_tells_the_recipe(
    page: Callable[[], GalleryPage], context: Context, went: list[str], qtbot: QtBot
) -> None:
    write(context.out / "a.png", 7, negative="雲", prompt="<b>りんご</b>")
    Image.new("RGB", (8, 8)).save(context.out / "other.jpg")
    os.utime(context.out / "other.jpg", (1_600_000_000, 1_600_000_000))
    one = page()
    assert not one.actions_["use"].isEnabled()
    select(one, 0)
    told = one.side.recipe.values
    assert (told["seed"], told["negative"], told["size"], told["dtype"], told["unknown"]) == (
        "7",
        "雲",
        "32 × 32",
        "fp32",
        "ほげ",
    )
    assert (
        told["prompt"] == "<b>りんご</b>"
        and told["hashes"] == "denoiser " + "ab" * 32
        and "&lt;b&gt;" in one.model.index(0).data(Qt.ItemDataRole.ToolTipRole)
    )
    with qtbot.waitSignal(one.use_recipe) as said:
        one.actions_["use"].trigger()
    assert said.args[0]["request"]["seed"] == 7 and went == ["make"]
    one.actions_["copy_prompt"].trigger()
    assert QGuiApplication.clipboard().text() == "<b>りんご</b>"
    one.actions_["copy"].trigger()
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().mimeData().hasImage(), timeout=TIMEOUT)
    select(one, 1)  # without a recipe
    assert (
        not one.actions_["use"].isEnabled()
        and not one.actions_["copy_prompt"].isEnabled()
        and "file" in one.side.recipe.values
    )


def test_viewer_and_compare(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(3):
        write(context.out / f"{n}.png", n, side=64)
    (context.out / "zbad.png").write_bytes(b"no picture")
    os.utime(context.out / "zbad.png", (1_600_000_000, 1_600_000_000))
    one = page()
    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_Return)
    left, right = one.viewer.views
    qtbot.waitUntil(lambda: left.loaded, timeout=TIMEOUT)
    assert one.stack.currentWidget() is one.viewer and left.path.endswith("2.png") and not right.isVisible()
    qtbot.keyClick(one.viewer, Qt.Key.Key_5)
    qtbot.waitUntil(lambda: one.model.image(0).rating == 5, timeout=TIMEOUT)
    for _ in range(5):
        qtbot.keyClick(one.viewer, Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: left.broken, timeout=TIMEOUT)
    assert left.path.endswith("zbad.png") and one.view.rows() == [3]
    qtbot.keyClick(one.viewer, Qt.Key.Key_Escape)
    assert one.stack.currentWidget() is one.view and one.filters.isVisible()
    select(one, 0, 2)
    qtbot.keyClick(one.view, Qt.Key.Key_C)
    qtbot.waitUntil(lambda: left.loaded and right.loaded, timeout=TIMEOUT)
    assert right.isVisible() and {Path(left.path).stem, Path(right.path).stem} == {"0", "2"}
    qtbot.keyClick(one.viewer, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert left.zoom() == right.zoom() == 1.0
    right.zoom_by(3.0, QPointF(10, 10))
    assert left.position == right.position and left.zoom() == pytest.approx(3.0) and left.position[1] < 0.5
    qtbot.keyClick(one.viewer, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert left.position[0] == 0.0
    assert one.model.image(0).rating == 5  # Ctrl+0 is not "no rating"


def test_delete_and_undo(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(4):
        write(context.out / f"{n}.png", n)
    one = page()
    said: list[tuple[Any, ...]] = []
    context.notices.asked.connect(lambda text, hint, action, do: said.append((text, hint, action, do)))
    select(one, 1, 2)
    one.library.rate([one.model.image(1).id], 3)
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: names(one) == ["3.png", "0.png"] and bool(said), timeout=TIMEOUT)
    assert not (context.out / "2.png").exists() and said[0][0] == "Moved to the recycle bin: 2"
    qtbot.waitUntil(lambda: one.view.rows() == [1], timeout=TIMEOUT)  # what follows is selected: Delete again goes on
    assert said[0][2] == "Undo"
    said[0][3]()
    qtbot.waitUntil(lambda: names(one) == ["3.png", "2.png", "1.png", "0.png"], timeout=TIMEOUT)
    assert (context.out / "2.png").exists() and one.model.image(1).rating == 3
    assert not list(context.out.parent.glob("data/Trash/info/*"))


def test_made_pictures_come_on_top(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(3):
        write(context.out / f"old {n}.png", n)
    one = page()
    select(one, 0)
    resets: list[int] = []
    one.model.modelReset.connect(lambda: resets.append(1))
    context.ledger.add_job("new", requests(Path(context.settings.now.model), context.out, 2, prompt="猫"))
    context.engine.start()
    qtbot.waitUntil(lambda: one.model.rowCount() == 5 and ready(one), timeout=60_000)
    assert not resets and one.view.rows() == [2] and [one.model.image(r).prompt for r in (0, 1)] == ["猫", "猫"]
    select(one, 0)
    assert one.actions_["variations"].isEnabled()
    one.actions_["variations"].trigger()
    qtbot.waitUntil(lambda: one.model.rowCount() == 9, timeout=60_000)
    rows = [r for _, r in context.ledger.every()]
    assert (
        len({r.request.seed for r in rows}) == 6
        and {r.request.prompt for r in rows} == {"猫"}
        and {r.state for r in rows} == {"done"}
    )
    context.engine.stop()
    qtbot.waitUntil(lambda: context.engine.now == "off", timeout=TIMEOUT)


def test_variations_wait_behind_stranded_rows(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    write(context.out / "a.png", 1)
    context.ledger.add_job("cut off", requests(Path(context.settings.now.model), context.out, 1))
    context.ledger.claim("dead", lambda rows: rows)
    one = page()
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    select(one, 0)
    one.actions_["variations"].trigger()
    qtbot.waitUntil(lambda: context.ledger.counts()["waiting"] == 4 and bool(said), timeout=TIMEOUT)
    assert context.engine.now == "off" and "cut off" in said[0]


def test_folders_sizes_and_order_are_kept(
    page: Callable[[], GalleryPage], context: Context, tmp_path: Path, qtbot: QtBot
) -> None:
    write(context.out / "a.png", 1)
    write(tmp_path / "elsewhere" / "deep" / "b.png", 2)
    one = page()
    one.folders.add(str(tmp_path / "elsewhere"))
    qtbot.waitUntil(lambda: names(one) == ["b.png", "a.png"] and one.filters.folder.count() == 4, timeout=TIMEOUT)
    one.filters.folder.setCurrentIndex(one.filters.folder.findData(str(tmp_path / "elsewhere")))
    qtbot.waitUntil(lambda: names(one) == ["b.png"], timeout=TIMEOUT)
    one.filters.sort.setCurrentIndex(2)
    one.sizes.slider.setValue(SIZES[1])
    one.keep()
    context.state.sync()
    two = page()
    assert two.view.side == SIZES[1] and names(two) == ["a.png", "b.png"]
    two.folders.remove(str(tmp_path / "elsewhere"))
    qtbot.waitUntil(lambda: names(two) == ["a.png"], timeout=TIMEOUT)


def test_a_damaged_index_is_made_anew(page: Callable[[], GalleryPage], context: Context, tmp_path: Path) -> None:
    write(context.out / "a.png", 1)
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "gallery.db").write_bytes(b"garbage" * 1000)
    one = page()
    assert names(one) == ["a.png"] and one.library.renamed is not None and one.library.renamed.exists()


def test_threads_end_with_the_page(context: Context, qtbot: QtBot) -> None:
    one = GalleryPage(context, ProvenancePanel)
    library = one.library
    one.deleteLater()
    del one
    qtbot.waitUntil(
        lambda: library.stopped and not [t for t in threading.enumerate() if t.name.startswith("gallery")],
        timeout=TIMEOUT,
    )


def test_keys_and_mouse_on_the_wall(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(60):
        write(context.out / f"{n:02}.png", n)
    one = page()
    view, columns = one.view, one.view._columns
    assert columns > 2
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(one.model.index(1)).center())
    assert view.rows() == [1] and view.currentIndex().row() == 1
    for key, row in (
        (Qt.Key.Key_Down, 1 + columns),
        (Qt.Key.Key_Right, 2 + columns),
        (Qt.Key.Key_Up, 2),
        (Qt.Key.Key_Left, 1),
        (Qt.Key.Key_Up, 1),
        (Qt.Key.Key_End, 59),
        (Qt.Key.Key_Down, 59),
        (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_Left, 0),
    ):
        qtbot.keyClick(view, key)
        assert view.rows() == [row], key
        assert view.viewport().rect().contains(view.visualRect(view.currentIndex()).center())
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert view.rows() == list(range(columns + 1))
    qtbot.mouseClick(
        view.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.ControlModifier,
        view.visualRect(one.model.index(2)).center(),
    )
    assert view.rows() == [0, 1, *range(3, columns + 1)]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(one.model.index(2)).center())
    qtbot.mouseClick(
        view.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.ShiftModifier,
        view.visualRect(one.model.index(2 * columns)).center(),
    )
    assert view.rows() == list(range(2, 2 * columns + 1))
    qtbot.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: ready(one) and len(one.chosen.ids) == 60, timeout=TIMEOUT)
    assert "60" in one.side.recipe._body.findChildren(QLabel)[0].text()
    qtbot.keyClick(view, Qt.Key.Key_2)
    qtbot.waitUntil(lambda: ready(one) and one.model.image(0).rating == 2, timeout=TIMEOUT)
    qtbot.keyClick(view, Qt.Key.Key_0)
    qtbot.waitUntil(
        lambda: ready(one) and one.model.image(0).rating == 0 and one.side.rating.currentIndex() == 0, timeout=TIMEOUT
    )
    # a frame drawn with the mouse over the first two of two lines
    view.verticalScrollBar().setValue(0)
    last = view.visualRect(one.model.index(columns + 1))
    rect = view.viewport().rect()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=rect.bottomRight() - QPoint(1, 1))
    view.setState(QAbstractItemView.State.DragSelectingState)
    view.setSelection(QRect(QPoint(2, 2), last.center()), QItemSelectionModel.SelectionFlag.ClearAndSelect)
    view.setState(QAbstractItemView.State.NoState)
    assert view.rows() == [0, 1, columns, columns + 1]
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(one.model.index(1)).center())
    qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(one.model.index(1)).center())
    qtbot.waitUntil(lambda: one.stack.currentWidget() is one.viewer, timeout=TIMEOUT)
    qtbot.keyClick(one.viewer, Qt.Key.Key_Escape)
    assert one.stack.currentWidget() is view and view.rows() == [1]


def test_zoom_with_the_mouse(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    Image.new("RGB", (3000, 1500), (200, 30, 30)).save((context.out.mkdir() or context.out) / "a.png")
    one = page()
    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_Return)
    left = one.viewer.views[0]
    qtbot.waitUntil(lambda: left.full_size, timeout=TIMEOUT)
    fit = left.zoom()
    assert fit == pytest.approx(left.width() / 3000) and f"{fit:.0%}" in one.viewer._zoom.text()
    at = QPointF(30, left.height() / 2)

    def wheel(notches: int) -> None:
        event = QWheelEvent(
            at,
            left.mapToGlobal(at),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(left, event)

    before = (at.x() - left._target().x()) / left._target().width()
    wheel(3)
    assert left.zoom() == pytest.approx(fit * 1.2**3)
    assert (at.x() - left._target().x()) / left._target().width() == pytest.approx(
        before
    )  # what is under the pointer stays there
    scan_finished = left.position
    qtbot.mousePress(left, Qt.MouseButton.LeftButton, pos=QPoint(200, 200))
    qtbot.mouseMove(left, QPoint(150, 200))
    qtbot.mouseRelease(left, Qt.MouseButton.LeftButton, pos=QPoint(150, 200))
    assert left.position[1] > scan_finished[1]
    wheel(-1)
    assert left.zoom() == pytest.approx(fit * 1.2**2)
    buttons = {b.text(): b for b in one.viewer.findChildren(QToolButton)}
    qtbot.mouseClick(buttons["100 %"], Qt.MouseButton.LeftButton)
    assert left.zoom() == 1.0
    qtbot.mouseClick(buttons["Fit"], Qt.MouseButton.LeftButton)
    assert left.zoom() == fit
    left.grab()


def test_others_files_come_and_go_by_themselves(
    page: Callable[[], GalleryPage], context: Context, qtbot: QtBot
) -> None:
    """Within a second, without anybody asking; only the time that is waited for is not measured here."""
    write(context.out / "a.png", 1)
    one = page()
    write(context.out / "二.png", 2)
    qtbot.waitUntil(lambda: names(one) == ["二.png", "a.png"], timeout=TIMEOUT)
    write(context.out / "2026" / "c.png", 3)
    qtbot.waitUntil(lambda: names(one) == ["c.png", "二.png", "a.png"], timeout=TIMEOUT)
    data = (context.out / "a.png").read_bytes()
    (context.out / "2026" / "slow.png").write_bytes(data[:100])  # somebody writes it bit by bit
    qtbot.waitUntil(lambda: bool(one.folders.watch._dirty) or one.library.idle, timeout=TIMEOUT)
    assert "slow.png" not in names(one)
    (context.out / "2026" / "slow.png").write_bytes(data)
    qtbot.waitUntil(lambda: "slow.png" in names(one), timeout=TIMEOUT)
    select(one, names(one).index("c.png"))
    one.open_viewer()
    qtbot.waitUntil(lambda: one.stack.currentWidget() is one.viewer, timeout=TIMEOUT)
    (context.out / "2026").rename(context.out.parent / "away")  # the folder vanishes while its picture is looked at
    qtbot.waitUntil(
        lambda: names(one) == ["二.png", "a.png"] and one.stack.currentWidget() is one.view, timeout=TIMEOUT
    )
    context.out.rename(context.out.parent / "all away")
    qtbot.waitUntil(lambda: one.stack.currentWidget() is one.empty, timeout=TIMEOUT)


def test_the_large_view_of_what_cannot_be_read(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    whole = write(context.out / "a.png", 1, side=64).read_bytes()
    (context.out / "a.png").write_bytes(whole[: len(whole) // 3])
    os.utime(context.out / "a.png", (1_600_000_000, 1_600_000_000))
    Image.new("1", (20_000, 20_000), 1).save(context.out / "b.png")
    one = page()
    select(one, 0)
    one.open_viewer()
    left = one.viewer.views[0]
    qtbot.waitUntil(lambda: left.loaded, timeout=TIMEOUT)
    assert left.size_.width() == 20_000 and not left.full_size and left._first.width() <= 4096
    one.viewer.actual_size()
    assert "× 20" in one.viewer._zoom.text() and "scaled down" in one.viewer._zoom.text()
    left.grab()
    qtbot.keyClick(one.viewer, Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: left.broken, timeout=TIMEOUT)
    left.grab()
    qtbot.keyClick(one.viewer, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: bool(one.thumbnails.broken), timeout=TIMEOUT)
    one.view.grab()


def test_no_recycle_bin(
    page: Callable[[], GalleryPage], context: Context, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    write(context.out / "a.png", 1)
    one = page()
    said: list[tuple[str, str]] = []
    context.notices.asked.connect(lambda text, hint, action, do: said.append((text, hint)))
    monkeypatch.setattr(file_operations, "QFile", NoBin)
    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: bool(said), timeout=TIMEOUT)
    assert (
        said[0][0] == "1 images could not be moved to the recycle bin; they stay where they are."
        and "no recycle bin" in said[0][1]
    )
    assert (context.out / "a.png").exists() and names(one) == ["a.png"]


def test_undo_by_key_and_what_is_gone(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(3):
        write(context.out / f"{n}.png", n)
    one = page()
    select(one, 0)
    assert not one.actions_["undo"].isEnabled()
    one.view.setFocus()
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: names(one) == ["1.png", "0.png"] and one.actions_["undo"].isEnabled(), timeout=TIMEOUT)
    qtbot.keyClick(one.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: names(one) == ["2.png", "1.png", "0.png"], timeout=TIMEOUT)
    assert (context.out / "2.png").exists()


def test_sections_beside_the_picture(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    class Told(QLabel):
        def __init__(self) -> None:
            super().__init__()
            self.shown: list[Path | None] = []

        def show_image(self, path: Path | None) -> None:
            self.shown.append(path)

    for n in range(2):
        write(context.out / f"{n}.png", n)
    one = page()
    section = Told()
    one.side.add_section("Where it is from", section)
    assert section.shown == [None] and not section.isVisible()
    select(one, 0)
    assert section.shown[-1] == context.out / "1.png" and section.isVisible()
    asked = len(section.shown)
    one.commands.rate(3)
    qtbot.waitUntil(lambda: ready(one) and one.side.rating.currentIndex() == 3, timeout=TIMEOUT)
    assert len(section.shown) == asked  # a rating is no other picture
    select(one, 0, 1)
    assert section.shown[-1] is None and not section.isVisible()


def test_the_recipe_is_copied_whole(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    write(context.out / "a.png", 7, negative="雲", loras=(("style.safetensors", 0.5),))
    one = page()
    select(one, 0)
    button = next(b for b in one.side.recipe._body.findChildren(QPushButton) if b.text() == "Copy all of this")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    text = QGuiApplication.clipboard().text()
    assert "Seed: 7" in text and "ab" * 32 in text and '"commonart"' in text and "Negative prompt: 雲" in text
    assert "ab" * 32 in [line.text() for line in one.side.recipe._body.findChildren(QLineEdit)]


def test_a_vanished_folder_is_not_opened(
    page: Callable[[], GalleryPage], context: Context, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("PySide6.QtGui.QDesktopServices.openUrl", lambda url: opened.append(url.toLocalFile()) or True)
    write(context.out / "日本語 #1" / "a.png", 1)
    one = page()
    select(one, 0)
    qtbot.keyClick(one.view, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: opened == [str(context.out / "日本語 #1")], timeout=TIMEOUT)
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    one.folders.watch.stop()  # nobody has told the page yet
    (context.out / "日本語 #1").rename(context.out / "away")
    one.actions_["folder"].trigger()
    qtbot.waitUntil(lambda: bool(said), timeout=TIMEOUT)
    assert "no longer there" in said[0] and len(opened) == 1
