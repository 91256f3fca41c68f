"""Files that would take all memory to show, in every place of the window that shows an image: a message, and no memory."""

from __future__ import annotations

import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from commonart_desktop.core.picture_text import read_text
from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.images.image_view import ImageView
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import ALLOCATION, read_image
from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.images.zoom_view import ZoomView
from commonart_desktop.gui.pages.evaluate.image_pairs import PairsModel
from commonart_desktop.gui.pages.evaluate.report import Pair as DrawnPair
from commonart_desktop.gui.pages.evaluate.report import Report, Sample
from commonart_desktop.gui.pages.export.image_pairs import PairRow, read_pair
from commonart_desktop.gui.pages.export.report import Pair
from commonart_desktop.gui.pages.train.preview_strip import PreviewModel

WAIT = 30_000
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    """A PNG whose header says so, with the pixels of one of 8 x 8."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 32) * 8))
    return SIGNATURE + header + b"".join(more) + pixels + chunk(b"IEND", b"")


def deflated_zeros(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)), packer.flush()])


def write_wide(path: Path) -> None:
    """6.4 GB of pixels."""
    path.write_bytes(png(40_000, 40_000))


def write_progressive(path: Path) -> None:
    """A small progressive JPEG whose header tells of 65,000 x 65,000: 25 GB of coefficients."""
    Image.new("RGB", (64, 64), (10, 200, 10)).save(path, "JPEG", progressive=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc2") + 5
    data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)


def write_long(path: Path) -> None:
    """A WebP of more bytes than any image may take; its reader would read all of them."""
    Image.new("RGB", (64, 64)).save(path, "WEBP")
    os.truncate(path, ALLOCATION + 1)


Bomb = Callable[[Path], None]
BOMBS = [write_wide, write_progressive, write_long]


@pytest.fixture(params=BOMBS, ids=lambda w: w.__name__[6:])
def bomb(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "bomb.png"
    request.param(path)
    return path


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """The test takes no more than 300 MB at its peak, where the system tells."""
    status = Path("/proc/self/status")
    if sys.platform != "linux":
        yield
        return

    def kib(name: str) -> int:
        return int(next(line for line in status.read_text().splitlines() if line.startswith(name)).split()[1])

    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now
    before = kib("VmRSS")
    yield
    assert kib("VmHWM") - before < 300_000


def gallery_image_of(path: Path) -> GalleryImage:
    stat = path.stat()
    return GalleryImage(1, str(path), stat.st_mtime_ns, stat.st_size, 0, False, "")


def test_reader(bomb: Path) -> None:
    for box in (None, 512, 20):
        loaded = read_image(str(bomb), box)
        assert loaded.image.isNull() and loaded.too_large and problem_text(loaded).startswith("!")


def test_what_it_says(tmp_path: Path) -> None:
    write_wide(tmp_path / "a.png")
    assert re.search(r"40.?000 × 40.?000", problem_text(read_image(str(tmp_path / "a.png"))))
    (tmp_path / "b.png").write_bytes(png(8, 8)[:60])
    broken = read_image(str(tmp_path / "b.png"))
    assert not broken.too_large and problem_text(broken) == "! This image cannot be read"
    assert problem_text(read_image(str(tmp_path / "none.png"))) == "! This image cannot be read"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert read_image(str(tmp_path / "pipe.png")).image.isNull()  # and does not wait for a writer


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP", "tEXt"])
def test_text_beside_the_pixels(tmp_path: Path, kind: str, qtbot: QtBot) -> None:
    """A gigabyte of text, compressed or not, is passed over; the image is shown."""
    heads = {"zTXt": b"parameters\0\0", "iTXt": b"parameters\0\1\0\0\0", "iCCP": b"x\0\0", "tEXt": b"parameters\0"}
    body = bytes(64 << 20) if kind == "tEXt" else deflated_zeros(1 << 30)
    path = tmp_path / "text.png"
    path.write_bytes(png(8, 8, chunk(kind.encode(), heads[kind] + body)))
    del body
    assert read_image(str(path)).image.width() == 8
    assert read_text(path).parameters in ("", "\0" * len(read_text(path).parameters))
    view = ImageView("view")
    qtbot.addWidget(view)
    view.show_file(str(path))
    qtbot.waitUntil(lambda: not view.busy(), timeout=WAIT)
    assert view.pixmap.width() == 8 and not view.message


def test_view_of_the_queue_and_the_dataset(bomb: Path, qtbot: QtBot) -> None:
    view = ImageView("view")
    qtbot.addWidget(view)
    view.show_file(str(bomb))
    qtbot.waitUntil(lambda: not view.busy(), timeout=WAIT)
    assert view.pixmap.isNull() and view.message.startswith("!")
    view.grab()


def test_zoom_view(bomb: Path, qtbot: QtBot) -> None:
    view = ZoomView()
    qtbot.addWidget(view)
    view.show_image(str(bomb), None, "bomb")
    qtbot.waitUntil(lambda: view.broken, timeout=WAIT)
    assert not view.loaded and problem_text(view.problem).startswith("!")
    view.grab()
    view.stop()


def test_thumbnails(bomb: Path, qtbot: QtBot, tmp_path: Path) -> None:
    thumbnails, picture = Thumbnails(tmp_path / "cache"), gallery_image_of(bomb)
    thumbnails.request([picture], 1)
    qtbot.waitUntil(lambda: thumbnails.why_broken(picture) is not None, timeout=WAIT)
    reason = thumbnails.why_broken(picture)
    assert reason is not None and problem_text(reason).startswith("!") and thumbnails.peek(picture) is None
    thumbnails.stop()


def test_pairs_of_an_export(bomb: Path, qtbot: QtBot) -> None:
    pair = Pair("sushi", 1, 40.0, False, True, str(bomb), str(bomb))
    row = PairRow(pair, 30.0)
    qtbot.addWidget(row)
    for shown, loaded in zip(row.pictures, read_pair(pair), strict=True):
        shown.set_image(loaded)
        assert shown.read and shown.image.isNull() and shown.message.startswith("!")
        shown.grab()


def test_pairs_of_an_evaluation(bomb: Path, qtbot: QtBot) -> None:
    model = PairsModel()
    drawn = Sample("ja", 0, 0, "すし", 1, str(bomb), None)
    model.show_report(Report("m", pairs=(DrawnPair(drawn, None),)))
    model.data(model.index(0, 0), 1)  # DecorationRole: asks for it
    qtbot.waitUntil(lambda: not model.pending(), timeout=WAIT)
    assert "! " in model.facts(drawn) and not isinstance(model.data(model.index(0, 0), 1), QImage)
    model._loader.stop()


def test_previews_of_a_training(bomb: Path, qtbot: QtBot) -> None:
    model = PreviewModel()
    model.set_items([(10, str(bomb), "sushi")])
    qtbot.waitUntil(lambda: not model.busy(), timeout=WAIT)
    assert "! " in model.index(0, 0).data(3) and not model.index(0, 0).data(1).isNull()  # tool tip, icon
