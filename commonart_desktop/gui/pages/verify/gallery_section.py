"""Beside a picture of the gallery: whether it is as it was signed, by whom, and the licences of what taught it."""

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
from commonart_desktop.gui.pages.verify.labels import StateMark, chain_words, kind_of, word_of
from commonart_desktop.gui.pages.verify.lora_folders import KEY, folders_in
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError

KEPT = 200  # reports
PATIENCE = 200  # milliseconds a picture must stay selected before a process is started for it


class ProvenancePanel(QWidget):
    """A section of the gallery's side panel: see ``gallery_panel``."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._path: Path | None = None
        self._task: Task | None = None
        self._kept: OrderedDict[Any, dict[str, Any]] = OrderedDict()
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
        """What stands above the section."""
        return self.tr("Provenance")

    def show_picture(self, path: Path | None) -> None:
        """Another picture is selected, or none; what was asked for the last one is no longer wanted."""
        self._path = path
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._later.stop()
        if path is not None:
            self._tell("waiting", self.tr("Checking…"), [], [])
            self._later.start()

    def _check(self) -> None:
        path, loras = str(self._path), folders_in(self._context.state.value(KEY))
        known = self._kept

        def work(task: Task) -> tuple[Any, dict[str, Any]]:
            file = stamped(path)
            key = (*file.stamp, *loras)
            return key, known.get(key) or check(task, [file], loras)[0]

        self._task = Task(self, work, done=self._show, failed=self._failed)

    def _failed(self, error: CommonArtError) -> None:
        self._task = None
        self._tell("waiting", sentence(error)[0], [], [])

    def _show(self, answer: tuple[Any, dict[str, Any]]) -> None:
        self._task = None
        key, report = answer
        self._kept[key] = report
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        words = shown_text(verify_text.state(report))
        lines = [*verify_text.findings(report), chain_words(report), verify_text.foreign_text(report).rstrip(":：")]
        self._tell(
            kind_of(report),
            words[:1].upper() + words[1:],
            lines,
            [one for link in report["chain"] for one in verify_text.licences_of(link)],
        )

    def _tell(self, kind: str, words: str, lines: list[str], licences: list[str]) -> None:
        self.mark.show_kind(kind)
        self.mark.setAccessibleName(word_of(kind))
        self.state.setText(breakable(words))
        told = (
            self.tr("Licences of its training pictures: {licences}").format(licences=", ".join(dict.fromkeys(licences)))
            if licences
            else ""
        )
        for where, text in (
            (self.lines, "\n".join(shown_text(line) for line in lines if line)),
            (self.licences, shown_text(told)),
        ):
            where.setText(breakable(text))
            where.setVisible(bool(text))

    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._task is not None or self._later.isActive()

    def _go(self) -> None:
        if self._path is not None:
            self._context.state.setValue(WANTED, str(self._path))
            self._context.go_to("verify")
