"""The running picture as it comes, and all that is known of the selected one."""

from __future__ import annotations

import html
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QRect, QRunnable, QSize, Qt, QThreadPool, Signal
from PySide6.QtGui import QColor, QImage, QImageReader, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QWidget

from commonart_desktop.core import i18n
from commonart_desktop.gui.pages.queue.labels import QueueLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.errors import from_wire
from engine.contract.ledger.ledger import Job, Row
from engine.contract.recipe import SAMPLER_NAMES

_SIDE = 512  # a finished picture is read no larger than this


class _Progress(QObject):
    read = Signal(str, QImage)


class _PreviewRead(QRunnable):
    """Reads a picture's file in a thread of the pool."""

    def __init__(self, path: str, told: _Progress) -> None:
        super().__init__()
        self._path, self._told = path, told

    def run(self) -> None:
        reader = QImageReader(self._path)
        reader.setAutoTransform(True)
        size = reader.size()
        if size.isValid() and max(size.width(), size.height()) > _SIDE:
            reader.setScaledSize(size.scaled(QSize(_SIDE, _SIDE), Qt.AspectRatioMode.KeepAspectRatio))
        image = reader.read()
        try:
            self._told.read.emit(self._path, image)
        except RuntimeError:
            pass  # the page is gone


class Preview(QWidget):
    """Shows a picture from a file, fitted; the file is read in another thread. Nothing is shown that cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(96, 96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._pixmap = QPixmap()
        self.path = ""
        self._caption = ""
        self._told = _Progress(self)
        self._told.read.connect(self._on_read)
        self.setAccessibleName(self.tr("Preview"))

    def show_file(self, path: str, caption: str) -> None:
        """Show this file as it is now; it may be another picture under the same name."""
        self.path, self._caption = path, caption
        self.setAccessibleDescription(caption)
        if path:
            QThreadPool.globalInstance().start(_PreviewRead(path, self._told))
        else:
            self._pixmap = QPixmap()
        self.update()

    @property
    def has_picture(self) -> bool:
        return not self._pixmap.isNull()

    def _on_read(self, path: str, image: QImage) -> None:
        if path == self.path:
            self._pixmap = QPixmap.fromImage(image) if not image.isNull() else QPixmap()
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        c = theme.colours()
        painter.fillRect(self.rect(), QColor(c.panel))
        painter.setPen(QColor(c.muted))
        line = painter.fontMetrics().lineSpacing()
        room = self.rect().adjusted(SPACE["s"], SPACE["s"], -SPACE["s"], -SPACE["s"])
        if self._pixmap.isNull():
            painter.drawText(
                room,
                int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap),
                self.tr("The picture being made appears here."),
            )
            return
        room.setBottom(room.bottom() - line)
        size = self._pixmap.size().scaled(room.size(), Qt.AspectRatioMode.KeepAspectRatio)
        at = QRect(
            room.left() + (room.width() - size.width()) // 2,
            room.top() + (room.height() - size.height()) // 2,
            size.width(),
            size.height(),
        )
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(at, self._pixmap)
        words = painter.fontMetrics().elidedText(self._caption, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(
            QRect(room.left(), room.bottom(), room.width(), line), int(Qt.AlignmentFlag.AlignCenter), words
        )


class Details(QTextBrowser):
    """What is known of the selected picture or job."""

    copy_wanted = Signal()  # the error's details

    def __init__(self, words: QueueLabels) -> None:
        super().__init__()
        self._words = words
        self._shown = ""
        self._item: tuple[Job | Row | None, int] = (None, 1)
        self.setOpenLinks(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.anchorClicked.connect(lambda _: self.copy_wanted.emit())
        self.setAccessibleName(self.tr("Details"))
        self.setMinimumWidth(120)
        self.show_item(None)

    def show_item(self, item: Job | Row | None, count: int = 1) -> None:
        """Show one item; of several only how many."""
        self._item = item, count
        if item is None or count > 1:
            text = (
                self.tr("{count} selected").format(count=count)
                if count > 1
                else self.tr("Select a picture to see its details.")
            )
            page = f'<p style="color:{theme.colours().muted}">{html.escape(text)}</p>'
        else:
            rows = self._of_picture(item) if isinstance(item, Row) else self._of_job(item)
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
                page += f'<p><a href="copy" style="color:{theme.colours().accent}">{html.escape(self.tr("Copy error details"))}</a></p>'
        if page != self._shown:
            self._shown = page
            self.setHtml(page)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._shown:  # colours stand in the text
            self.show_item(*self._item)

    def _of_picture(self, row: Row) -> list[tuple[str, str, str]]:
        c, r = theme.colours(), row.request
        error, hint = i18n.sentence(from_wire(row.error)) if row.error else ("", "")
        size = f"{r.width} × {r.height}" if r.width and r.height else ""
        return [
            (self.tr("State"), self._words.word(row), c.text),
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
            (self.tr("State"), self._words.word(job), c.text),
            (self.tr("Pictures"), counts, c.text),
            (self.tr("Priority"), str(job.priority), c.text),
        ]
