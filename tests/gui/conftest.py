"""What a page of the window is given, over a ledger and settings of this test only, with the fake backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from commonart_desktop.core import i18n
from commonart_desktop.gui.context import Context, Notices, SettingsStore
from commonart_desktop.gui.engine import Engine
from engine.contract.queue import Ledger
from tests.stub import make_stub


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
    engine = Engine(ledger, settings, backend="fake")
    state = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
    yield Context(ledger, engine, settings, Notices(), state, went.append)
    engine.stop()  # a detached worker hears the ledger only, not its standard input
    engine.shut(leave_working=False)
    ledger.close()
    i18n.language.cache_clear()
