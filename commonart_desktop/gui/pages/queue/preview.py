"""The details of what is selected in the queue."""

from __future__ import annotations

import html
from pathlib import Path

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QFrame, QTextBrowser

from commonart_desktop.core import i18n
from commonart_desktop.gui.pages.queue.labels import QueueLabels
from commonart_desktop.gui.style import theme
from engine.contract.errors import from_wire
from engine.contract.ledger.ledger import Job, Row
from engine.contract.recipe import SAMPLER_NAMES


class Details(QTextBrowser):
    """Everything about the selected image or job."""

    copy_wanted = Signal()  # the error's details

    def __init__(self, labels: QueueLabels) -> None:
        super().__init__()
        self._labels = labels
        self._shown = ""
        self._item: tuple[Job | Row | None, int] = (None, 1)
        self.setOpenLinks(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.anchorClicked.connect(lambda _: self.copy_wanted.emit())
        self.setAccessibleName(self.tr("Details"))
        self.setMinimumWidth(120)
        self.show_item(None)

    def show_item(self, item: Job | Row | None, count: int = 1) -> None:
        """Show one item; of several only how many there are."""
        self._item = item, count
        if item is None or count > 1:
            text = (
                self.tr("{count} selected").format(count=count)
                if count > 1
                else self.tr("Select an image to see its details.")
            )
            page = f'<p style="color:{theme.colours().muted}">{html.escape(text)}</p>'
        else:
            rows = self._of_image(item) if isinstance(item, Row) else self._of_job(item)
            page = (
                "<table cellpadding='2'>"
                + "".join(
                    f'<tr><td style="color:{theme.colours().muted}; white-space:nowrap">{html.escape(name)}</td>'
                    f'<td style="color:{colour}; white-space:pre-wrap">{html.escape(text)}</td></tr>'
                    for name, text, colour in rows
                    if text
                )
                + "</table>"
            )
            if isinstance(item, Row) and item.error is not None:
                link = html.escape(self.tr("Copy error details"))
                page += f'<p><a href="copy" style="color:{theme.colours().accent}">{link}</a></p>'
        if page != self._shown:
            self._shown = page
            self.setHtml(page)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._shown:  # the text contains colours
            self.show_item(*self._item)

    def _of_image(self, row: Row) -> list[tuple[str, str, str]]:
        c, r = theme.colours(), row.request
        error, hint = i18n.sentence(from_wire(row.error)) if row.error else ("", "")
        size = f"{r.width} × {r.height}" if r.width and r.height else ""
        return [
            (self.tr("State"), self._labels.state_text(row), c.text),
            (self.tr("Error"), error, c.bad),
            (self.tr("What to do"), hint, c.text),
            (self.tr("Attempts"), str(row.attempts) if row.attempts else "", c.text),
            (self.tr("Prompt"), r.prompt, c.text),
            (self.tr("Template"), r.template if r.template != r.prompt else "", c.text),
            (self.tr("Negative prompt"), r.negative, c.text),
            (self.tr("Seed"), str(r.seed), c.text),
            (self.tr("Size"), size, c.text),
            (self.tr("Steps"), str(r.steps), c.text),
            (self.tr("Guidance scale"), str(r.guidance), c.text),
            (self.tr("Sampler"), SAMPLER_NAMES.get(r.sampler, r.sampler), c.text),
            (self.tr("Model"), Path(r.model).name, c.text),
            (self.tr("File"), row.path or "", c.text),
        ]

    def _of_job(self, job: Job) -> list[tuple[str, str, str]]:
        c = theme.colours()
        counts = "  ".join(
            f"{i18n.tr(s)} {getattr(job, s)}"
            for s in ("waiting", "running", "done", "failed", "cancelled")
            if getattr(job, s)
        )
        return [
            (self.tr("Job"), job.name, c.text),
            (self.tr("State"), self._labels.state_text(job), c.text),
            (self.tr("Images"), counts, c.text),
            (self.tr("Priority"), str(job.priority), c.text),
        ]
