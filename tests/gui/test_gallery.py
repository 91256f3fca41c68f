"""The Pictures page over real files, a real index, and pictures that a real worker makes while it looks."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from commonart_desktop.core.picture_text import MAX_TEXT, read_text, recipe_of
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.gallery_index import Index, Query, scan
from commonart_desktop.gui.gallery_library import steps
from commonart_desktop.gui.gallery_page import GalleryPage
from commonart_desktop.gui.gallery_view import SIZES
from commonart_desktop.gui.thumbnails import SIDE, Thumbnails, prune, read_image
from engine.contract import recipe as recipes
from engine.contract.recipe import parameters
from engine.contract.request import ImageRequest
from engine.output.image import to_bytes
from tests.stub import requests

TIMEOUT = 20_000


def write(path: Path, n: int = 0, kind: str = "png", side: int = 32, **asked: Any) -> Path:
    """A picture of ours; ``n`` also sets its time."""
    request = ImageRequest(**{"prompt": f"りんご {n}", "seed": n, "width": side, "height": side, "model": "stub", "template": "{りんご|みかん} & <b>"} | asked)
    recipe = recipes.build(request, model="stub", hashes={"denoiser": "ab" * 32}, backend={"backend": "fake", "device": "cpu", "dtype": "fp32"}, batch=(1, 0), pixel_sha256="0", app="test",
                           unknown_words=["ほげ"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(np.full((side, side, 3), n * 7 % 256, np.uint8), kind, recipe))
    os.utime(path, (1_700_000_000 + n, 1_700_000_000 + n))
    return path


@pytest.fixture
def page(context: Context, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], GalleryPage]]:
    """A function that opens the page and waits until it has looked through the folders."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # the recycle bin
    made: list[GalleryPage] = []

    def open_page() -> GalleryPage:
        one = GalleryPage(context)
        made.append(one)
        qtbot.addWidget(one)
        one.resize(1100, 700)
        QAbstractItemModelTester(one.model, QAbstractItemModelTester.FailureReportingMode.Fatal, one)
        with qtbot.waitSignal(one.library.scanned, timeout=TIMEOUT):
            one.show()
        qtbot.waitUntil(lambda: one.model.known and one.library._desk._work.empty(), timeout=TIMEOUT)
        with qtbot.waitSignal(one.model.answered, timeout=TIMEOUT):
            one._ask()
        return one

    yield open_page
    for one in made:
        one.library.stop()
        one.thumbnails.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("gallery")]


def names(page: GalleryPage) -> list[str]:
    return [page.model.index(r).data() for r in range(page.model.rowCount())]


def select(page: GalleryPage, *rows: int) -> None:
    page._select(list(rows))


# the words in a file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_recipes_are_read_without_pillow(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.bin", 3, kind, negative="ぼやけ <&>")
    text = read_text(path)
    recipe = recipe_of(text.recipe)
    assert recipe is not None and recipe["request"]["negative"] == "ぼやけ <&>" and recipe["request"]["template"] == "{りんご|みかん} & <b>"
    assert text.parameters == parameters(recipe)
    assert recipes.request_of(recipe).seed == 3


