"""Looking at one picture, or at two side by side: fit, 100 %, zoom, drag."""

from __future__ import annotations

from PySide6.QtCore import QObject, QPointF, QRectF, QSize, Qt, QThreadPool, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPixmap, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget
from shiboken6 import isValid

from commonart_desktop.gui import theme
from commonart_desktop.gui.thumbnails import read_image
from commonart_desktop.gui.tokens import SPACE

ZOOM = (0.02, 32.0)
FIT = 0.0


class Loader(QObject):
    """Reads whole pictures off the window's thread; the last asked for wins."""

    loaded = Signal(int, QImage)  # (number of the request, picture)

    def __init__(self) -> None:
        super().__init__()
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(1)
        self._number = 0
        self._stopped = False

    def ask(self, path: str) -> int:
        if self._stopped:
            return 0
        self._pool.clear()
        self._number += 1
        number = self._number
        self._pool.start(lambda: self.loaded.emit(number, read_image(path).convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)))
        return number

    def stop(self) -> None:
        """End the thread and wait; safe to call twice, also when all is being torn down."""
        if not self._stopped:
            self._stopped = True
            if isValid(self._pool):  # at the program's end Qt may have been first
                self._pool.clear()
                self._pool.waitForDone()


class PictureView(QWidget):
    """One picture. ``look`` is (zoom, centre x, centre y): zoom 0 fits; the centre is in parts of the picture's size."""

    looked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.look: tuple[float, float, float] = (FIT, 0.5, 0.5)
        self.path = ""
        self.broken = False
        self._full = QPixmap()
        self._small = QPixmap()  # shown until the whole one is read
        self._waits = 0
        self._grabbed: QPointF | None = None
        self._loader = Loader()
        self._loader.loaded.connect(self._on_loaded)
        self.setMinimumSize(120, 120)
        self.setSizePolicy(self.sizePolicy().Policy.Expanding, self.sizePolicy().Policy.Expanding)

    def stop(self) -> None:
        self._loader.stop()

    def show_picture(self, path: str, small: QPixmap | None, name: str) -> None:
        self.path, self._full, self._small, self.broken = path, QPixmap(), small or QPixmap(), False
        self.setAccessibleName(name)
        self._waits = self._loader.ask(path)
        self.update()

    @property
    def loaded(self) -> bool:
        return not self._full.isNull()

    def _on_loaded(self, number: int, image: QImage) -> None:
        if number == self._waits:
            self.broken = image.isNull()
            self._full = QPixmap.fromImage(image)
            self.update()

    def zoom(self) -> float:
        """Screen pixels per picture pixel, also where it fits."""
        if self.look[0] != FIT or self._full.isNull():
            return self.look[0] or 1.0
        return min(1.0, self.width() / self._full.width(), self.height() / self._full.height())

    def set_look(self, look: tuple[float, float, float], *, tell: bool = True) -> None:
        zoom, x, y = look
        self.look = (zoom if zoom == FIT else min(ZOOM[1], max(ZOOM[0], zoom)), min(1.0, max(0.0, x)), min(1.0, max(0.0, y)))
        self.update()
        if tell:
            self.looked.emit()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom so that the point ``at`` stays where it is."""
        if self._full.isNull():
            return
        old = self.zoom()
        new = min(ZOOM[1], max(ZOOM[0], old * factor))
        _, x, y = self.look if self.look[0] != FIT else (FIT, 0.5, 0.5)
        off = (at or QPointF(self.width() / 2, self.height() / 2)) - QPointF(self.width() / 2, self.height() / 2)
        x += off.x() * (1 / old - 1 / new) / self._full.width()
        y += off.y() * (1 / old - 1 / new) / self._full.height()
        self.set_look((new, x, y))

    def _target(self, size: QSize) -> QRectF:
        zoom = self.zoom()
        w, h = size.width() * zoom, size.height() * zoom
        if self.look[0] == FIT:
            return QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)
        return QRectF(self.width() / 2 - self.look[1] * w, self.height() / 2 - self.look[2] * h, w, h)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colours = theme.colours()
        painter.fillRect(self.rect(), QColor(colours.field))
        if not self._full.isNull():
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self.zoom() < 2)  # large pixels are shown as they are
            painter.drawPixmap(self._target(self._full.size()), self._full, QRectF(self._full.rect()))
        elif self.broken:
            painter.setPen(QColor(colours.muted))
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), self.tr("! This picture cannot be read"))
        elif not self._small.isNull():
            size = self._small.size()
            painter.drawPixmap(QRectF((self.width() - size.width()) / 2, (self.height() - size.height()) / 2, size.width(), size.height()),
                               self._small, QRectF(self._small.rect()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom_by(1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._grabbed = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grabbed is not None and not self._full.isNull():
            by, zoom = event.position() - self._grabbed, self.zoom()
            self._grabbed = event.position()
            self.set_look((zoom, self.look[1] - by.x() / zoom / self._full.width(), self.look[2] - by.y() / zoom / self._full.height()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._grabbed = None
        self.unsetCursor()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.set_look((1.0, 0.5, 0.5) if self.look[0] == FIT else (FIT, 0.5, 0.5))


class Viewer(QWidget):
    """One or two pictures large, zoomed and moved together. ``back`` on Esc; ``step`` by the arrow keys."""

    back = Signal()
    step = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Picture"))
        self.views = (PictureView(), PictureView())
        back = self._button("back", self.tr("Back to all pictures (Esc)"), self.back.emit)
        previous = self._button("left", self.tr("Previous picture (←)"), lambda: self.step.emit(-1))
        following = self._button("right", self.tr("Next picture (→)"), lambda: self.step.emit(1))
        self._steps = (previous, following)
        fit = QToolButton(text=self.tr("Fit"), toolTip=self.tr("Fit the window (Ctrl+0)"))
        fit.clicked.connect(self.fit)
        whole = QToolButton(text="100 %", toolTip=self.tr("One pixel for one pixel (Ctrl+1)"))
        whole.clicked.connect(self.whole)
        self._zoom = QLabel()
        self._zoom.setProperty("role", "muted")
        self._name = QLabel(textFormat=Qt.TextFormat.PlainText)
        self._name.setMinimumWidth(40)
        bar = QHBoxLayout()
        bar.setSpacing(SPACE["xs"])
        for widget in (back, previous, following, fit, whole, self._zoom):
            bar.addWidget(widget)
        bar.addSpacing(SPACE["m"])
        bar.addWidget(self._name, 1)
        both = QHBoxLayout()
        both.setSpacing(SPACE["s"])
        for view in self.views:
            both.addWidget(view, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(bar)
        column.addLayout(both, 1)
        first, second = self.views
        first.looked.connect(lambda: second.set_look(first.look, tell=False))
        second.looked.connect(lambda: first.set_look(second.look, tell=False))
        for view in self.views:
            view.looked.connect(self._tell_zoom)
        self.two = False

    @staticmethod
    def _button(name: str, text: str, do: object) -> QToolButton:
        button = QToolButton(icon=theme.icon(name), toolTip=text, accessibleName=text)
        button.clicked.connect(do)
        return button

    def stop(self) -> None:
        for view in self.views:
            view.stop()

    def show_pictures(self, pictures: list[tuple[str, QPixmap | None, str]], *, fit: bool) -> None:
        """One or two of (path, small picture, name)."""
        self.two = len(pictures) > 1
        self.views[1].setVisible(self.two)
        for button in self._steps:
            button.setEnabled(not self.two)
        for view, (path, small, name) in zip(self.views, pictures):
            view.show_picture(path, small, name)
        self._name.setText("   |   ".join(p[2] for p in pictures))
        self._name.setToolTip(" | ".join(p[2] for p in pictures))
        if fit:
            self.fit()
        self.setFocus()

    def fit(self) -> None:
        self.views[0].set_look((FIT, 0.5, 0.5))

    def whole(self) -> None:
        self.views[0].set_look((1.0, 0.5, 0.5))

    def _tell_zoom(self) -> None:
        zoom = self.views[0].look[0]
        self._zoom.setText("" if zoom == FIT else f"{zoom:.0%}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, control = event.key(), event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace):
            self.back.emit()
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not self.two:
            self.step.emit(-1 if key == Qt.Key.Key_Left else 1)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Minus, Qt.Key.Key_Equal, Qt.Key.Key_Semicolon):  # ; is + on Japanese keyboards
            self.views[0].zoom_by(1 / 1.25 if key == Qt.Key.Key_Minus else 1.25)
        elif control and key == Qt.Key.Key_0:
            self.fit()
        elif control and key == Qt.Key.Key_1:
            self.whole()
        else:
            super().keyPressEvent(event)
