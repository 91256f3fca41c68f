"""The viewer: one image, with the previous and next by arrow key, or two side by side."""

from __future__ import annotations

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.gui.images.zoom_view import FIT, ZoomView
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE


class Viewer(QWidget):
    """One or two images, zoomed and moved together. ``back`` is emitted on Esc, ``step`` by the arrow keys."""

    back = Signal()
    step = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Image"))
        self.views = (ZoomView(), ZoomView())
        back = self._button("back", self.tr("Back to all images (Esc)"), self.back.emit)
        previous = self._button("left", self.tr("Previous image (←)"), lambda: self.step.emit(-1))
        following = self._button("right", self.tr("Next image (→)"), lambda: self.step.emit(1))
        self._steps = (previous, following)
        fit = QToolButton(text=self.tr("Fit"), toolTip=self.tr("Fit the window (Ctrl+0)"))
        fit.clicked.connect(self.fit)
        actual = QToolButton(text="100 %", toolTip=self.tr("One pixel for one pixel (Ctrl+1)"))
        actual.clicked.connect(self.actual_size)
        self._zoom = QLabel()
        self._zoom.setProperty("role", "muted")
        self._name = QLabel(textFormat=Qt.TextFormat.PlainText)
        self._name.setMinimumWidth(40)
        bar = QHBoxLayout()
        bar.setSpacing(SPACE["xs"])
        for widget in (back, previous, following, fit, actual, self._zoom):
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
        first.position_changed.connect(lambda: second.set_position(first.position, notify=False))
        second.position_changed.connect(lambda: first.set_position(second.position, notify=False))
        for view in self.views:
            view.position_changed.connect(self._show_zoom)
        self.two = False

    @staticmethod
    def _button(name: str, text: str, do: object) -> QToolButton:
        button = QToolButton(icon=theme.icon(name), toolTip=text, accessibleName=text)
        button.clicked.connect(do)
        return button

    def stop(self) -> None:
        for view in self.views:
            view.stop()

    def show_images(self, images: list[tuple[str, QPixmap | None, str]], *, fit: bool) -> None:
        """Show one or two of (path, thumbnail, name)."""
        self.two = len(images) > 1
        self.views[1].setVisible(self.two)
        for button in self._steps:
            button.setEnabled(not self.two)
        for view, (path, small, name) in zip(self.views, images, strict=False):
            view.show_image(path, small, name)
        self._name.setText("   |   ".join(p[2] for p in images))
        self._name.setToolTip(" | ".join(p[2] for p in images))
        if fit:
            self.fit()
        self.setFocus()

    def fit(self) -> None:
        self.views[0].set_position((FIT, 0.5, 0.5))

    def actual_size(self) -> None:
        self.views[0].set_position((1.0, 0.5, 0.5))

    def _show_zoom(self) -> None:
        """Show the zoom, the size, and whether the image is not loaded at full size."""
        one, locale = self.views[0], QLocale()
        parts = []
        if one.loaded:
            parts = [
                f"{one.zoom():.0%}",
                f"{locale.toString(one.size_.width())} × {locale.toString(one.size_.height())}",
            ]
            if not one.full_size and one.position[0] != FIT:
                parts.append(self.tr("scaled down: too large to hold"))
        self._zoom.setText("  ·  ".join(parts))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_zoom()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key, control = event.key(), event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace):
            self.back.emit()
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right) and not self.two:
            self.step.emit(-1 if key == Qt.Key.Key_Left else 1)
        elif key in (
            Qt.Key.Key_Plus,
            Qt.Key.Key_Minus,
            Qt.Key.Key_Equal,
            Qt.Key.Key_Semicolon,
        ):  # ; is + on Japanese keyboards
            self.views[0].zoom_by(1 / 1.25 if key == Qt.Key.Key_Minus else 1.25)
        elif control and key == Qt.Key.Key_0:
            self.fit()
        elif control and key == Qt.Key.Key_1:
            self.actual_size()
        else:
            super().keyPressEvent(event)
