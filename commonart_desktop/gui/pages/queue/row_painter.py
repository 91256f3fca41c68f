"""Draws all visible rows of the queue's table in one pass: delegates, cell by cell, take three times as long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPixmap

from commonart_desktop.gui.pages.queue.labels import ATTEMPTS, ERROR, LEFT, NAME, PROGRESS, SETTINGS, RowLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

MARK = 16  # side of the expand and state icons
_KEPT = 4096  # elided texts that are cached
_ELIDE = Qt.TextElideMode.ElideRight
_RIGHT = frozenset((LEFT, ATTEMPTS))
_BAR = 3  # thickness of a job's progress bar
_WAITS = RowLabels(("…", "", "", "", "", ""), "", None, False, False)  # a row that the ledger no longer has


class RowPainter:
    """Caches fonts, icons and elided texts for one theme and font at a time."""

    def __init__(self) -> None:
        self._for: tuple[object, ...] = ()

    def _prepare(self, font: QFont, ratio: float) -> None:
        """Everything that depends on theme, font and screen."""
        key = (theme.colours(), font.key(), ratio)
        if key == self._for:
            return
        self._for, c = key, theme.colours()
        self._ratio = ratio
        self._font, self._strong = QFont(font), QFont(font)
        self._strong.setWeight(QFont.Weight.DemiBold)
        self._metrics, self._strong_metrics = QFontMetrics(self._font), QFontMetrics(self._strong)
        self._marks: dict[str, QPixmap] = {}
        self._cut: dict[tuple[str, int, bool], tuple[str, int]] = {}
        self._colours = {
            n: QColor(v)
            for n, v in (
                ("text", c.text),
                ("muted", c.muted),
                ("bad", c.bad),
                ("accent", c.accent),
                ("panel", c.panel),
                ("border", c.border),
                ("selection", c.selection),
            )
        }

    def _mark(self, name: str) -> QPixmap:
        if name not in self._marks:
            self._marks[name] = theme.icon(name).pixmap(QSize(MARK, MARK), self._ratio)
        return self._marks[name]

    def _fit(self, text: str, width: int, strong: bool, right: bool) -> tuple[str, int]:
        """The elided text and, if it is right-aligned, its width. Measuring takes most of the time, so it is cached."""
        key = (text, width, strong)
        cached = self._cut.get(key)
        if cached is None:
            if len(self._cut) >= _KEPT:
                self._cut.clear()
            metrics = self._strong_metrics if strong else self._metrics
            shown = metrics.elidedText(
                text[:width] if len(text) > width else text, _ELIDE, width
            )  # no character is narrower than a pixel
            cached = self._cut[key] = (shown, metrics.horizontalAdvance(shown) if right else 0)
        return cached

    def paint(
        self,
        painter: QPainter,
        font: QFont,
        rows: Sequence[tuple[int, RowLabels | None, bool, bool]],
        height: int,
        columns: Sequence[tuple[int, int, int]],
        indent: Callable[[RowLabels], int],
    ) -> None:
        """Draw rows (y, cells, selected, current) of one height in columns (which, x, width).

        ``indent`` returns the x position of a row's icon.
        """
        self._prepare(font, painter.device().devicePixelRatioF())
        colours, pad = self._colours, SPACE["s"]
        base = (height + self._metrics.ascent() - self._metrics.descent()) // 2
        wide = max((x + w for _, x, w in columns), default=0)
        painter.setFont(self._font)
        pen = ""
        draw, fit = painter.drawText, self._fit
        for y, cells, selected, current in rows:
            if cells is None:
                cells = _WAITS
            job = cells.fraction is not None
            if selected:
                painter.fillRect(0, y, wide, height, colours["selection"])
            elif job:
                painter.fillRect(0, y, wide, height, colours["panel"])
            if current:
                painter.fillRect(0, y, 2, height, colours["accent"])
            texts = cells.texts
            for column, x, width in columns:
                left, room, line = x + pad, width - 2 * pad, base
                if column == NAME and cells.state:
                    at = x + indent(cells)
                    self._draw_marks(painter, cells, x + pad, at, y + (height - MARK) // 2)
                    room -= at + MARK + pad - left
                    left = at + MARK + pad
                elif column == PROGRESS and job:
                    self._draw_bar(painter, QRect(left, y + height - 7, room, _BAR), cells)
                    line -= SPACE["xs"] // 2
                text = texts[column]
                if not text or room <= 0:
                    continue
                strong = job and column == NAME
                colour = _colour(column, cells, job)
                if colour != pen:
                    painter.setPen(colours[colour])
                    pen = colour
                right = column in _RIGHT
                text, advance = fit(text, room, strong, right)
                if strong:
                    painter.setFont(self._strong)
                    draw(left, y + line, text)
                    painter.setFont(self._font)
                elif right:
                    draw(left + room - advance, y + line, text)
                else:
                    draw(left, y + line, text)

    def _draw_marks(self, painter: QPainter, cells: RowLabels, fold: int, at: int, y: int) -> None:
        if cells.fraction is not None:
            painter.drawPixmap(fold, y, self._mark("unfolded" if cells.open else "folded"))
        painter.drawPixmap(at, y, self._mark("pause" if cells.state == "paused" else cells.state))

    def _draw_bar(self, painter: QPainter, bar: QRect, cells: RowLabels) -> None:
        """A thin bar under a job's figures."""
        painter.fillRect(bar, self._colours["border"])
        bar.setWidth(round(bar.width() * (cells.fraction or 0.0)))
        painter.fillRect(bar, self._colours["muted" if cells.paused else "accent"])


def _colour(column: int, cells: RowLabels, job: bool) -> str:
    if column == ERROR:
        return "bad"
    if column == PROGRESS and not job:
        return "bad" if cells.state == "failed" else "text" if cells.state == "running" else "muted"
    return "muted" if column in (SETTINGS, LEFT, ATTEMPTS) else "text"
