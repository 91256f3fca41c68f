"""The gallery below its page: words in files, the index, the looks through folders, small pictures."""

from __future__ import annotations

import os
import threading
import time
from array import array
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from pytestqt.qtbot import QtBot

from commonart_desktop.core.picture_text import MAX_TEXT, read_text, recipe_of
from commonart_desktop.gui.images.reader import read_image
from commonart_desktop.gui.images.thumbnails import SIDES, THREADS, Thumbnails, prune
from commonart_desktop.gui.pages.gallery import file_operations
from commonart_desktop.gui.pages.gallery.file_operations import move_to_trash, restore_from_trash
from commonart_desktop.gui.pages.gallery.index import Index, Query
from commonart_desktop.gui.pages.gallery.list_diff import diff
from commonart_desktop.gui.pages.gallery.scan import Scan, is_complete
from engine.contract import recipe as recipes
from engine.contract.recipe import parameters
from tests.support.gallery import TIMEOUT, NoBin, write

# the words in a file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_recipes_are_read_without_pillow(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.bin", 3, kind, negative="ぼやけ <&>")
    text = read_text(path)
    recipe = recipe_of(text.recipe)
    assert (
        recipe is not None
        and recipe["request"]["negative"] == "ぼやけ <&>"
        and recipe["request"]["template"] == "{りんご|みかん} & <b>"
    )
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
        data = write(tmp_path / "complete", 1, kind).read_bytes()
        for cut in range(0, min(len(data), 1500), 23):
            (tmp_path / "cut").write_bytes(data[:cut])
            read_text(tmp_path / "cut")
            (tmp_path / "cut").write_bytes(data[:cut] + bytes(255 - b for b in data[cut : cut + 3]) + data[cut + 3 :])
            read_text(tmp_path / "cut")
    assert read_text(tmp_path / "none").recipe == ""
    assert recipe_of("[1]") is None and recipe_of('{"request": 3}') is None and recipe_of("[" * 100_000) is None


# the index ------------------------------------------------------------------------------------------------------------


def position(index: Index, *deep: Path, flat: tuple[str, ...] = ()) -> int:
    counts: list[int] = []
    assert Scan(index, threading.Event(), counts.append).all([str(d) for d in deep], list(flat))
    return sum(counts)


