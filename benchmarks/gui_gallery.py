"""How fast the Pictures page is with very many pictures: ``python -m benchmarks.gui_gallery [--rows 50000] [--json]``.
Fails past its limits.

Every picture has its small one in the disk cache; the files themselves are made up, but for a few. Each figure is told
twice: as processor time of the window's thread, which is the same on a busy machine, and as the time that passed.
"worst" is the longest that the window was away from its event loop meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QPointF, QSettings, Qt, QTimer
from PySide6.QtGui import QBrush, QColor, QImage, QLinearGradient, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

#: milliseconds of processor time of the window's thread, MiB for memory, at 50,000 rows
LIMITS = {
    "scroll, a page": 16.0,
    "scroll, a wheel notch": 16.0,
    "open": 300.0,
    "memory, whole program": 200.0,
    "idle, % of a core": 0.5,
}
WORST = 50.0  # milliseconds: no single call in the window's thread may take as long
PAGES = 200


def _memory() -> float:
    """MiB held now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError):
        return 0.0


def _small(folder: Path, n: int) -> Path:
    """A picture with about as much in it as a real one has."""
    image = QImage(256, 256, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    chance = random.Random(n)
    shade = QLinearGradient(QPointF(0, 0), QPointF(256, 256))
    for k in range(4):
        shade.setColorAt(k / 3, QColor.fromHsv(chance.randrange(360), 120, 200))
    painter.fillRect(image.rect(), QBrush(shade))
    for _ in range(120):
        painter.setBrush(QColor.fromHsv(chance.randrange(360), chance.randrange(256), chance.randrange(256)))
        painter.drawEllipse(
            QPointF(chance.randrange(256), chance.randrange(256)), chance.randrange(2, 40), chance.randrange(2, 40)
        )
    painter.end()
    path = folder / f"small{n}"
    image.save(str(path), "JPEG", 85)
    return path


def _fill(home: Path, out: Path, rows: int) -> None:
    from commonart_desktop.gui.images.thumbnails import SIDES, file_of
    from commonart_desktop.gui.pages.gallery.index import Index, plain

    out.mkdir(parents=True)
    cache = home / "cache" / "thumbnails"
    smalls = [_small(out.parent, n) for n in range(40)]
    index = Index(home / "gallery.db")
    batch = []
    recipe = json.dumps(
        {
            "commonart": 1,
            "request": {"prompt": "", "template": "x" * 200, "negative": "ぼやけ" * 20, "steps": 20},
            "hashes": {"a": "f" * 64},
        }
    )
    for n in range(rows):
        prompt = f"青い背景のりんご {n}, watercolour, {'すし' if n % 10 == 0 else 'festival'} in a quiet street"
        name = f"{n:06}.png"
        stamp = (1_700_000_000 + n) * 10**9
        kept = file_of(cache, str(out / name), stamp, 1000, SIDES[0])
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(smalls[n % len(smalls)], kept)
        except OSError:
            shutil.copyfile(smalls[n % len(smalls)], kept)
        batch.append(
            (str(out / name), str(out), name, stamp, 1000, prompt, plain(prompt + f" seed:{n} steps:20"), recipe)
        )
        if len(batch) == 5000:
            index.put(batch)
            batch.clear()
    index.put(batch)
    index.close()


class Clock:
    """Runs the window and keeps the figures: name -> (processor time, time passed), in milliseconds."""

    def __init__(self, app: QApplication) -> None:
        self._app = app
        self.figures: dict[str, tuple[float, float]] = {}
        self.worst: dict[str, tuple[float, float]] = {}

    def turn(self) -> tuple[float, float]:
        """Answer what has come; (processor time, time passed)."""
        return self.call(lambda: self._app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents))

    @staticmethod
    def call(do: Callable[[], object]) -> tuple[float, float]:
        cpu, wall = time.thread_time(), time.perf_counter()
        do()
        return (time.thread_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000

    def until(
        self, done: Callable[[], bool], name: str, begin: Callable[[], object] = lambda: None
    ) -> tuple[float, float]:
        """Begin something and run the window until it is so."""
        started = time.perf_counter()
        total = [self.call(begin)]
        while not done():
            if time.perf_counter() - started > 120:
                raise TimeoutError(name)
            total.append(self.turn())
            if total[-1][0] < 0.05:
                time.sleep(0.0003)  # nothing had come: not to take the processor from the threads that are waited for
        self._note(name, total)
        return sum(t[0] for t in total), (time.perf_counter() - started) * 1000

    def _note(self, name: str, turns: list[tuple[float, float]]) -> None:
        old = self.worst.get(name, (0.0, 0.0))
        self.worst[name] = max(old[0], *(t[0] for t in turns)), max(old[1], *(t[1] for t in turns))

    def once(self, done: Callable[[], bool], name: str, begin: Callable[[], object] = lambda: None) -> None:
        self.figures[name] = self.until(done, name, begin)

    def many(self, name: str, times: list[tuple[float, float]]) -> None:
        """The median of several."""
        self.figures[name] = sorted(t[0] for t in times)[len(times) // 2], sorted(t[1] for t in times)[len(times) // 2]


@contextmanager
def _page(folder: Path, rows: int, clock: Clock, app: QApplication) -> Iterator[object]:
    home, out = folder / "home", folder / "out"
    from commonart_desktop.gui.background.training_runs import TrainingRuns
    from commonart_desktop.gui.background.worker_process import WorkerProcess
    from commonart_desktop.gui.context import Context
    from commonart_desktop.gui.notices import Notices
    from commonart_desktop.gui.pages.gallery import folders
    from commonart_desktop.gui.pages.gallery import page as gallery_page
    from commonart_desktop.gui.settings_store import SettingsStore
    from commonart_desktop.gui.style import theme
    from engine.contract.ledger.ledger import Ledger

    theme.apply(app, "light")
    _fill(home, out, rows)
    ledger, settings = Ledger(home / "queue.db"), SettingsStore()
    settings.put(out=str(out))
    engine, notices = WorkerProcess(ledger, settings, backend="fake"), Notices()
    state = QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)
    trainings = TrainingRuns(ledger, engine, settings, notices, state)
    context = Context(ledger, engine, trainings, settings, notices, state, lambda _: None)
    # the made-up files are not there
    folders.GalleryFolders.scan_all = lambda self: None  # type: ignore[method-assign]
    pages: list[gallery_page.GalleryPage] = []

    def opened() -> None:
        pages.append(gallery_page.GalleryPage(context))
        pages[0].resize(1280, 800)
        pages[0].show()

    clock.once(lambda: bool(pages) and pages[0].model.rowCount() == rows and _complete(pages[0]), "open", opened)
    page = pages[0]
    yield page
    page.library.stop()
    page.thumbnails.stop()
    page.viewer.stop()
    page.hide()
    page.deleteLater()
    app.processEvents()
    ledger.close()


def _complete(page: object) -> bool:
    """Whether every tile in sight shows its picture, painted."""
    view = page.view
    first, last = view._range(view.viewport().rect())
    shown = [page.model.image(r) for r in range(first, last + 1)]
    return (
        bool(shown)
        and all(p is not None and page.thumbnails.peek(p) is not None for p in shown)
        and not page.thumbnails._results
    )


def measure(folder: Path, rows: int) -> tuple[Clock, dict[str, float]]:
    """The clock, and what is no time."""
    os.environ["COMMONART_HOME"] = str(folder / "home")
    app = QApplication.instance() or QApplication([])
    clock = Clock(app)
    other: dict[str, float] = {}
    with _page(folder, rows, clock, app) as page:
        view, bar = page.view, page.view.verticalScrollBar()
        settled = lambda: page.library.idle and not page.thumbnails.waiting  # noqa: E731
        clock.until(settled, "settle")
        frames, whole = [], []
        chance = random.Random(1)
        for n in range(PAGES):  # half of them in order, half anywhere: none was seen before
            to = (bar.value() + bar.pageStep()) if n < PAGES // 2 else chance.randrange(bar.maximum())
            first = clock.call(lambda to=to: (bar.setValue(to), view.viewport().repaint()))
            clock._note("scroll, a page", [first])
            rest = clock.until(lambda: _complete(page), "scroll, a page")
            frames.append(first)
            whole.append((first[0] + rest[0], first[1] + rest[1]))
        clock.many("scroll, the first frame of a page", frames)
        clock.many("scroll, a page", whole)
        clock.until(settled, "settle")
        notches = []
        for _ in range(PAGES):
            one = clock.call(lambda: (bar.setValue(bar.value() - 3 * bar.singleStep()), app.processEvents()))
            clock._note("scroll, a wheel notch", [one])
            notches.append(one)
        clock.many("scroll, a wheel notch", notches)
        clock.once(lambda: _complete(page), "resize", lambda: page.resize(1000, 700))
        page.resize(1280, 800)
        clock.until(settled, "settle")
        clock.once(lambda: _complete(page), "tile size", lambda: page.sizes.slider.setValue(128))
        chosen = lambda: page.chosen.ids == view.chosen() and page.library.idle and _complete(page)  # noqa: E731
        view.setFocus()
        view.select_rows([0])
        clock.until(chosen, "arrow key")
        clock.many(
            "arrow key",
            [clock.until(chosen, "arrow key", lambda: QTest.keyClick(view, Qt.Key.Key_Right)) for _ in range(60)],
        )
        clock.once(chosen, "select all", view.selectAll)
        clock.once(
            lambda: page.library.idle and page.model.image(0).rating == 3, "rate all", lambda: page.commands.rate(3)
        )
        view.select_rows([0])
        clock.until(chosen, "settle")
        new = []
        for n in range(5):
            (folder / "out" / "new").mkdir(exist_ok=True)
            image = QImage(512, 512, QImage.Format.Format_RGB32)
            image.fill(QColor.fromHsv(n * 40, 120, 200))
            image.save(str(folder / "out" / "new" / f"{n}.png"))
            new.append(
                clock.until(
                    lambda n=n: page.model.rowCount() == rows + n + 1 and _complete(page),
                    "new picture",
                    lambda n=n: page.library.add_file(str(folder / "out" / "new" / f"{n}.png")),
                )
            )
        clock.many("new picture", new)
        clock.once(
            lambda: page.viewer.views[0].broken or page.viewer.views[0].loaded,
            "view large",
            lambda: (view.select_rows([1]), page.open_viewer()),
        )
        QTest.keyClick(page.viewer, Qt.Key.Key_Escape)
        clock.once(
            lambda: page.model.rowCount() == rows // 10 and _complete(page),
            "search",
            lambda: page.filters.search.setText("りんご すし"),
        )
        clock.once(
            lambda: page.model.rowCount() == rows + 5 and _complete(page), "search off", page.filters.search.clear
        )
        clock.once(
            lambda: page.model.query.sort == "name" and _complete(page) and page.library.idle,
            "sort",
            lambda: page.filters.set_sort("name"),
        )
        clock.until(settled, "settle")
        clock.until(lambda: not page.thumbnails._queue.pending, "settle")
        loop = QEventLoop()
        QTimer.singleShot(1000, loop.quit)
        loop.exec()
        QTimer.singleShot(3000, loop.quit)
        began, cpu = time.perf_counter(), time.process_time()
        loop.exec()
        other["idle, % of a core"] = (time.process_time() - cpu) / (time.perf_counter() - began) * 100
        other["memory, whole program"] = _memory()
    clock.worst.pop("settle")
    return clock, other


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock, other = measure(Path(folder), args.rows)
    slow = [n for n, limit in LIMITS.items() if (clock.figures[n][0] if n in clock.figures else other[n]) > limit]
    slow += [f"{n}, worst" for n, (cpu, _) in clock.worst.items() if cpu > WORST and n != "open"]
    if args.json:
        print(
            json.dumps(
                {
                    "times_ms": {
                        n: {
                            "cpu": round(v[0], 2),
                            "wall": round(v[1], 2),
                            "worst cpu": round(clock.worst[n][0], 2),
                            "worst wall": round(clock.worst[n][1], 2),
                        }
                        for n, v in clock.figures.items()
                        if n in clock.worst
                    },
                    **{n: round(v, 2) for n, v in other.items()},
                    "too_slow": slow,
                }
            )
        )
    else:
        print(f"{'milliseconds':34} {'processor':>10} {'passed':>10} {'worst proc.':>12} {'worst passed':>12}")
        for name, (cpu, wall) in clock.figures.items():
            worst = clock.worst.get(name)
            print(f"{name:34} {cpu:10.1f} {wall:10.1f}" + (f" {worst[0]:12.1f} {worst[1]:12.1f}" if worst else ""))
        for name, value in other.items():
            print(f"{name:34} {value:10.1f}")
    if slow:
        print("too slow: " + ", ".join(slow), file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
