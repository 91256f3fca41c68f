"""How long the window takes to come up, against a bare PySide6 window with one label; what it costs while nobody does
anything.

    python -m benchmarks.gui_start [--rounds 7] [--idle 10] [--platform offscreen]

Each start is a process of its own, ours and the bare one in turn; the clock runs from the start of the process until
the window is shown and painted. Asserted: none of torch, diffusers, transformers, onnxruntime, numpy and PIL is loaded
then.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOAL_S = 1.0
HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "numpy", "PIL")
BARE = """
import time
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow
app = QApplication([])
window = QMainWindow()
window.setCentralWidget(QLabel('CommonArt'))
window.resize(1280, 800)
window.show()
app.processEvents()
print(time.process_time(), flush=True)
import os; os._exit(0)
"""
OURS = """
import json, os, sys, time
from PySide6.QtWidgets import QApplication
from commonart_desktop.gui.app import Application
app = QApplication([])
whole = Application(app)
whole.window.show()
app.processEvents()
print(time.process_time(), flush=True)
idle = float(sys.argv[1])
told = {'heavy': [m for m in sys.argv[2].split(',') if m in sys.modules]}
if idle:
    from PySide6.QtCore import QEventLoop, QTimer
    def run(seconds):
        loop = QEventLoop(); QTimer.singleShot(int(seconds * 1000), loop.quit); loop.exec()
    run(3)
    before = sum(os.times()[:2]); run(idle); told['cpu'] = (sum(os.times()[:2]) - before) / idle
    try:
        told['rss'] = int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20
    except OSError:
        pass
print(json.dumps(told), flush=True)
os._exit(0)
"""


def start(code: str, *arguments: str) -> tuple[float, float, str]:
    """Seconds until it said that its window is up, those of them on a processor, and what it said after that."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    took = time.perf_counter() - began
    rest = child.stdout.read()
    assert child.wait() == 0
    return took, float(first), rest


def main() -> int:
    """Returns 1 if a heavy library is loaded.

    The goal of one second is only told of, for a busy machine is nobody's fault.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--idle", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--platform", help="Qt's platform plug-in (offscreen, or xcb under Xvfb)")
    args = parser.parse_args()
    if args.platform or not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("win32", "darwin")
    ):
        os.environ["QT_QPA_PLATFORM"] = args.platform or "offscreen"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a warm start has its bytecode
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMMONART_HOME"] = folder
        ours: list[tuple[float, float]] = []
        bare: list[tuple[float, float]] = []
        heavy: set[str] = set()
        for n in range(args.rounds + 1):
            took, took_cpu, _ = start(BARE)
            mine, mine_cpu, rest = start(OURS, "0", ",".join(HEAVY))
            heavy |= set(json.loads(rest)["heavy"])
            if n:  # the first warms up
                bare.append((took, took_cpu))
                ours.append((mine, mine_cpu))
        told = json.loads(start(OURS, str(args.idle), ",".join(HEAVY))[2]) if args.idle else {}
    for name, pairs in (("bare Qt window", bare), ("our window", ours)):
        times, cpu = zip(*pairs, strict=False)
        print(
            f"{name:16} median {statistics.median(times):.2f} s, {min(times):.2f} to {max(times):.2f} s "
            f"({len(times)} starts), "
            f"{statistics.median(cpu):.2f} s of a processor"
        )
    print(
        f"goal             under {GOAL_S:.0f} s: "
        f"{'met' if statistics.median(t for t, _ in ours) < GOAL_S else 'missed'} by the median"
    )
    if "cpu" in told:
        print(f"idle CPU         {100 * told['cpu']:.1f} % of a core over {args.idle:.0f} s")
    if "rss" in told:
        print(f"memory           {told['rss']:.0f} MB resident")
    print("heavy libraries ", ", ".join(sorted(heavy)) or "none")
    return 1 if heavy else 0


if __name__ == "__main__":
    raise SystemExit(main())
