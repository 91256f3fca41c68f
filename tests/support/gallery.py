"""For the tests of the Pictures page: pictures on disk, the page over them, and waiting until it is ready."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QFile
from PySide6.QtTest import QAbstractItemModelTester, QTest
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.gallery.page import GalleryPage
from commonart_desktop.gui.pages.verify.gallery_section import ProvenancePanel
from engine.contract import recipe as recipes
from engine.contract.request import ImageRequest
from engine.imagefile.image import to_bytes

TIMEOUT = 20_000


class NoBin(QFile):
    """A file on a drive that has no recycle bin."""

    def moveToTrash(self) -> bool:
        return False


def write(path: Path, n: int = 0, kind: str = "png", side: int = 32, **asked: Any) -> Path:
    """A picture of ours; ``n`` also sets its time."""
    request = ImageRequest(
        **{
            "prompt": f"りんご {n}",
            "seed": n,
            "width": side,
            "height": side,
            "model": "stub",
            "template": "{りんご|みかん} & <b>",
        }
        | asked
    )
    recipe = recipes.build(
        request,
        model="stub",
        hashes={"denoiser": "ab" * 32},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256="0",
        app="test",
        unknown_words=["ほげ"],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(np.full((side, side, 3), n * 7 % 256, np.uint8), kind, recipe))
    os.utime(path, (1_700_000_000 + n, 1_700_000_000 + n))
    return path


@pytest.fixture(name="page")
def open_gallery(
    context: Context, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], GalleryPage]]:
    """A function that opens the page and waits until it has looked through the folders."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))  # the recycle bin
    made: list[GalleryPage] = []

    def open_page() -> GalleryPage:
        one = GalleryPage(context, ProvenancePanel)
        made.append(one)
        qtbot.addWidget(one)
        one.resize(1100, 700)
        QAbstractItemModelTester(one.model, QAbstractItemModelTester.FailureReportingMode.Fatal, one)
        with qtbot.waitSignal(one.library.scanned, timeout=TIMEOUT):
            one.show()
        qtbot.waitUntil(lambda: one.model.loaded and one.library.idle, timeout=TIMEOUT)
        with qtbot.waitSignal(one.model.answered, timeout=TIMEOUT):
            one._ask()
        qtbot.waitUntil(lambda: ready(one), timeout=TIMEOUT)
        return one

    yield open_page
    for one in made:
        one.library.stop()
        one.thumbnails.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("gallery")]


def names(page: GalleryPage) -> list[str]:
    """Once they are fetched, as the view shows them."""
    page.model.fetch(0, page.model.rowCount())
    return [str(page.model.index(r).data()) for r in range(page.model.rowCount())]


def ready(page: GalleryPage) -> bool:
    """Whether it is known what is selected and what is in sight."""
    return (
        page.library.idle
        and page.chosen.ids == page.view.chosen()
        and all(page.model.image(r) for r in range(min(20, page.model.rowCount())))
    )


def select(page: GalleryPage, *rows: int) -> None:
    page.view.select_rows(list(rows))
    end = time.monotonic() + TIMEOUT / 1000
    while not ready(page):
        assert time.monotonic() < end
        QTest.qWait(2)
