"""The list of checked images with thumbnails; can be filtered to those that are not intact."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QSize, QSortFilterProxyModel, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView

from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.pages.verify.model import BAD, IMAGE, SIDE, RowPainter, VerifyModel


class VerifyList(QListView):
    """``rows`` returns the selected rows of the source model, whatever is filtered out."""

    def __init__(self, model: VerifyModel, thumbnails: Thumbnails) -> None:
        super().__init__(
            uniformItemSizes=True,
            selectionMode=QAbstractItemView.SelectionMode.ExtendedSelection,
            tabKeyNavigation=False,
            verticalScrollMode=QAbstractItemView.ScrollMode.ScrollPerPixel,
        )
        self._thumbnails = thumbnails
        thumbnails.set_side(SIDE, self.devicePixelRatioF())
        self.shown = QSortFilterProxyModel(self, filterRole=BAD)
        self.shown.setSourceModel(model)
        self.setModel(self.shown)
        self.setItemDelegate(RowPainter(thumbnails, self))
        self.setIconSize(QSize(SIDE, SIDE))
        self._later = QTimer(self, singleShot=True, interval=20)
        self._later.timeout.connect(self._want)
        self.verticalScrollBar().valueChanged.connect(lambda _: self._later.start())
        for signal in (
            self.shown.rowsInserted,
            self.shown.rowsRemoved,
            self.shown.modelReset,
            self.shown.layoutChanged,
        ):
            signal.connect(lambda *_: self._later.start())
        thumbnails.ready.connect(lambda _: self.viewport().update())

    def narrow(self, on: bool) -> None:
        """Show only those that are not intact."""
        self.shown.setFilterFixedString("bad" if on else "")

    def rows(self) -> list[int]:
        """Selected rows of the source model, from the top."""
        return sorted(self.shown.mapToSource(i).row() for i in self.selectionModel().selectedRows())

    def go_to_row(self, row: int) -> None:
        """Select one row of the source model, if it is shown."""
        model = self.shown.sourceModel()
        at = self.shown.mapFromSource(model.index(row, 0)) if 0 <= row < model.rowCount() else QModelIndex()
        if at.isValid():
            self.setCurrentIndex(at)
            self.scrollTo(at)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._later.start()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._thumbnails.set_side(SIDE, self.devicePixelRatioF())
            self._later.start()

    def _want(self) -> None:
        """Request the visible thumbnails and the next ones."""
        count, high = self.shown.rowCount(), max(1, self.sizeHintForRow(0))
        if not count:
            return
        first = self.verticalScrollBar().value() // high
        visible = self.viewport().height() // high + 2
        self._thumbnails.request(
            [self.shown.index(n, 0).data(IMAGE) for n in range(first, min(count, first + 2 * visible))], visible
        )