def test_other_tools_and_packed_chunks(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "a cat\nNegative prompt: dog\nSteps: 20", zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    assert read_text(tmp_path / "a.png").parameters.startswith("a cat\n")
    info = PngImagePlugin.PngInfo()
    info.add_text("commonart", "x" * (MAX_TEXT * 3), zip=True)  # grows when unpacked
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png", pnginfo=info)
    assert len(read_text(tmp_path / "b.png").recipe) <= MAX_TEXT


def test_broken_files_have_no_words(tmp_path: Path) -> None:
    for kind in ("png", "webp", "jpeg"):
        whole = write(tmp_path / "whole", 1, kind).read_bytes()
        for cut in range(0, min(len(whole), 1500), 23):
            (tmp_path / "cut").write_bytes(whole[:cut])
            read_text(tmp_path / "cut")
            (tmp_path / "cut").write_bytes(whole[:cut] + bytes(255 - b for b in whole[cut:cut + 3]) + whole[cut + 3:])
            read_text(tmp_path / "cut")
    assert read_text(tmp_path / "none").recipe == ""
    assert recipe_of("[1]") is None and recipe_of('{"request": 3}') is None and recipe_of("[" * 100_000) is None


# the index ------------------------------------------------------------------------------------------------------------


def look(index: Index, *deep: Path, flat: tuple[str, ...] = ()) -> int:
    counts: list[int] = []
    assert scan(index, [str(d) for d in deep], list(flat), threading.Event(), counts.append)
    return sum(counts)


def test_scan_takes_only_what_changed(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    for n in range(5):
        write(tmp_path / "out" / ("2026" if n % 2 else ".") / f"{n}.png", n)
    write(tmp_path / "out" / ".hidden.png")
    (tmp_path / "out" / "note.txt").write_text("x")
    write(tmp_path / "other" / "deeper" / "9.png", 9)
    write(tmp_path / "other" / "8.png", 8)
    assert look(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 6
    assert look(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 0
    ids = index.ids(Query())
    assert [p.prompt for i in ids for p in index.pictures([i])] == [f"りんご {n}" for n in (8, 4, 3, 2, 1, 0)]
    index.rate([ids[1]], 4)
    index.star([ids[1]], True)
    write(tmp_path / "out" / "4.png", 4, prompt="別の絵")
    os.utime(tmp_path / "out" / "4.png", (1_700_000_100, 1_700_000_100))
    (tmp_path / "out" / "0.png").unlink()
    assert look(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 2
    first = index.pictures([index.ids(Query())[0]])[0]
    assert (first.prompt, first.rating, first.starred) == ("別の絵", 4, True)  # the same file, made anew
    (tmp_path / "out").rename(tmp_path / "gone")  # an unplugged disk: what was rated is remembered
    look(index, tmp_path / "out")
    assert len(index.ids(Query())) == 0
    (tmp_path / "gone").rename(tmp_path / "out")
    look(index, tmp_path / "out")
    assert index.pictures([index.ids(Query(rating=4))[0]])[0].prompt == "別の絵"
    index.close()


def test_search_sort_and_filter(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    write(tmp_path / "a" / "x.png", 1, prompt="青い空、Mountain")
    write(tmp_path / "a" / "b" / "W.png", 2, prompt="青い海", negative="雲", sampler="euler")
    write(tmp_path / "ab" / "v.png", 3, prompt="50% _off_")
    look(index, tmp_path)

    def found(**query: Any) -> list[str]:
        return [Path(index.pictures([i])[0].path).stem for i in index.ids(Query(**query))]

    assert found() == ["v", "W", "x"] and found(sort="name") == ["v", "W", "x"][0:1] + ["W", "x"]
    assert found(text="青い") == ["W", "x"] and found(text="い海") == ["W"] and found(text="青い　MOUNTAIN") == ["x"]
    assert found(text="ＥＵＬＥＲ 雲") == ["W"] and found(text="青い 無い") == []
    assert found(text="%") == ["v"] and found(text="0% _") == ["v"] and found(text="x") == ["v", "W", "x"]  # 32x32 and x.png
    assert found(folder=str(tmp_path / "a")) == ["W", "x"]
    ids = index.ids(Query())
    index.rate([ids[2]], 5)
    index.rate([ids[0]], 2)
    assert found(sort="rating") == ["x", "v", "W"] and found(rating=3) == ["x"] and found(rating=1) == ["v", "x"]
    index.star([ids[1]], True)
    assert found(starred=True) == ["W"]
    index.close()


def test_steps_make_one_list_the_other() -> None:
    def follow(old: list[int], new: list[int]) -> None:
        now = array("q", old)
        for first, last, ids in steps(now, array("q", new)) or ():
            if ids:
                now[first:first] = ids
            else:
                del now[first:last + 1]
        assert list(now) == new

    follow([5, 4, 3, 2, 1], [9, 5, 3, 8, 7, 2])
    follow([1, 2, 3], [1, 2, 3, 4])
    assert steps(array("q", [1, 2]), array("q", [2, 1])) is None
    assert steps(array("q"), array("q", [1])) is None
    assert steps(array("q", range(1000)), array("q", range(0, 1000, 2))) is None  # too many to tell one by one


# thumbnails -----------------------------------------------------------------------------------------------------------


def test_thumbnails_are_made_kept_and_cancelled(tmp_path: Path, qtbot: QtBot) -> None:
    index = Index(tmp_path / "i.db")
    for n in range(12):
        write(tmp_path / "out" / f"{n}.png", n, side=300)
    (tmp_path / "out" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot")
    (tmp_path / "out" / "fake.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    look(index, tmp_path / "out")
    pictures = index.pictures(list(index.ids(Query(sort="name"))))
    bad = [p for p in pictures if p.path.endswith(("bad.png", "fake.png"))]
    good = [p for p in pictures if p not in bad]
    thumbs = Thumbnails(tmp_path / "cache")
    for p in pictures:
        assert thumbs.get(p) is None
    qtbot.waitUntil(lambda: all(thumbs.get(p) for p in good) and all(thumbs.is_broken(p) for p in bad), timeout=TIMEOUT)
    assert thumbs.get(good[0]).width() == SIDE
    files = list((tmp_path / "cache").glob("*/*.thumb"))
    assert len(files) == 12 and thumbs.memory == 12 * SIDE * SIDE * 4
    thumbs.stop()
    again = Thumbnails(tmp_path / "cache")
    Path(good[0].path).unlink()  # its thumbnail comes from the disk
    again.get(good[0])
    qtbot.waitUntil(lambda: again.get(good[0]) is not None, timeout=TIMEOUT)
    again._pool.setMaxThreadCount(1)
    hold = threading.Event()
    again._pool.start(hold.wait)
    for p in good[1:]:
        again.get(p)
    assert again.waiting == 11
    again.forget_wanted()
    assert again.waiting == 0
    again.get(good[5])
    hold.set()
    qtbot.waitUntil(lambda: again.get(good[5]) is not None, timeout=TIMEOUT)
    assert len(again._kept) == 2  # the others were never made
    again.stop()
    assert prune(tmp_path / "cache", limit=0) == 12
    index.close()


def test_only_three_formats_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    assert read_image(str(tmp_path / "a.png")).isNull()
    write(tmp_path / "b.png", 1, "jpeg")
    assert read_image(str(tmp_path / "b.png")).width() == 32


# the page -------------------------------------------------------------------------------------------------------------


def test_empty_page_offers_to_make(page: Callable[[], GalleryPage], went: list[str], qtbot: QtBot) -> None:
    one = page()
    assert one.stack.currentWidget() is one._empty and one.hint_button.text() == "Make pictures"
    qtbot.mouseClick(one.hint_button, Qt.MouseButton.LeftButton)
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
    qtbot.waitUntil(lambda: all(one.model.picture(r).rating == 4 and one.model.picture(r).starred for r in (0, 1)), timeout=TIMEOUT)
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
    qtbot.waitUntil(lambda: one.stack.currentWidget() is one._empty, timeout=TIMEOUT)
    assert one.hint_button.text() == "Show all pictures" and not one.model.picture(0)
    qtbot.mouseClick(one.hint_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: one.model.rowCount() == 30, timeout=TIMEOUT)
    one.filters.rating.setCurrentIndex(4)
    qtbot.waitUntil(lambda: names(one) == ["29.png", "28.png"], timeout=TIMEOUT)


def test_panel_tells_the_recipe(page: Callable[[], GalleryPage], context: Context, went: list[str], qtbot: QtBot) -> None:
    write(context.out / "a.png", 7, negative="雲", prompt="<b>りんご</b>")
    Image.new("RGB", (8, 8)).save(context.out / "other.jpg")
    os.utime(context.out / "other.jpg", (1_600_000_000, 1_600_000_000))
    one = page()
    assert not one.actions_["use"].isEnabled()
    select(one, 0)
    told = one.side.recipe.values
    assert (told["seed"], told["negative"], told["size"], told["dtype"], told["unknown"]) == ("7", "雲", "32 × 32", "fp32", "ほげ")
    assert told["prompt"] == "<b>りんご</b>" and told["hashes"] == "denoiser ababababab" and "&lt;b&gt;" in one.model.index(0).data(Qt.ItemDataRole.ToolTipRole)
    with qtbot.waitSignal(one.use_recipe) as said:
        one.actions_["use"].trigger()
    assert said.args[0]["request"]["seed"] == 7 and went == ["make"]
    one.actions_["copy_prompt"].trigger()
    assert QGuiApplication.clipboard().text() == "<b>りんご</b>"
    one.actions_["copy"].trigger()
    qtbot.waitUntil(lambda: QGuiApplication.clipboard().mimeData().hasImage(), timeout=TIMEOUT)
    select(one, 1)  # without a recipe
    assert not one.actions_["use"].isEnabled() and not one.actions_["copy_prompt"].isEnabled() and "file" in one.side.recipe.values


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
    qtbot.waitUntil(lambda: one.model.picture(0).rating == 5, timeout=TIMEOUT)
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
    assert left.look == right.look and left.zoom() == pytest.approx(3.0) and left.look[1] < 0.5
    qtbot.keyClick(one.viewer, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert left.look[0] == 0.0
    assert one.model.picture(0).rating == 5  # Ctrl+0 is not "no rating"


def test_delete_and_undo(page: Callable[[], GalleryPage], context: Context, qtbot: QtBot) -> None:
    for n in range(4):
        write(context.out / f"{n}.png", n)
    one = page()
    said: list[tuple[Any, ...]] = []
    context.notices.asked.connect(lambda text, hint, action, do: said.append((text, hint, action, do)))
    select(one, 1, 2)
    one.library.rate([one.model.picture(1).id], 3)
    qtbot.keyClick(one.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: names(one) == ["3.png", "0.png"] and bool(said), timeout=TIMEOUT)
    assert not (context.out / "2.png").exists() and said[0][0] == "Moved to the recycle bin: 2"
    qtbot.waitUntil(lambda: one.view.rows() == [1], timeout=TIMEOUT)  # what follows is selected: Delete again goes on
    assert said[0][2] == "Undo"
    said[0][3]()
    qtbot.waitUntil(lambda: names(one) == ["3.png", "2.png", "1.png", "0.png"], timeout=TIMEOUT)
    assert (context.out / "2.png").exists() and one.model.picture(1).rating == 3
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
    qtbot.waitUntil(lambda: one.model.rowCount() == 5, timeout=60_000)
    assert not resets and one.view.rows() == [2] and [one.model.picture(r).prompt for r in (0, 1)] == ["猫", "猫"]
    select(one, 0)
    assert one.actions_["variations"].isEnabled()
    one.actions_["variations"].trigger()
    qtbot.waitUntil(lambda: one.model.rowCount() == 9, timeout=60_000)
    rows = [r for _, r in context.ledger.every()]
    assert len({r.request.seed for r in rows}) == 6 and {r.request.prompt for r in rows} == {"猫"} and {r.state for r in rows} == {"done"}
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


def test_folders_sizes_and_order_are_kept(page: Callable[[], GalleryPage], context: Context, tmp_path: Path, qtbot: QtBot) -> None:
    write(context.out / "a.png", 1)
    write(tmp_path / "elsewhere" / "deep" / "b.png", 2)
    one = page()
    one.add_folder(str(tmp_path / "elsewhere"))
    qtbot.waitUntil(lambda: names(one) == ["b.png", "a.png"] and one.filters.folder.count() == 4, timeout=TIMEOUT)
    one.filters.folder.setCurrentIndex(one.filters.folder.findData(str(tmp_path / "elsewhere")))
    qtbot.waitUntil(lambda: names(one) == ["b.png"], timeout=TIMEOUT)
    one.filters.sort.setCurrentIndex(2)
    one.sizes.slider.setValue(SIZES[1])
    one.keep()
    context.state.sync()
    two = page()
    assert two.view.side == SIZES[1] and names(two) == ["a.png", "b.png"]
    two.remove_folder(str(tmp_path / "elsewhere"))
    qtbot.waitUntil(lambda: names(two) == ["a.png"], timeout=TIMEOUT)


def test_a_damaged_index_is_made_anew(page: Callable[[], GalleryPage], context: Context, tmp_path: Path) -> None:
    write(context.out / "a.png", 1)
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "gallery.db").write_bytes(b"garbage" * 1000)
    one = page()
    assert names(one) == ["a.png"] and one.library.set_aside is not None and one.library.set_aside.exists()


def test_threads_end_with_the_page(context: Context, qtbot: QtBot) -> None:
    one = GalleryPage(context)
    library = one.library
    one.deleteLater()
    del one
    qtbot.waitUntil(lambda: library.stopped and not [t for t in threading.enumerate() if t.name.startswith("gallery")], timeout=TIMEOUT)
