"""The queue's page with 100,000 pictures: painting while scrolling, every deed on the whole of it, memory, and what it
uses when idle.

    python benchmarks/gui_queue.py [--rows 100000] [--pages 200] [--idle 10]

Times are wall time and, since other programs run on most machines, processor time of the window's thread.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: it has a queue.py

GOAL_MS, GOAL_MB, GOAL_STALL = 16.0, 200.0, 50.0


def _memory() -> float:
    """Resident MB now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, AttributeError):
        return 0.0


def _peak() -> float:
    """The most MB that were resident; 0 on Windows."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def _fill(path: Path, rows: int) -> None:
    """In a process of its own: the ledger's making must not count as the window's memory."""
    import subprocess

    code = (
        "import sys; from pathlib import Path; from engine.contract.ledger.ledger import Ledger; from "
        "engine.contract.request import ImageRequest\n"
        "ledger = Ledger(Path(sys.argv[1])); n = int(sys.argv[2])\n"
        "ledger.add_job('夏祭り', (ImageRequest(prompt=f'夏祭りのポスター、浴衣の人々、夜空に花火 {i}', seed=i, width=512, height=512) for "
        "i in range(n)))\n"
        "ledger.close()"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(path), str(rows)], check=True, cwd=Path(__file__).resolve().parents[1]
    )


class Clock:
    """Wall and processor milliseconds of this thread, by name."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[float, float]]] = {}

    def run(self, name: str, action: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        action()
        self.times.setdefault(name, []).append(((time.perf_counter() - wall) * 1000, (time.thread_time() - cpu) * 1000))

    def median(self, name: str, which: int) -> float:
        return statistics.median(t[which] for t in self.times[name])

    def show(self) -> None:
        print(f"{'':<48}{'wall ms':>10}{'worst':>8}{'processor ms':>15}{'worst':>8}")
        for name, times in self.times.items():
            print(
                f"{name:<48}{self.median(name, 0):>10.1f}{max(t[0] for t in times):>8.1f}{self.median(name, 1):>15.1f}{max(t[1] for t in times):>8.1f}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds to look at the idle window")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMMONART_HOME"] = folder
        os.environ["COMMONART_LANG"] = "ja"
        path = Path(folder) / "queue.db"
        _fill(path, args.rows)
        return _measure(path, args.pages, args.idle)


def _measure(path: Path, pages: int, idle: float) -> int:
    from PySide6.QtCore import QEventLoop, QTimer
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QApplication

    from commonart_desktop.gui.app import Application

    app = QApplication([])
    whole = Application(app, backend="fake")
    whole.window.go_to("make")
    panel: Any = whole.window.page("make").queue
    clock = Clock()
    whole.window.resize(1440, 1300)
    clock.run("window shown", lambda: (whole.window.show(), app.processEvents()))
    gc.collect()
    clock.run("job unfolded", lambda: (panel.model.fold(0), app.processEvents()))
    viewport, bar = panel.view.viewport(), panel.view.verticalScrollBar()
    image = QImage(viewport.size(), QImage.Format.Format_ARGB32_Premultiplied)
    shown = panel.view.height() // panel.view.rowHeight(0)

    def paint(at: int) -> None:
        bar.setValue(at)
        viewport.render(image)

    paint(0)
    for n in range(pages):
        clock.run("page painted, scrolling page by page", partial(paint, 1000 + n * shown))
    for n in range(pages + 1):
        clock.run("page painted, leaping through the whole", partial(paint, round(bar.maximum() * n / pages)))
    for _ in range(20):
        clock.run("page painted again", lambda: paint(1000))
    for n in range(20):
        whole.ledger.prioritise(1, n)
        clock.run("a change by others taken in and painted", lambda: (panel.model.poll(), viewport.render(image)))
    _deeds(panel, app, clock, whole.ledger)
    panel.view.clearSelection()
    app.processEvents()
    used, peak = _memory(), _peak()
    spent, loop = time.process_time(), QEventLoop()
    QTimer.singleShot(round(idle * 1000), loop.quit)
    loop.exec()
    spent = time.process_time() - spent
    print(
        f"{panel.model.rowCount():,} rows, {shown} on a page of {viewport.width()} x {viewport.height()} px; load "
        f"{_load()}\n"
    )
    clock.show()
    print(f"\nresident MB of the whole window: {used:.0f} now, {peak:.0f} at most (with the deeds above)")
    print(f"idle for {idle:.0f} s: {spent:.2f} s of processor, {100 * spent / idle:.1f} %")
    slow = [n for n, t in clock.times.items() if n != "window shown" and max(x[1] for x in t) > GOAL_STALL]
    good = (
        all(
            clock.median(f"page painted, {how}", 1) < GOAL_MS
            for how in ("scrolling page by page", "leaping through the whole")
        )
        and peak < GOAL_MB
        and not slow
    )
    print(
        f"goal of {GOAL_MS:.0f} ms a page (median), {GOAL_STALL:.0f} ms for anything (worst) and {GOAL_MB:.0f} MB, "
        f"in processor time: "
        f"{'reached' if good else 'MISSED ' + ', '.join(slow)}"
    )
    whole.window.close()
    whole.close(leave_working=False)
    return 0 if good else 1


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _deeds(panel: Any, app: Any, clock: Clock, ledger: Any) -> None:
    """Everything a person can do to the whole queue, by the actions of the window.

    The table goes on being painted meanwhile.
    """
    act, view = panel.commands.actions, panel.view
    name = panel.model.jobs[0].name

    def settle(what: str, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not done():
            assert time.monotonic() < end, what
            clock.run(f"… meanwhile: {what}", lambda: (view.viewport().repaint(), app.processEvents()))
            time.sleep(0.005)
        clock.run(f"… meanwhile: {what}", app.processEvents)

    def counts(**wanted: int) -> Callable[[], bool]:
        return lambda: (
            all(ledger.counts()[k] == v for k, v in wanted.items())
            and all(sum(getattr(j, k) for j in panel.model.jobs) == v for k, v in wanted.items())
        )

    total = ledger.counts()["waiting"]
    clock.run("all selected", lambda: (view.selectAll(), app.processEvents()))
    clock.run("all dragged (what is carried)", lambda: [panel.model.spans(a, b) for a, b in view.ranges()])
    clock.run("all cancelled", act["cancel"].trigger)
    settle("cancelling all", counts(cancelled=total))
    clock.run("undo", act["undo"].trigger)
    settle("undoing that", counts(waiting=total))
    clock.run("all cancelled", act["cancel"].trigger)
    settle("cancelling all", counts(cancelled=total))
    view.selectAll()
    clock.run("all retried", act["retry"].trigger)
    settle("retrying all", counts(waiting=total))
    ledger.set_state(None, ["waiting"], "cancelled")
    panel.model.poll()
    clock.run("all removed", act["clear_cancelled"].trigger)
    settle("removing all", lambda: panel.model.rowCount() == 0)
    clock.run("undo", act["undo"].trigger)
    settle("undoing that", counts(cancelled=total))
    ledger.set_state(None, ["cancelled"], "waiting")
    panel.model.poll()
    panel.model.fold(0, True)
    view.selectRow(0)
    clock.run("all changed", lambda: (act["edit"].trigger(), panel.edit.steps.setValue(9), panel.edit.apply.click()))
    settle("changing all", lambda: not panel.edit.isVisible())
    clock.run("copied", act["duplicate"].trigger)
    settle("copying the job", lambda: len(panel.model.jobs) == 2)
    view.selectAll()
    clock.run("moved", lambda: panel.model.dropped.emit([panel.model.jobs[1].id], panel.model.jobs[0].id))
    settle("moving a job", lambda: panel.model.jobs[0].name != name)
    view.clearSelection()
    clock.run("searched (nothing found)", lambda: (panel.search.setText("ない"), panel._search()))
    settle("searching", lambda: panel.model.searching)
    panel.search.clear()
    clock.run("search ended", panel._search)
    clock.run("filtered", lambda: panel.states.setCurrentIndex(1))
    clock.run("filter ended", lambda: panel.states.setCurrentIndex(0))


if __name__ == "__main__":
    raise SystemExit(main())
