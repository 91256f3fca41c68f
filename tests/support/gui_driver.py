"""The real program in a process of its own, driven from inside: ``python -m tests.support.gui_driver STEP ...``. Each
step prints one line.

start                     open the window, say which modules are loaded and how long it took, close
open                      the program as ``commonart gui`` runs it
drop FILE                 drop a file onto the Make page
swap                      the two jobs change places by the queue's own action
type TEXT                 type a prompt as an input method does
press                     press "Make one now"
picture SECONDS           wait until the gallery shows one picture
shot FILE                 what the display shows, to a file
tell                      the queue and the draft, as JSON
kept                      what else a user left: presets, runs, stars and ratings, the evaluation's seed, as JSON
engine off                the engine is not started in this run
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commonart_desktop.gui.background.tasks import pending_tasks

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "numpy", "PIL")


def until(app: Any, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    from PySide6.QtCore import QEventLoop

    end = time.monotonic() + seconds
    while not condition():
        app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        if time.monotonic() > end:
            raise SystemExit(f"it did not come about: {condition.__name__}")


def drive(whole: Any, app: Any, steps: list[str]) -> None:
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QInputMethodEvent
    from PySide6.QtTest import QTest

    window = whole.window

    def settled() -> bool:
        return pending_tasks(window.page("make").compose) == 0

    while steps:
        step = steps.pop(0)
        make = window.page("make")
        if step == "engine":
            assert steps.pop(0) == "off"
            whole.engine.start = lambda **_: None
        elif step == "drop":
            before = sum(whole.ledger.counts().values())
            make.compose.take_files([steps.pop(0)])
            until(app, lambda before=before: sum(whole.ledger.counts().values()) > before)
        elif step == "swap":
            queue = make.queue
            until(app, lambda queue=queue: queue.model.rowCount() == 2)
            last = queue.model.index(1, 0)
            queue.view.setCurrentIndex(last)
            names = [j.name for j in whole.ledger.jobs()]
            queue.commands.actions["up"].trigger()
            until(app, lambda names=names: [j.name for j in whole.ledger.jobs()] == names[::-1])
        elif step == "type":
            make.compose.prompt.setFocus()
            for letter in steps.pop(0):
                composing, done = QInputMethodEvent(letter, []), QInputMethodEvent()
                done.setCommitString(letter)
                for event in (composing, done):
                    app.sendEvent(make.compose.prompt, event)
            until(app, settled)
        elif step == "press":
            QTest.mouseClick(make.compose.now_button, Qt.MouseButton.LeftButton)
            until(app, settled)
        elif step == "picture":
            seconds = float(steps.pop(0))
            until(app, lambda: whole.ledger.counts()["done"] == 1, seconds)
            window.go_to("pictures")
            pictures = window.page("pictures")
            until(app, lambda pictures=pictures: pictures.model.rowCount() == 1, 60)
        elif step == "shot":
            end = time.monotonic() + 2
            until(app, lambda end=end: time.monotonic() > end)
            assert window.screen().grabWindow(0).save(steps.pop(0))
        elif step == "tell":
            rows = [[job.name, row.request.prompt] for job, row in whole.ledger.every()]
            print(
                json.dumps(
                    {
                        "rows": rows,
                        "draft": make.compose.prompt.toPlainText(),
                        "page": window.current(),
                        "sizes": make.splitter.sizes(),
                        "engine": whole.engine.now,
                    }
                ),
                flush=True,
            )
        elif step == "kept":
            print(json.dumps(kept(window, app)), flush=True)
        else:
            raise SystemExit(f"there is no step {step}")


def kept(window: Any, app: Any) -> dict[str, Any]:
    """What a user saved in the window before, by the names and files it was saved under."""
    from commonart_desktop.core.runs import list_runs
    from commonart_desktop.gui.pages.make.presets import of_user

    pictures = window.page("pictures")
    window.go_to("pictures")
    model = pictures.model
    until(app, lambda: pictures.library.idle and model.rowCount() > 0)
    model.fetch(0, model.rowCount() - 1)
    until(app, lambda: all(model.image(n) is not None for n in range(model.rowCount())))
    found = [model.image(n) for n in range(model.rowCount())]
    presets, troubles = of_user()
    return {
        "presets": {p.name: p.values for p in presets},
        "troubles": [t.to_wire() for t in troubles],
        "runs": [[r.name, r.state()] for r in list_runs()],
        "ratings": {Path(p.path).name: [p.starred, p.rating] for p in found},
        "seed": window.page("evaluate").form.seed.value(),
    }


def main(steps: list[str]) -> int:
    began = time.perf_counter()
    from PySide6.QtWidgets import QApplication

    from commonart_desktop.gui import app as program

    if steps == ["open"]:
        return program.main([])
    app = QApplication([])
    whole = program.Application(app, backend=os.environ.get("COMMONART_BACKEND"))
    whole.window.show()
    app.processEvents()
    if steps == ["start"]:
        print(
            json.dumps(
                {
                    "seconds": time.perf_counter() - began,
                    "heavy": [m for m in HEAVY if m in sys.modules],
                    "pages": list(whole.window.pages),
                    "platform": app.platformName(),
                }
            ),
            flush=True,
        )
    else:
        drive(whole, app, list(steps))
    whole.window.close()
    whole.close(leave_working=False)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    raise SystemExit(main(sys.argv[1:]))
