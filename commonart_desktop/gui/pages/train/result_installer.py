"""Puts the result of a training where it is listed by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject

from commonart_desktop.core.runs import Run
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.background.training_runs import TrainingRuns
from commonart_desktop.gui.notices import Notices
from engine.contract.errors import CommonArtError


class ResultInstaller(QObject):
    """Installs one result at a time, in a process."""

    def __init__(self, parent: QObject, trainings: TrainingRuns, notices: Notices) -> None:
        super().__init__(parent)
        self._trainings, self._notices = trainings, notices
        self._task: Task | None = None

    def busy(self) -> bool:
        return self._task is not None

    def install(self, run: Run, end: dict[str, Any], then: Callable[[str], None]) -> None:
        """Install the result that ``end``, the run's last event, names, unless it is installed; ``then`` gets its path."""
        installed = str(run.plan.get("installed") or end.get("installed") or "")  # the trainer does it by default
        if installed and Path(installed).exists():
            then(installed)
            return
        path = str(end.get("path", ""))
        name = str(run.plan.get("result") or Path(path).stem)

        def done(answer: dict[str, Any]) -> None:
            self._task = None
            self._trainings.change(run, installed=answer["path"])
            then(answer["path"])

        def failed(error: CommonArtError) -> None:
            self._task = None
            self._notices.complain(error)

        self._task = Task(
            self, lambda task: task.program("trainer.install", [path, f"--name={name}"]), done=done, failed=failed
        )
