"""Section of the gallery's side panel: the signature of an image, its signer, and the licences of the training data."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from commonart_desktop.core import verify_text
from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.verify.detail import breakable, shown_text
from commonart_desktop.gui.pages.verify.job import WANTED, check, stamped
from commonart_desktop.gui.pages.verify.labels import StateMark, chain_text, kind_of, word_of
from commonart_desktop.gui.pages.verify.lora_folders import KEY, folders_in
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError

KEPT = 200  # reports
PATIENCE = 200  # ms for which an image must be selected before a process is started for it


class ProvenancePanel(QWidget):
    """A section of the gallery's side panel: see ``gallery.side_panel``."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._path: Path | None = None
        self._task: Task | None = None
        self._reports: OrderedDict[Any, dict[str, Any]] = OrderedDict()
        self._later = QTimer(self, singleShot=True, interval=PATIENCE)
        self._later.timeout.connect(self._check)
        self.mark, self.state = StateMark(), label()
        self.lines, self.licences = label(role="hint"), label(role="hint")
        self.verify = QPushButton(
            icon("verify"),
            self.tr("Verify"),
            toolTip=self.tr("See everything known about it on the Verify page"),
            clicked=self._go,
        )
        self.verify.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.state, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACE["xs"])
        column.addLayout(head)
        for widget in (self.lines, self.licences, self.verify):
            column.addWidget(widget)

    def title(self) -> str:
        """The title above the section."""
        return self.tr("Provenance")

    def show_image(self, path: Path | None) -> None:
        """Another image is selected, or none; the check of the last one is cancelled."""
        self._path = path
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._later.stop()
        if path is not None:
            self._show_message("waiting", self.tr("Checking…"), [], [])
            self._later.start()

    def _check(self) -> None:
        path, loras = str(self._path), folders_in(self._context.state.value(KEY))
        cached = self._reports

        def work(task: Task) -> tuple[Any, dict[str, Any]]:
            file = stamped(path)
            key = (*file.stamp, *loras)
            return key, cached.get(key) or check(task, [file], loras)[0]

        self._task = Task(self, work, done=self._show, failed=self._failed)

    def _failed(self, error: CommonArtError) -> None:
        self._task = None
        self._show_message("waiting", sentence(error)[0], [], [])

    def _show(self, answer: tuple[Any, dict[str, Any]]) -> None:
        self._task = None
        key, report = answer
        self._reports[key] = report
        self._reports.move_to_end(key)
        if len(self._reports) > KEPT:
            self._reports.popitem(last=False)
        state_text = shown_text(verify_text.state(report))
        lines = [*verify_text.findings(report), chain_text(report), verify_text.foreign_text(report).rstrip(":：")]
        self._show_message(
            kind_of(report),
            state_text[:1].upper() + state_text[1:],
            lines,
            [one for link in report["chain"] for one in verify_text.licences_of(link)],
        )

    def _show_message(self, kind: str, state_text: str, lines: list[str], licences: list[str]) -> None:
        self.mark.show_kind(kind)
        self.mark.setAccessibleName(word_of(kind))
        self.state.setText(breakable(state_text))
        licence_text = (
            self.tr("Licences of its training images: {licences}").format(licences=", ".join(dict.fromkeys(licences)))
            if licences
            else ""
        )
        for where, text in (
            (self.lines, "\n".join(shown_text(line) for line in lines if line)),
            (self.licences, shown_text(licence_text)),
        ):
            where.setText(breakable(text))
            where.setVisible(bool(text))

    def busy(self) -> bool:
        """Whether a check is pending."""
        return self._task is not None or self._later.isActive()

    def _go(self) -> None:
        if self._path is not None:
            self._context.state.setValue(WANTED, str(self._path))
            self._context.go_to("verify")
