"""What a run has brought about: the verdict, what can be done with it, and in subclasses the values and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.gui.notices import details
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError


class ReportView(QWidget):
    """Base of the report views; ``info(text)`` is a message for the notification bar."""

    info = Signal(str)

    def __init__(self, copy_label: str, copied: str) -> None:
        super().__init__()
        self.report: Any = None
        self.error: CommonArtError | None = None  # of the run, if it failed
        self._copied = copied
        self.mark, self.title, self.location = QLabel(), label(role="title"), label(role="muted")
        self.summary, self.advice = label(), label(role="hint")
        self.folder = QPushButton(theme.icon("folder"), self.tr("Open folder"), clicked=self._open_folder)
        self.copy = QPushButton(theme.icon("copy"), copy_label, clicked=self._copy)

    # for subclasses ---------------------------------------------------------------------------------------------------

    def body(self) -> list[str]:
        """The lines of ``text`` between the head and the error."""
        raise NotImplementedError

    def pending(self) -> bool:
        """Whether images are still being loaded."""
        raise NotImplementedError

    def fit(self) -> None:
        """Called once the view is shown and has its width."""

    def add_head(self, column: QVBoxLayout, *buttons: QPushButton) -> None:
        """Lay out mark, title and location over a row of ``buttons``."""
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.title, 1)
        column.addLayout(head)
        column.addWidget(self.location)
        line = QHBoxLayout(spacing=SPACE["s"])
        for button in buttons:
            line.addWidget(button)
        line.addStretch()
        column.addLayout(line)

    def show_head(self, report: Any, icon: str, title: str, location: str, summary: str, advice: str = "") -> None:
        """Show the verdict; texts that are empty are hidden."""
        self.report = report
        self.mark.setPixmap(theme.icon(icon).pixmap(20, 20))
        self.title.setText(title)
        for widget, text in ((self.location, location), (self.summary, summary), (self.advice, advice)):
            widget.setText(text)
            widget.setVisible(bool(text))
        self.folder.setVisible(bool(report.folder))

    # ------------------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The report as text, for the clipboard."""
        head = [self.title.text(), *filter(None, (self.location.text(), self.summary.text(), self.advice.text()))]
        error = ["", details(self.error)] if self.error is not None else []
        return "\n".join([*head, *self.body(), *error])

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text())
        self.info.emit(self._copied)

    def _open_folder(self) -> None:
        if self.report is not None and Path(self.report.folder).is_dir():
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.report.folder))
