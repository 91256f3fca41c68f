"""How long the queue's table takes with 100,000 pictures: unfolding, painting a page while scrolling, looking for changes, memory.

    python benchmarks/gui_queue.py [--rows 100000] [--pages 200]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder: it has a queue.py

GOAL_MS, GOAL_MB = 16.0, 200.0


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

    code = ("import sys; from pathlib import Path; from engine.contract.queue import Ledger; from engine.contract.request import ImageRequest\n"
            "ledger = Ledger(Path(sys.argv[1])); n = int(sys.argv[2])\n"
            "ledger.add_job('夏祭り', (ImageRequest(prompt=f'夏祭りのポスター、浴衣の人々、夜空に花火 {i}', seed=i, width=512, height=512) for i in range(n)))\n"
            "ledger.close()")
    subprocess.run([sys.executable, "-c", code, str(path), str(rows)], check=True, cwd=Path(__file__).resolve().parents[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=200)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMMONART_HOME"] = folder
        path = Path(folder) / "queue.db"
        _fill(path, args.rows)
        return _measure(path, args.pages)


def _measure(path: Path, pages: int) -> int:
    from PySide6.QtCore import QEvent, QSettings
    from PySide6.QtGui import QImage
    from PySide6.QtWidgets import QApplication

    from commonart_desktop.gui import theme
    from commonart_desktop.gui.context import Context, Notices, SettingsStore
    from commonart_desktop.gui.engine import Engine
    from commonart_desktop.gui.queue_panel import QueuePanel
    from engine.contract.queue import Ledger

    app = QApplication([])
    theme.apply(app, "light")
    ledger, settings = Ledger(path), SettingsStore()
    state = QSettings(str(path.with_name("window.ini")), QSettings.Format.IniFormat)
    context = Context(ledger, Engine(ledger, settings, backend="fake"), settings, Notices(), state, lambda _: None)
    empty = _memory()

    def ms(start: float) -> float:
        return (time.perf_counter() - start) * 1000

    start = time.perf_counter()
    panel = QueuePanel(context)
    panel.resize(1000, 1300)  # some 35 rows
    panel.show()
    app.processEvents()
    opened = ms(start)
    start = time.perf_counter()
    panel.model.fold(0)
    app.processEvents()
    unfolded = ms(start)
    viewport, bar = panel.view.viewport(), panel.view.verticalScrollBar()
    image = QImage(viewport.size(), QImage.Format.Format_ARGB32_Premultiplied)
    shown = panel.view.height() // panel.view.rowHeight(0)

    def paint(at: int) -> float:
        start = time.perf_counter()
        bar.setValue(at)
        viewport.render(image)
        return ms(start)

    paint(0)
    leaps = [paint(round(bar.maximum() * n / pages)) for n in range(pages + 1)]  # every page read from the ledger
    steps = [paint(1000 + n * shown) for n in range(pages)]  # as with Page Down
    again = [paint(1000) for _ in range(20)]
    start = time.perf_counter()
    for _ in range(1000):
        panel.model.poll()
    idle = ms(start) / 1000
    changes = []
    for n in range(20):
        ledger.prioritise(1, n)
        start = time.perf_counter()
        panel.model.poll()
        viewport.render(image)
        changes.append(ms(start))
    start = time.perf_counter()
    panel.view.selectAll()
    app.processEvents()
    all_selected = ms(start)
    used, peak = _memory(), _peak()
    print(f"{panel.model.rowCount():,} rows, {shown} on a page of {viewport.width()} x {viewport.height()} px\n")
    cpu = time.process_time()
    for n in range(50):
        paint(2000 + n * shown)
    print(f"processor ms a page while scrolling: {(time.process_time() - cpu) * 20:.1f}\n")
    print(f"{'':<44}{'median ms':>12}{'worst ms':>12}")
    for name, times in (("page painted, scrolling page by page", steps), ("page painted, leaping through the whole", leaps),
                        ("page painted again", again), ("a change by others taken in and painted", changes)):
        print(f"{name:<44}{statistics.median(times):>12.1f}{max(times):>12.1f}")
    for name, once in (("panel made and shown", opened), ("job unfolded", unfolded), ("all selected", all_selected), ("a look when nothing changed", idle)):
        print(f"{name:<44}{once:>12.3f}")
    print(f"\nresident MB: {empty:.0f} before the panel, {used:.0f} now, {peak:.0f} at most")
    good = statistics.median(steps) < GOAL_MS and statistics.median(leaps) < GOAL_MS and peak < GOAL_MB
    print(f"goal of {GOAL_MS:.0f} ms a page (median) and {GOAL_MB:.0f} MB: {'reached' if good else 'MISSED'}")
    panel.deleteLater()
    app.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    ledger.close()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
