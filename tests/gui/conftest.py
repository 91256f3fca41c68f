"""What a page of the window is given, over a ledger and settings of this test only, with the fake backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QSettings
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from commonart_desktop.core import i18n
from commonart_desktop.core.settings import Settings
from commonart_desktop.core.settings_save import save_settings
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.background.tasks import pending_tasks
from commonart_desktop.gui.background.training_runs import TrainingRuns
from commonart_desktop.gui.background.worker_process import WorkerProcess
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.settings_store import SettingsStore
from engine.contract.ledger.ledger import Ledger
from tests.support.stub_model import make_stub


@pytest.fixture
def went() -> list[str]:
    """The pages that were asked for by ``context.go_to``."""
    return []


@pytest.fixture
def context(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, went: list[str]) -> Iterator[Context]:
    """One window's parts; the model is a stub of 32 x 32 and the engine paints with the fake backend."""
    monkeypatch.setenv("COMMONART_LANG", "en")
    i18n.language.cache_clear()
    model = make_stub(tmp_path / "stub")
    ledger = Ledger(tmp_path / "home" / "queue.db")
    settings = SettingsStore()
    settings.put(model=str(model), out=str(tmp_path / "out"))
    engine = WorkerProcess(ledger, settings, backend="fake")
    state = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    notices = Notices()
    trainings = TrainingRuns(ledger, engine, settings, notices, state)
    yield Context(ledger, engine, trainings, settings, notices, state, went.append)
    trainings.shut()
    QCoreApplication.sendPostedEvents(
        None, QEvent.Type.DeferredDelete
    )  # pages that qtbot closed: what their threads still tell comes too late
    engine.stop()  # a detached worker hears the ledger only, not its standard input
    engine.shut(leave_working=False)
    ledger.close()
    i18n.language.cache_clear()


@pytest.fixture
def open_program(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Application]]:
    """Opens the whole program, with the fake backend; keywords are settings.

    All that was opened is closed at the end.
    """
    monkeypatch.delenv("COMMONART_LANG", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    model = make_stub(tmp_path / "home" / "models" / "stub-one")
    opened: list[Application] = []

    def build(**settings: str) -> Application:
        if settings or not (tmp_path / "home" / "settings.toml").exists():
            save_settings(Settings(**{"language": "en", "model": model.name, "out": str(tmp_path / "out")} | settings))
        opened.append(whole := Application(qapp, backend="fake"))
        return whole

    def shut(whole: Application, *, leave_working: bool = False) -> None:
        opened.remove(whole)
        for page in list(whole.window.pages.values()):  # Ctrl+K may still be building some
            compose = getattr(page, "compose", None)
            if compose is not None:
                qtbot.waitUntil(lambda c=compose: pending_tasks(c) == 0, timeout=30_000)
        whole.window.hide()
        if not leave_working:
            whole.engine.stop()
        whole.close(leave_working=leave_working)
        for translator in whole._translators:
            qapp.removeTranslator(translator)
        whole.window.deleteLater()
        whole.deleteLater()

    build.shut = shut  # type: ignore[attr-defined]
    yield build
    for whole in list(opened):
        shut(whole)
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qapp.setStyleSheet("")
    i18n.language.cache_clear()
