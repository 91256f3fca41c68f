"""A form that scrolls up and down and is never squeezed: Qt's own scroll area forgets that wrapped text needs more height."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget


class FormScroll(QScrollArea):
    """Holds ``form`` at the full width, its fields no wider than ``widest``, and as high as its layout needs at that width."""

    def __init__(self, form: QWidget, *, widest: int | None = None) -> None:
        self._widest = widest
        self._margin = (
            form.contentsMargins().right() if form.layout() is None else form.layout().contentsMargins().right()
        )
        super().__init__(widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(form)
        form.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:
        """As wide as the form needs at least: there is no scroll bar for what would be cut."""
        form, own = self.widget(), super().minimumSizeHint()
        return (
            own
            if form is None
            else QSize(
                max(own.width(), form.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()),
                own.height(),
            )
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._fit()
            self.updateGeometry()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        form = self.widget()
        layout = form.layout() if form is not None else None
        if layout is not None and self._widest is not None:
            margins = layout.contentsMargins()
            right = max(self._margin, self.viewport().width() - self._widest)
            if right != margins.right():
                margins.setRight(right)
                layout.setContentsMargins(margins)
        if layout is not None and layout.hasHeightForWidth():
            need = max(layout.totalHeightForWidth(self.viewport().width()), layout.totalMinimumSize().height())
            if need != form.minimumHeight():
                form.setMinimumHeight(need)
