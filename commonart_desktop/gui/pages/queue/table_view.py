"""The queue's table: rows painted in one pass, expanding by mouse and arrow keys, dragging and renaming of jobs."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractItemModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QStyledItemDelegate, QTableView, QWidget

from commonart_desktop.gui.pages.queue.labels import ATTEMPTS, ERROR, LEFT, NAME, PROGRESS, SETTINGS, RowLabels
from commonart_desktop.gui.pages.queue.row_painter import MARK, RowPainter
from commonart_desktop.gui.pages.queue.table_model import MIME, LedgerModel
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.ledger.ledger import Job, Line

_LEAST = {
    LEFT: 360,
    ERROR: 560,
    SETTINGS: 640,
    ATTEMPTS: 960,
}  # narrower tables hide the column: the details below show it too
_FOLLOWED = 200  # up to so many selected rows are tracked image by image when rows above them change
_WIDTHS = (
    (SETTINGS, 150),
    (PROGRESS, 88),
    (LEFT, 84),
    (ATTEMPTS, 76),
    (ERROR, 140),
)  # pixels, or more where common texts need it


class _Renaming(QStyledItemDelegate):
    """The editor of a job's name: filled once, so that a change of the queue does not overwrite what is being typed."""

    def setEditorData(self, editor: QWidget, index: QModelIndex | QPersistentModelIndex) -> None:
        if not editor.property("filled"):
            super().setEditorData(editor, index)
            editor.setProperty("filled", True)

    def setModelData(
        self, editor: QWidget, model: QAbstractItemModel, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        model.setData(index, editor.property("text"), Qt.ItemDataRole.EditRole)


def row_height() -> int:
    """Height of one line of text, in Japanese fonts too, and the progress bar."""
    return QFontMetrics(QApplication.font()).lineSpacing() + SPACE["m"]


class QueueView(QTableView):
    """The table of a ``LedgerModel``."""

    opened = Signal(int)  # an image's row, by double click or Enter

    def __init__(self, model: LedgerModel) -> None:
        super().__init__()
        self._model = model
        self._rows = RowPainter()
        self._drop_at: int | None = None  # the row above which dragged jobs would be dropped
        self.setModel(model)
        model.follows = lambda: sum(b - a + 1 for a, b in self.ranges()) <= _FOLLOWED
        self.setItemDelegate(_Renaming(self))
        self.setAccessibleName(self.tr("Queue"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerItem)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDropIndicatorShown(False)  # ours shows between which jobs
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(row_height())
        rows.setDefaultSectionSize(row_height())
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setSectionsClickable(False)
        columns.setSelectionModel(
            QItemSelectionModel(model, columns)
        )  # else it asks every row whether its column is selected
        columns.setMinimumSectionSize(40)
        metrics, samples = QFontMetrics(QApplication.font()), model.labels.samples()
        for column, width in _WIDTHS:
            labels = max((metrics.horizontalAdvance(t) for t in samples.get(column, ())), default=0)
            self.setColumnWidth(column, max(width, labels + 2 * SPACE["s"] + 2))
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)

    def ranges(self) -> list[tuple[int, int]]:
        """Selected rows as (first, last), in order."""
        return sorted({(r.top(), r.bottom()) for r in self.selectionModel().selection().toList()})

    # painting -----------------------------------------------------------------------------------------------------

    def _mark_at(self, cells: RowLabels) -> int:
        """The x position of a row's state icon in its first column: images are indented below their job."""
        if self._model.searching:
            return SPACE["s"]
        return SPACE["s"] + MARK + SPACE["xs"] + (0 if cells.fraction is not None else SPACE["s"])

    def paintEvent(self, event: QPaintEvent) -> None:
        area, height = event.rect(), self.verticalHeader().defaultSectionSize()
        columns = [
            (c, self.columnViewportPosition(c), self.columnWidth(c))
            for c in range(self._model.columnCount())
            if not self.isColumnHidden(c)
        ]
        columns = [c for c in columns if c[1] <= area.right() and c[1] + c[2] > area.left()]
        first = self.rowAt(area.top())
        painter = QPainter(self.viewport())
        if first >= 0 and columns:
            top = self.rowViewportPosition(first)
            last = min(self._model.rowCount() - 1, first + (area.bottom() - top) // height)
            chosen: set[int] = set()
            for a, b in self.ranges():
                chosen.update(range(max(a, first), min(b, last) + 1))
            current = self.currentIndex().row() if self.hasFocus() else -1
            rows = [
                (top + n * height, self._model.cells(first + n), first + n in chosen, first + n == current)
                for n in range(last - first + 1)
            ]
            self._rows.paint(painter, self.font(), rows, height, columns, self._mark_at)
        if self._drop_at is not None:
            at = self._drop_at
            y = (
                self.rowViewportPosition(at)
                if at < self._model.rowCount()
                else self.rowViewportPosition(at - 1) + height
            )
            painter.fillRect(QRect(0, max(0, y - 1), self.viewport().width(), 2), QColor(theme.colours().accent))
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        width = self.viewport().width()
        for column, least in _LEAST.items():
            if self.isColumnHidden(column) is not (width < least):
                self.setColumnHidden(column, width < least)

    # expanding, opening, renaming -----------------------------------------------------------------------------------

    def fold_current(self, unfold: bool | None = None) -> None:
        """Collapse or expand the current job."""
        index = self.currentIndex()
        if index.isValid():
            self._model.fold(index.row(), unfold)

    def rename_current(self) -> None:
        """Open the editor of the name of the current job, or of the current image's job."""
        index = self.currentIndex()
        item = self._model.line(index.row()) if index.isValid() else None
        row = self._model.row_of_job(item.id if isinstance(item, Job) else item.job) if item is not None else None
        if row is not None:
            self.selectRow(row)
            self.edit(self._model.index(row, NAME))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        item = self._model.line(index.row()) if index.isValid() else None
        plain = not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
        key = event.key()
        if plain and key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            if isinstance(item, Job):
                self.fold_current(key == Qt.Key.Key_Right)
            elif (
                isinstance(item, Line)
                and key == Qt.Key.Key_Left
                and (row := self._model.row_of_job(item.job)) is not None
            ):
                self.selectRow(row)
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and item is not None:
            self._open(index.row())
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Disabled: it would read every row. The search field queries the ledger."""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        on_mark = (
            index.isValid()
            and index.column() == NAME
            and event.position().x() - self.visualRect(index).left() < SPACE["s"] + MARK + 2
        )
        if on_mark and event.button() == Qt.MouseButton.LeftButton and isinstance(self._model.line(index.row()), Job):
            self._model.fold(index.row())
            return
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and event.button() == Qt.MouseButton.LeftButton:
            self._open(index.row())

    def _open(self, row: int) -> None:
        if isinstance(self._model.line(row), Job):
            self._model.fold(row)
        else:
            self.opened.emit(row)

    # dragging -----------------------------------------------------------------------------------------------------

    def startDrag(self, actions: Qt.DropAction) -> None:
        """Drag the selected jobs. Qt's implementation would list every selected cell first."""
        jobs = [j for a, b in self.ranges() for j in self._model.spans(a, b)[0]]
        if not jobs or self._model.searching:
            return
        drag = QDrag(self)
        drag.setMimeData(self._model.carry(jobs))
        drag.setPixmap(self._label(jobs))
        drag.setHotSpot(QPoint(-SPACE["m"], -SPACE["s"]))
        drag.exec(Qt.DropAction.MoveAction)
        self._show_drop(None)

    def _label(self, jobs: list[int]) -> QPixmap:
        """The drag pixmap: the name, or how many jobs."""
        name = next((j.name for j in self._model.jobs if j.id == jobs[0]), "")
        text = name if len(jobs) == 1 else self.tr("{count} jobs").format(count=len(jobs))
        metrics = QFontMetrics(self.font())
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, 240)
        ratio = self.devicePixelRatioF()
        wide, high = metrics.horizontalAdvance(text) + 2 * SPACE["m"], row_height()
        label = QPixmap(round(wide * ratio), round(high * ratio))
        label.setDevicePixelRatio(ratio)
        c = theme.colours()
        label.fill(QColor(c.selection))
        painter = QPainter(label)
        painter.setFont(self.font())
        painter.setPen(QColor(c.text))
        painter.drawText(QRect(0, 0, wide, high), int(Qt.AlignmentFlag.AlignCenter), text)
        painter.end()
        return label

    def _target(self, at: QPoint) -> int:
        """The row at or below which the next job begins: dropped on a job's upper half, before it; else after it."""
        row = self.rowAt(at.y())
        if row < 0:
            return self._model.rowCount()
        upper = at.y() - self.rowViewportPosition(row) < self.verticalHeader().defaultSectionSize() // 2
        return row if upper and isinstance(self._model.line(row), Job) else row + 1

    def _show_drop(self, row: int | None) -> None:
        if row != self._drop_at:
            self._drop_at = row
            self.viewport().update()

    def _takes(self, event: QDropEvent) -> bool:
        return event.mimeData().hasFormat(MIME) and not self._model.searching

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self._takes(event):
            self.setState(QAbstractItemView.State.DraggingState)
            event.setDropAction(Qt.DropAction.MoveAction)
            event.accept()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if not self._takes(event):
            event.ignore()
            return
        super().dragMoveEvent(event)  # scrolls at the edges
        self._show_drop(self._model.next_job(self._target(event.position().toPoint()))[1])
        event.setDropAction(Qt.DropAction.MoveAction)
        event.accept()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        super().dragLeaveEvent(event)
        self._show_drop(None)

    def dropEvent(self, event: QDropEvent) -> None:
        if self._takes(event):
            self._model.dropMimeData(
                event.mimeData(), Qt.DropAction.MoveAction, self._target(event.position().toPoint()), 0, QModelIndex()
            )
            event.setDropAction(Qt.DropAction.MoveAction)
            event.accept()
        self.stopAutoScroll()
        self.setState(QAbstractItemView.State.NoState)
        self._show_drop(None)
