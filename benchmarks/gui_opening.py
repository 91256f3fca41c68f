"""How long the window's thread is held by anything a person can do for the first time: opening pages, Ctrl+K, language,
theme, the start itself.

    python -m benchmarks.gui_opening [--json] [--rounds 3] [--platform offscreen]

Each round drives the real program (fake backend) in processes of its own. A clock that ticks every millisecond in the
event loop sees how long the
loop was away between two ticks: the longest is the figure, in wall time and in processor time of the thread (what other
programs on the machine take does not count there). "At once" is in the first event-loop turn after the window is shown,
a process each; "later" is after three quiet seconds. Exit status 1 if the median over the rounds of any longest turn
takes more than 50 ms of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
GOAL_MS = 50.0
QUIET_S = 3.0
WATCHED_S = 1.5  # after each deed, at least: until all is built

CHILD = """
import json, sys, threading, time
from PySide6.QtCore import QEventLoop, QTimer, Qt
from PySide6.QtWidgets import QApplication
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.shell.pages import PAGES, load_all

asked, quiet, watched = json.loads(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
app = QApplication([])
whole = Application(app, backend="fake")
told = {}


class Probe:
    def __init__(self):
        self.timer = QTimer(interval=1, timerType=Qt.TimerType.PreciseTimer)
        self.timer.timeout.connect(self.tick)

    def tick(self):
        wall, cpu = time.perf_counter(), time.thread_time()
        self.wall, self.cpu = max(self.wall, wall - self.last[0]), max(self.cpu, cpu - self.last[1])
        self.last = wall, cpu

    def watch(self, name, deed, seconds):
        self.wall = self.cpu = 0.0
        self.last = time.perf_counter(), time.thread_time()
        self.timer.start()
        loop = QEventLoop()
        if deed is not None:
            QTimer.singleShot(0, deed)
        QTimer.singleShot(round(seconds * 1000), loop.quit)
        loop.exec()
        end = time.monotonic() + 60
        while getattr(whole, "_change_in_progress", None) is not None or not getattr(whole.window, "settled", lambda: True)():
            assert time.monotonic() < end, name
            QTimer.singleShot(500, loop.quit)
            loop.exec()
        self.timer.stop()
        told[name] = [1000 * self.wall, 1000 * self.cpu]


def deed(name):
    if name == "start":
        return None
    if name == "find":
        return whole.window.find_action
    kind, _, value = name.partition("=")
    if value:
        return lambda: whole.settings.put(**{kind: value})
    return lambda: whole.window.go_to(name)


probe = Probe()
if hasattr(whole, "preload"):
    whole.preload()
else:
    QTimer.singleShot(500, threading.Thread(target=load_all, daemon=True).start)
whole.window.show()
first = True
for name in asked:
    if name == "quiet":
        probe.watch("quiet", None, quiet)
        continue
    probe.watch(name, deed(name), watched + (1.5 if first else 0))
    first = False
    if name == "find" and whole.window.command_index.palette is not None:
        whole.window.command_index.palette.close_()
told.pop("quiet", None)
print(json.dumps({"times": told, "built": list(whole.window.pages)}), flush=True)
whole.window.close()
whole.close(leave_working=False)
import os; os._exit(0)
"""
PAGES = ("pictures", "train", "models", "export", "evaluate", "verify", "settings")
#: column of the table -> what one process does, in order
RUNS: dict[str, list[list[str]]] = {
    "at once": [["start"], *([page] for page in PAGES), ["find"], ["language=en"], ["theme=dark"]],
    "later": [["quiet", *PAGES, "find", "theme=dark", "theme=light", "language=en", "make"], ["quiet", "find"]],
}


def _run(steps: list[str], environment: dict[str, str]) -> dict[str, list[float]]:
    """Longest turns (wall ms, processor ms) by deed."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, json.dumps(steps), str(QUIET_S), str(WATCHED_S)],
            cwd=ROOT,
            env=environment | {"COMMONART_HOME": folder, "COMMONART_LANG": ""},
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=True,
        )
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])["times"]
    return found


def measure(rounds: int, environment: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """Deed -> column -> median wall ms, median processor ms, worst processor ms."""
    seen: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(rounds):
        for column, runs in RUNS.items():
            for steps in runs:
                for name, pair in _run(steps, environment).items():
                    first = "find" if steps[-1] != "find" or column == "at once" else "find, pages not built"
                    seen.setdefault((first if name == "find" else name, column), []).append(pair)
    table: dict[str, dict[str, list[float]]] = {}
    for (name, column), pairs in seen.items():
        table.setdefault(name, {})[column] = [
            statistics.median(p[0] for p in pairs),
            statistics.median(p[1] for p in pairs),
            max(p[1] for p in pairs),
        ]
    return table


def main() -> int:
    """Returns 1 if something holds the thread too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--platform", help="Qt's platform plug-in (offscreen, or xcb under Xvfb)")
    args = parser.parse_args()
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a program that was started before has its bytecode
    environment.setdefault("LANG", "ja_JP.UTF-8")
    if args.platform or not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform in ("win32", "darwin")
    ):
        environment["QT_QPA_PLATFORM"] = args.platform or "offscreen"
    _run(["start"], environment)  # warms up
    table = measure(args.rounds, environment)
    slow = sorted(
        f"{name} {column}" for name, columns in table.items() for column, times in columns.items() if times[1] > GOAL_MS
    )
    if args.json:
        load: Any = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        print(
            json.dumps(
                {"goal_ms": GOAL_MS, "rounds": args.rounds, "load": load, "longest_turn_ms": table, "missed": slow},
                ensure_ascii=False,
            )
        )
        return 1 if slow else 0
    print(
        f"{'longest turn of the event loop, ms':36}"
        + "".join(f"{column + ': wall':>16}{'processor':>11}{'worst':>8}" for column in RUNS)
    )
    for name, columns in table.items():
        cells = [
            "".join(f"{value:>{width}.1f}" for value, width in zip(columns[c], (16, 11, 8), strict=False))
            if c in columns
            else " " * 35
            for c in RUNS
        ]
        print(f"{name:36}{''.join(cells)}")
    print(
        f"goal of {GOAL_MS:.0f} ms of the processor (median of {args.rounds} rounds): "
        f"{'reached' if not slow else 'MISSED by ' + ', '.join(slow)}; load {_load()}"
    )
    return 1 if slow else 0


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