def test_scan_takes_only_what_changed(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    for n in range(5):
        write(tmp_path / "out" / ("2026" if n % 2 else ".") / f"{n}.png", n)
    write(tmp_path / "out" / ".hidden.png")
    (tmp_path / "out" / "note.txt").write_text("x")
    write(tmp_path / "other" / "deeper" / "9.png", 9)
    write(tmp_path / "other" / "8.png", 8)
    assert position(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 6
    assert position(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 0
    ids = index.ids(Query())
    assert [p.prompt for i in ids for p in index.images([i])] == [f"りんご {n}" for n in (8, 4, 3, 2, 1, 0)]
    index.rate([ids[1]], 4)
    index.star([ids[1]], True)
    write(tmp_path / "out" / "4.png", 4, prompt="別の絵")
    os.utime(tmp_path / "out" / "4.png", (1_700_000_100, 1_700_000_100))
    (tmp_path / "out" / "0.png").unlink()
    assert position(index, tmp_path / "out", flat=(str(tmp_path / "other"),)) == 2
    first = index.images([index.ids(Query())[0]])[0]
    assert (first.prompt, first.rating, first.starred) == ("別の絵", 4, True)  # the same file, made anew
    (tmp_path / "out").rename(tmp_path / "gone")  # an unplugged disk: what was rated is remembered
    position(index, tmp_path / "out")
    assert len(index.ids(Query())) == 0
    (tmp_path / "gone").rename(tmp_path / "out")
    position(index, tmp_path / "out")
    assert index.images([index.ids(Query(rating=4))[0]])[0].prompt == "別の絵"
    index.close()


def test_search_sort_and_filter(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    write(tmp_path / "a" / "x.png", 1, prompt="青い空、Mountain")
    write(tmp_path / "a" / "b" / "W.png", 2, prompt="青い海", negative="雲", sampler="euler")
    write(tmp_path / "ab" / "v.png", 3, prompt="50% _off_")
    position(index, tmp_path)

    def found(**query: Any) -> list[str]:
        return [Path(index.images([i])[0].path).stem for i in index.ids(Query(**query))]

    assert found() == ["v", "W", "x"] and found(sort="name") == [*["v", "W", "x"][0:1], "W", "x"]
    assert found(text="青い") == ["W", "x"] and found(text="い海") == ["W"] and found(text="青い　MOUNTAIN") == ["x"]
    assert found(text="ＥＵＬＥＲ 雲") == ["W"] and found(text="青い 無い") == []
    assert (
        found(text="%") == ["v"] and found(text="0% _") == ["v"] and found(text="x") == ["v", "W", "x"]
    )  # 32x32 and x.png
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
        for first, last, ids in diff(now, array("q", new)) or ():
            if ids:
                now[first:first] = ids
            else:
                del now[first : last + 1]
        assert list(now) == new

    follow([5, 4, 3, 2, 1], [9, 5, 3, 8, 7, 2])
    follow([1, 2, 3], [1, 2, 3, 4])
    assert diff(array("q", [1, 2]), array("q", [2, 1])) is None
    assert diff(array("q"), array("q", [1])) is None
    assert diff(array("q", range(1000)), array("q", range(0, 1000, 2))) is None  # too many to tell one by one


# thumbnails -----------------------------------------------------------------------------------------------------------


def test_thumbnails_are_made_kept_and_cancelled(tmp_path: Path, qtbot: QtBot) -> None:
    index = Index(tmp_path / "i.db")
    for n in range(12):
        write(tmp_path / "out" / f"{n}.png", n, side=300)
    (tmp_path / "out" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot")
    (tmp_path / "out" / "fake.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    position(index, tmp_path / "out")
    pictures = index.images(list(index.ids(Query(sort="name"))))
    bad = [p for p in pictures if p.path.endswith(("bad.png", "fake.png"))]
    good = [p for p in pictures if p not in bad]
    thumbs = Thumbnails(tmp_path / "cache")
    assert all(thumbs.peek(p) is None for p in pictures)
    thumbs.request(pictures, len(pictures))
    qtbot.waitUntil(
        lambda: all(thumbs.peek(p) for p in good) and all(thumbs.why_broken(p) is not None for p in bad),
        timeout=TIMEOUT,
    )
    assert thumbs.peek(good[0]).width() == SIDES[0] and not thumbs.waiting
    files = list((tmp_path / "cache").glob("*/*.thumb"))
    assert len(files) == 12 and thumbs.memory == 12 * SIDES[0] ** 2 * 4
    thumbs.stop()
    again = Thumbnails(tmp_path / "cache")
    Path(good[0].path).unlink()  # its thumbnail comes from the disk
    again.request(good[:1], 1)
    qtbot.waitUntil(lambda: again.peek(good[0]) is not None, timeout=TIMEOUT)
    hold = threading.Event()
    for _ in range(THREADS):
        again._queue.submit(hold.wait)
    again.request(good[1:], 11)
    assert again.waiting == 11
    again.request([good[5]], 1)
    assert again.waiting == 1
    hold.set()
    qtbot.waitUntil(lambda: again.peek(good[5]) is not None, timeout=TIMEOUT)
    assert len(again._pixmaps) == 2  # the others were never made
    again.stop()
    assert prune(tmp_path / "cache", limit=0) == 12
    index.close()


def test_only_three_formats_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    assert read_image(str(tmp_path / "a.png")).image.isNull()
    write(tmp_path / "b.png", 1, "jpeg")
    assert read_image(str(tmp_path / "b.png")).image.width() == 32


def test_half_written_files_wait_for_their_end(tmp_path: Path) -> None:
    """And one that never gets an end is shown as broken, a while later."""
    index = Index(tmp_path / "i.db")
    for kind in ("png", "webp", "jpeg"):
        made = write(tmp_path / "out" / f"made.{kind}", 1, kind)
        assert is_complete(made)
        data = made.read_bytes()
        (tmp_path / "out" / f"cut.{kind}").write_bytes(data[: len(data) // 2])
        assert not is_complete(tmp_path / "out" / f"cut.{kind}")
    scan = Scan(index, threading.Event(), lambda _: None)
    assert (
        scan.all([str(tmp_path / "out")], [])
        and scan.unfinished == {str(tmp_path / "out")}
        and len(index.ids(Query())) == 3
    )
    old = time.time() - 60
    for kind in ("png", "webp", "jpeg"):
        os.utime(tmp_path / "out" / f"cut.{kind}", (old, old))
    scan = Scan(index, threading.Event(), lambda _: None)
    assert scan.all([str(tmp_path / "out")], []) and not scan.unfinished and len(index.ids(Query())) == 6
    index.close()


def test_proofs_of_an_exported_model_are_not_pictures(tmp_path: Path) -> None:
    index, out = Index(tmp_path / "i.db"), tmp_path / "out"
    for place in ("a.png", "mini/mine.png", "mini/parity/01-onnx.png", "parity/b.png"):
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        write(out / place, 1)
    (out / "mini" / "commonart_export.json").write_text("{}", encoding="utf-8")
    position(index, out)
    shown = sorted(Path(p.path).name for p in index.images(index.ids(Query())))
    assert shown == ["a.png", "b.png", "mine.png"]
    Scan(index, threading.Event(), lambda _: None).some([str(out / "mini" / "parity"), str(out / "mini")], [str(out)])
    assert sorted(Path(p.path).name for p in index.images(index.ids(Query()))) == shown
    index.close()


def test_looks_into_one_folder(tmp_path: Path) -> None:
    index = Index(tmp_path / "i.db")
    out = tmp_path / "out"
    write(out / "a.png", 1)
    write(out / "2026" / "b.png", 2)
    position(index, out)

    def some(folder: Path) -> list[str]:
        counts: list[int] = []
        assert Scan(index, threading.Event(), counts.append).some([str(folder)], [str(out)])
        return sorted(Path(p.path).name for p in index.images(index.ids(Query())))

    write(out / "2026" / "c.png", 3)
    write(out / "new" / "deep" / "日本語.png", 4)
    assert some(out / "2026") == ["a.png", "b.png", "c.png"]
    assert some(out) == ["a.png", "b.png", "c.png", "日本語.png"]
    (out / "2026").rename(tmp_path / "away")
    assert some(out / "2026") == ["a.png", "日本語.png"]
    (out / "new").rename(tmp_path / "away too")
    assert some(out) == ["a.png"]
    index.close()


def test_an_index_of_an_older_version_reads_its_files_anew(tmp_path: Path) -> None:
    write(tmp_path / "out" / "a.png", 7, sampler="euler")
    index = Index(tmp_path / "i.db")
    position(index, tmp_path / "out")
    index.rate(index.ids(Query()), 4)
    index._db.execute("UPDATE pictures SET words = 'a.png'")
    index._db.execute("PRAGMA user_version = 1")
    index.close()
    index = Index(tmp_path / "i.db")
    assert position(index, tmp_path / "out") == 1
    assert all(
        len(index.ids(Query(text=t, rating=4))) == 1
        for t in ("seed:7", "sampler:euler", "steps:20", "model:stub", "7", "32x32")
    )
    assert not index.ids(Query(text="seed:8"))
    index.close()


def test_very_large_pictures(tmp_path: Path, qtbot: QtBot) -> None:
    """20,000 pixels a side: what can be read is scaled down in little memory; what cannot says why."""
    Image.new("1", (20_000, 20_000), 1).save(tmp_path / "line.png")
    small = read_image(str(tmp_path / "line.png"), 256).image
    assert (small.width(), small.height()) == (256, 256) and small.pixelColor(100, 100).lightness() == 255
    wide = Image.new("RGB", (20_000, 40), (200, 30, 30))
    wide.save(tmp_path / "wide.png")
    wide = str(tmp_path / "wide.png")
    assert (read_image(wide, 256).image.width(), read_image(wide).image.width()) == (256, 20_000)
    data = (tmp_path / "line.png").read_bytes()
    # the same head, but 16 bits for each of four colours: 3.2 GB, which nothing here may ask for
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 16, 6, 0, 0, 0)
    data = data[:8] + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]
    (tmp_path / "huge.png").write_bytes(data)
    huge = read_image(str(tmp_path / "huge.png"), 256)
    assert huge.image.isNull() and huge.too_large and huge.size.width() == 20_000
    index = Index(tmp_path / "i.db")
    position(index, tmp_path)
    thumbs = Thumbnails(tmp_path / "cache")
    pictures = index.images(index.ids(Query(text="huge")))
    thumbs.request(pictures, 1)
    qtbot.waitUntil(lambda: thumbs.why_broken(pictures[0]) is not None, timeout=TIMEOUT)
    assert thumbs.why_broken(pictures[0]).size.width() == 20_000
    thumbs.stop()
    index.close()


def test_the_bin_never_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    path = str(write(tmp_path / "日本語 & 名前.png", 1))
    done = move_to_trash([path, str(tmp_path / "none.png")])
    assert (
        [p for p, _ in done.moved] == [path]
        and done.missing == (str(tmp_path / "none.png"),)
        and not done.failed
        and not Path(path).exists()
    )
    write(Path(path), 2)  # another of that name meanwhile: it is not written over
    assert restore_from_trash(done.moved) == []
    Path(path).unlink()
    assert restore_from_trash(done.moved) == [path] and Path(path).exists()
    monkeypatch.setattr(file_operations, "QFile", NoBin)
    done = move_to_trash([path])
    assert [p for p, _ in done.failed] == [path] and not done.moved and Path(path).exists()
