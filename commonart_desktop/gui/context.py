"""What every page is given: nothing is global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings

from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.settings_store import SettingsStore
from engine.contract.ledger.ledger import Ledger

if TYPE_CHECKING:
    from commonart_desktop.gui.background.training_runs import TrainingRuns
    from commonart_desktop.gui.background.worker_process import WorkerProcess


@dataclass(frozen=True)
class Context:
    """One window's parts. ``state`` keeps sizes, columns and drafts between starts."""

    ledger: Ledger
    engine: WorkerProcess
    trainings: TrainingRuns
    settings: SettingsStore
    notices: Notices
    state: QSettings
    go_to: Callable[[str], None]  # show a page by its name: see pages.py

    @property
    def out(self) -> Path:
        """The output folder by the settings, absolute."""
        return Path(self.settings.now.out).expanduser().absolute()
