"""``python -m commonart_desktop.gui.screenshots OUTDIR``: every page in both languages and both themes, as page-lang-theme.png.

Pages are those of ``pages.py``; one that has ``shots()`` is taken in its further states too.

The window works on data of its own, in a temporary folder, with a small queue and pictures made there and then.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SIZE = (1440, 900)
PROMPTS = {
    "祭りのポスター": ("りんご、フラット調", "富士山、青い背景", "すし、細い線", "猫、赤い背景"),
    "winter cards": ("a dog on a pink background", "a tree, flat style", "a red apple", "a fish, thin lines"),
}


def _fill(demo: bool) -> str | None:
    """A queue, most of it made. Returns the backend for the window."""
    from commonart_desktop.core.compose import PromptOrder, compose
    from commonart_desktop.core.ledger import open_ledger
    from commonart_desktop.core.process import Worker
    from commonart_desktop.core.settings import Settings
    from commonart_desktop.core.settings_save import save_settings
    from engine.contract import events
    from engine.contract.paths import home, resources

    model = next(iter(sorted(p.parent for p in (resources() / "models").glob("*/model_index.json"))), None)
    backend = None
    if model is None or not demo:  # nothing to draw with: colours by seed, over a model of a few bytes
        from tests.support.stub_model import make_stub

        model, backend = make_stub(home() / "models" / "commonart-mini"), "fake"
    save_settings(Settings(model=str(model), out=str(home() / "outputs")))
    ledger, _ = open_ledger()
    for job, prompts in PROMPTS.items():
        base = {"model": str(model), "out": str(home() / "outputs"), "steps": 4}
        ledger.add_job(job, compose([PromptOrder(prompt=p) for p in prompts], base, count=3, seed=7))
    worker = Worker(ledger.path, [*(["--backend", backend] if backend else [])])
    made = 0
    for event in worker.events():
        made += isinstance(event, events.Saved)
        if made == 18:
            worker.tell("quit")
    worker.close()
    ledger.close()
    return backend


def shoot(out: Path, *, backend: str | None) -> list[Path]:
    """Write the pictures; returns their paths."""
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    from commonart_desktop.gui.app import Application
    from commonart_desktop.gui.shell.pages import PAGES

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    whole = Application(app, backend=backend)

    def settle(seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)

    written: list[Path] = []

    def take(name: str) -> None:
        written.append(out / f"{name}.png")
        whole.window.grab().save(str(written[-1]))

    out.mkdir(parents=True, exist_ok=True)
    for lang in ("ja", "en"):
        for theme in ("light", "dark"):
            whole.settings.put(language=lang, theme=theme)
            whole.settle()
            whole.window.resize(*SIZE)
            whole.window.show()
            for entry in PAGES:
                name, page = entry.name, whole.window.page(entry.name)
                whole.window.go_to(name)
                settle(1.0)  # timers of a page have started by then
                busy = getattr(page, "busy", None)
                settle(60.0, (lambda busy=busy: not busy()) if busy else lambda: True)
                settle(0.5)
                take(f"{name}-{lang}-{theme}")
                for state in getattr(page, "shots", lambda: ())():
                    settle(0.3)
                    take(f"{name}-{state}-{lang}-{theme}")
            whole.window.find_action()
            settle(1.0)
            take(f"find-{lang}-{theme}")
            whole.window.command_index.palette.close_()
            whole.window.go_to(PAGES[0].name)
    whole.window.close()
    whole.close(leave_working=False)
    return written


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    out = Path(argv[0]).absolute()
    for name in ("COMMONART_LANG",):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMMONART_HOME"] = folder
        for path in shoot(out, backend=_fill(demo=True)):
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
