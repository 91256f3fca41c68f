"""Losses over steps: the training's and the held-out one, drawn by hand, with the value under the pointer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QLocale, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from commonart_desktop.gui.style.theme import colours
from commonart_desktop.gui.style.tokens import RADIUS, SPACE

Points = Sequence[tuple[float, float]]


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten) from ``low`` to ``high``, at most ``most`` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


class LossPlot(QWidget):
    """``show_curves`` takes (step, loss) points in rising order; ``set_log`` makes the losses' axis logarithmic."""

    def __init__(self) -> None:
        super().__init__(accessibleName=self.tr("Loss"), mouseTracking=True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(140)
        self.log = False
        self._train: Points = ()
        self._smooth: Points = ()
        self._held: Points = ()
        self._steps = 0
        self._at: float | None = None  # step under the pointer
        self._words = {"train": self.tr("training"), "held": self.tr("held out"), "step": self.tr("step {step}")}

    def sizeHint(self) -> QSize:
        return QSize(520, 260)

    def show_curves(self, train: Points, smooth: Points, held: Points, steps: int) -> None:
        """New points; ``steps`` is where the run will end."""
        self._train, self._smooth, self._held, self._steps = train, smooth, held, steps
        self._describe()
        self.update()

    def set_log(self, on: bool) -> None:
        self.log = on
        self.update()

    def value_at(self, step: float) -> tuple[float | None, float | None]:
        """The training and the held-out loss nearest to a step."""
        train = min(self._smooth, key=lambda p: abs(p[0] - step), default=None)
        held = min(self._held, key=lambda p: abs(p[0] - step), default=None)
        return (train[1] if train else None), (held[1] if held else None)

    def _describe(self) -> None:
        parts = []
        for word, points in ((self._words["train"], self._smooth), (self._words["held"], self._held)):
            if points:
                parts.append(f"{word} {points[-1][1]:.4f}")
        self.setAccessibleDescription(", ".join(parts))

    # drawing ------------------------------------------------------------------------------------------------------

    def _range(self) -> tuple[float, float]:
        """Of the losses shown; a few wild steps do not squeeze the rest."""
        values = sorted(y for _, y in self._train)
        cut = values[len(values) // 50 : len(values) - len(values) // 50 or None]
        every = [
            y
            for y in [*cut, *(y for _, y in self._smooth), *(y for _, y in self._held)]
            if math.isfinite(y) and (y > 0 or not self.log)
        ]
        low, high = (min(every), max(every)) if every else (0.0, 1.0)
        if self.log:
            return low / 1.08, high * 1.08 if high > low else low * 10
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        return max(0.0, low - room), high + room

    def _area(self) -> QRectF:
        metrics = self.fontMetrics()
        left = metrics.horizontalAdvance("0.0000") + SPACE["m"]
        top = metrics.height() + SPACE["s"]
        return QRectF(
            left,
            top,
            max(10, self.width() - left - SPACE["l"]),
            max(10, self.height() - top - metrics.height() - SPACE["m"]),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        c = colours()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(c.border)))
        painter.setBrush(QColor(c.field))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), RADIUS, RADIUS)
        area, (low, high) = self._area(), self._range()
        last = max([self._steps, 1, *(p[-1][0] for p in (self._train, self._held) if p)])

        def scale(y: float) -> float:
            if self.log:
                return math.log(max(y, 1e-12))
            return y

        bottom, top = scale(low), scale(high)

        def place(x: float, y: float) -> QPointF:
            share = (scale(y) - bottom) / (top - bottom) if top > bottom else 0.5
            return QPointF(
                area.left() + x / last * area.width(), area.bottom() - min(1.0, max(0.0, share)) * area.height()
            )

        self._axes(painter, area, (low, high), last, place)
        painter.setClipRect(area.adjusted(-2, -2, 2, 2))
        faint = QColor(c.accent)
        faint.setAlphaF(0.35)
        for points, pen in (
            (self._train, QPen(faint, 1)),
            (self._smooth, QPen(QColor(c.accent), 2)),
            (self._held, QPen(QColor(c.warning), 1.5, Qt.PenStyle.DashLine)),
        ):
            painter.setPen(pen)
            painter.drawPolyline(QPolygonF([place(x, y) for x, y in points if math.isfinite(y)]))
        painter.setPen(QPen(QColor(c.warning), 1))
        painter.setBrush(QColor(c.field))
        for x, y in self._held:
            painter.drawEllipse(place(x, y), 2.5, 2.5)
        painter.setClipping(False)
        self._legend(painter, area)
        if self._at is not None and self._train:
            x = area.left() + self._at / last * area.width()
            painter.setPen(QPen(QColor(c.muted), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _axes(self, painter: QPainter, area: QRectF, losses: tuple[float, float], last: float, place: object) -> None:
        c, metrics, locale = colours(), self.fontMetrics(), QLocale()
        numbers = ticks(*losses, max(2, int(area.height() / 26)))
        if self.log and len(numbers) < 2:
            numbers = list(losses)
        fine = 4 if losses[1] - losses[0] < 0.02 else 3 if losses[1] - losses[0] < 0.2 else 2
        for y in numbers:
            point = place(0, y)  # type: ignore[operator]
            painter.setPen(QPen(QColor(c.border), 1))
            painter.drawLine(point, QPointF(area.right(), point.y()))
            painter.setPen(QColor(c.muted))
            painter.drawText(
                QRectF(0, point.y() - metrics.height() / 2, area.left() - SPACE["s"], metrics.height()),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                locale.toString(y, "f", fine),
            )
        for x in ticks(0, last, max(2, int(area.width() / 90))):
            if x != round(x):
                continue
            painter.setPen(QColor(c.muted))
            at = area.left() + x / last * area.width()
            wide = metrics.horizontalAdvance(locale.toString(int(x)))
            painter.drawText(
                QPointF(
                    min(at - wide / 2, self.width() - wide - SPACE["xs"]),
                    area.bottom() + SPACE["xs"] + metrics.ascent(),
                ),
                locale.toString(int(x)),
            )

    def _legend(self, painter: QPainter, area: QRectF) -> None:
        c, metrics = colours(), self.fontMetrics()
        step = self._at
        train, held = (
            self.value_at(step)
            if step is not None
            else (self._smooth[-1][1] if self._smooth else None, self._held[-1][1] if self._held else None)
        )
        x, y = area.left(), SPACE["xs"]
        if step is not None:
            text = self._words["step"].format(step=QLocale().toString(round(step)))
            painter.setPen(QColor(c.muted))
            painter.drawText(QPointF(x, y + metrics.ascent()), text)
            x += metrics.horizontalAdvance(text) + SPACE["l"]
        for word, value, colour, style in (
            (self._words["train"], train, c.accent, Qt.PenStyle.SolidLine),
            (self._words["held"], held, c.warning, Qt.PenStyle.DashLine),
        ):
            if value is None:
                continue
            painter.setPen(QPen(QColor(colour), 2, style))
            painter.drawLine(QPointF(x, y + metrics.height() / 2), QPointF(x + 20, y + metrics.height() / 2))
            painter.setPen(QColor(c.text))
            text = f"{word} {value:.4f}"
            painter.drawText(QPointF(x + 26, y + metrics.ascent()), text)
            x += 26 + metrics.horizontalAdvance(text) + SPACE["l"]

    # pointer ------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover(event.position().x())

    def leaveEvent(self, event: object) -> None:
        self._at = None
        self.update()

    def _hover(self, x: float) -> None:
        area = self._area()
        last = max([self._steps, 1, *(p[-1][0] for p in (self._train, self._held) if p)])
        self._at = min(last, max(0.0, (x - area.left()) / area.width() * last))
        self.update()
