"""Input and output of the Verify page: dropped and pasted paths, and the reports as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QIODevice, QLocale, QMimeData, QObject, QSaveFile
from PySide6.QtGui import QGuiApplication

from commonart_desktop.core.verify_text import as_text
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from engine.contract.errors import BadFile, CommonArtError

PASTED = 1_000_000  # characters of the clipboard's text that are read


def paths_of(mime: QMimeData) -> list[str]:
    """Local files in dropped or copied data: URLs, or lines of text that are full paths."""
    if mime.hasUrls():
        return [u.toLocalFile() for u in mime.urls() if u.isLocalFile() and u.toLocalFile()]
    lines = [line.strip().strip('"') for line in mime.text()[:PASTED].splitlines()] if mime.hasText() else []
    return [line for line in lines if line and "\0" not in line and Path(line).is_absolute()]


class Reports(QObject):
    """Copies and saves reports; ``busy`` while a file is being written."""

    def __init__(self, context: Context, page: QObject) -> None:
        super().__init__(page)
        self._context = context
        self._saving: Task | None = None

    @property
    def busy(self) -> bool:
        return self._saving is not None

    def copy(self, reports: list[dict[str, Any]]) -> None:
        """Copy them to the clipboard as readable text."""
        if reports:
            QGuiApplication.clipboard().setText(as_text(reports))
            self._context.notices.say(
                self.tr("Copied the reports of {count} image(s).").format(count=QLocale().toString(len(reports)))
            )

    def save(self, path: str, reports: list[dict[str, Any]]) -> None:
        """Save them as JSON, as ``commonart verify --json`` prints them; atomically, in a thread."""

        def done(_: object) -> None:
            self._saving = None
            self._context.notices.say(self.tr("Saved: {path}").format(path=path))

        def failed(error: CommonArtError) -> None:
            self._saving = None
            self._context.notices.complain(error)

        self._saving = Task(self, lambda task: _write(path, reports), done=done, failed=failed)


def _write(path: str, reports: list[dict[str, Any]]) -> None:
    """Raises BadFile."""
    file = QSaveFile(path)
    data = json.dumps(reports, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"
    if not (file.open(QIODevice.OpenModeFlag.WriteOnly) and file.write(data) == len(data) and file.commit()):
        raise BadFile(path=path, why=file.errorString())
