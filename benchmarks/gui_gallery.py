"""How fast the Pictures page is with very many pictures: ``python -m benchmarks.gui_gallery [--rows 50000] [--json]``. Fails past its limits.

Most rows are made up; a few hundred real files stand at the top, so that thumbnails are made and drawn too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QSettings
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication

#: milliseconds (MiB for memory), at 50,000 rows
LIMITS = {"construct": 300.0, "first pictures": 1000.0, "scroll page worst": 50.0, "search": 1000.0, "new picture worst stall": 50.0, "memory": 300.0}


def _memory() -> float:
    """MiB held now; peak where the system tells no more."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError):
        return 0.0


def _fill(home: Path, out: Path, rows: int, real: int) -> None:
    from commonart_desktop.gui.gallery_index import Index, plain

    out.mkdir(parents=True)
    image = QImage(512, 512, QImage.Format.Format_RGB32)
    index = Index(home / "gallery.db")
    batch = []
    recipe = json.dumps({"commonart": 1, "request": {"prompt": "", "template": "x" * 200, "negative": "ぼやけ" * 20, "steps": 20}, "hashes": {"a": "f" * 64}})
    for n in range(rows):
        prompt = f"青い背景のりんご {n}, watercolour, {'すし' if n % 10 == 0 else 'festival'} in a quiet street"
        name = f"{n:06}.png"
        stamp = (1_700_000_000 + n) * 10**9
        size = 1000
        if n >= rows - real:
            image.fill(QColor.fromHsv(n * 7 % 360, 120, 200))
            image.save(str(out / name))
            os.utime(out / name, ns=(stamp, stamp))
            size = (out / name).stat().st_size
        batch.append((str(out / name), str(out), name, stamp, size, prompt, plain(prompt), recipe))
        if len(batch) == 5000:
            index.put(batch)
            batch.clear()
    index.put(batch)
    index.close()


def measure(folder: Path, rows: int, real: int) -> dict[str, float]:
    """Milliseconds of each, and MiB."""
    home, out = folder / "home", folder / "out"
    os.environ["COMMONART_HOME"] = str(home)
    from commonart_desktop.gui import gallery_page, theme
    from commonart_desktop.gui.context import Context, Notices, SettingsStore
    from commonart_desktop.gui.engine import Engine
    from engine.contract.queue import Ledger

    app = QApplication.instance() or QApplication([])
    theme.apply(app, "light")
    _fill(home, out, rows, real)
    ledger, settings = Ledger(home / "queue.db"), SettingsStore()
    settings.put(out=str(out))
    context = Context(ledger, Engine(ledger, settings, backend="fake"), settings, Notices(),
                      QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat), lambda _: None)
    gallery_page.GalleryPage.look_through = lambda self: None  # type: ignore[method-assign]  # the made-up files are not there
    figures: dict[str, float] = {}
    gc.collect()
    before = _memory()

    def wait(condition: Callable[[], bool], name: str) -> None:
        """Run the window until it is so; the longest time for which it did not answer goes to ``name worst stall``."""
        began = last = time.perf_counter()
        worst = 0.0
        while not condition():
            if time.perf_counter() - began > 60:
                raise TimeoutError(name)
            app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 5)
            now = time.perf_counter()
            worst, last = max(worst, now - last), now
        figures[name] = (time.perf_counter() - began) * 1000
        figures[f"{name} worst stall"] = worst * 1000

    began = time.perf_counter()
    page = gallery_page.GalleryPage(context)
    figures["construct"] = (time.perf_counter() - began) * 1000
    page.resize(1280, 800)
    page.show()
    wait(lambda: page.model.rowCount() == rows, "first pictures")
    wait(lambda: page.thumbnails.memory > 0 and not page.thumbnails._asked, "thumbnails of a page")
    bar = page.view.verticalScrollBar()
    times = []
    for n in range(200):  # pages all over the list, then the real ones at the top
        began = time.perf_counter()
        bar.setValue(bar.maximum() * n // 100 if n < 100 else (n - 100) * bar.pageStep() // 8)
        page.view.viewport().repaint()
        times.append((time.perf_counter() - began) * 1000)
        app.processEvents()
    figures["scroll page median"], figures["scroll page worst"] = sorted(times)[100], max(times)
    page.view.setCurrentIndex(page.model.index(0))
    for n in range(3):
        (out / "new").mkdir(exist_ok=True)
        QImage(str(out / f"{rows - 1:06}.png")).save(str(out / "new" / f"{n}.png"))
        page.library.add_file(str(out / "new" / f"{n}.png"))
        wait(lambda n=n: page.model.rowCount() == rows + n + 1, "new picture")
    page.filters.search.setText("りんご すし")
    wait(lambda: page.model.rowCount() == rows // 10, "search")
    gc.collect()
    figures["memory"] = _memory() - before
    page.library.stop()
    page.thumbnails.stop()
    page.viewer.stop()
    page.hide()
    page.deleteLater()
    app.processEvents()
    ledger.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--real", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args.rows, args.real)
    if args.json:
        print(json.dumps({k: round(v, 2) for k, v in figures.items()}))
    else:
        for name, value in figures.items():
            limit = f"  limit {LIMITS[name]:>6,.0f}" if name in LIMITS else ""
            print(f"{name:34} {value:10,.1f} {'MiB' if name == 'memory' else 'ms '}{limit}")
    slow = [n for n, limit in LIMITS.items() if figures[n] > limit]
    if slow:
        print("too slow: " + ", ".join(slow), file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
