"""The queue's table: fast painting, folding by mouse and arrow keys, jobs dragged to their place."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from commonart_desktop.gui import theme
from commonart_desktop.gui.ledger_model import LedgerModel
from commonart_desktop.gui.queue_words import ATTEMPTS, ERROR, LEFT, NAME, PROGRESS, SETTINGS, fraction, job_state
from commonart_desktop.gui.tokens import FONT, SPACE
from engine.contract.queue import Job, Row

# made once: combining Python enums in every cell costs more than drawing it
_SELECTED, _FOCUSED, _ELIDE = QStyle.StateFlag.State_Selected, QStyle.StateFlag.State_HasFocus, Qt.TextElideMode.ElideRight
_LEFT_ALIGNED = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_RIGHT_ALIGNED = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_ELIDED = 4096  # texts remembered as they were cut to fit
_MARK = 16  # side of the fold and state marks
_LEAST = {LEFT: 360, ERROR: 560, SETTINGS: 640, ATTEMPTS: 840}  # narrower tables leave the column out: the details below say it too


class QueueDelegate(QStyledItemDelegate):
    """Draws a cell straight from the model's item: a page of 40 rows must take a few milliseconds."""

    def __init__(self, model: LedgerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._marks: dict[tuple[str, str, float], QPixmap] = {}
        self._cut: dict[tuple[str, int, str], str] = {}

    def mark(self, name: str, ratio: float) -> QPixmap:
        """A line icon as a pixmap, kept per theme."""
        key = (name, theme.colours().text, ratio)
        if key not in self._marks:
            self._marks[key] = theme.icon(name).pixmap(QSize(_MARK, _MARK), ratio)
        return self._marks[key]

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, row_height(option.widget))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        c = theme.colours()
        item, column, rect = self._model.item(index.row()), index.column(), option.rect
        state = option.state
        if state & _SELECTED:
            painter.fillRect(rect, option.palette.color(QPalette.ColorRole.Highlight))
        elif isinstance(item, Job):
            painter.fillRect(rect, QColor(c.panel))
        if column == NAME and state & _FOCUSED:
            painter.fillRect(QRect(rect.left(), rect.top(), 2, rect.height()), QColor(c.accent))
        inner = rect.adjusted(SPACE["s"], 0, -SPACE["s"], 0)
        if column == NAME and item is not None:
            inner = self._marks_of(painter, inner, item)
        if column == PROGRESS and isinstance(item, Job):
            inner = self._bar(painter, inner, item)
        text = self._model.words.text(item, column)
        if not text:
            return
        colour = c.text
        if column == ERROR or (column == PROGRESS and isinstance(item, Row) and item.state == "failed"):
            colour = c.bad
        elif column in (SETTINGS, LEFT, ATTEMPTS) or (column == PROGRESS and isinstance(item, Row) and item.state != "running"):
            colour = c.muted
        painter.setPen(QColor(colour))
        strong = column == NAME and isinstance(item, Job)
        font = option.font
        if strong:
            font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        width = inner.width()
        key = (text, width, f"{font.pixelSize()}{strong}")
        shown = self._cut.get(key)
        if shown is None:
            if len(self._cut) > _ELIDED:
                self._cut.clear()
            shown = self._cut[key] = painter.fontMetrics().elidedText(text, _ELIDE, width)
        painter.drawText(inner, _RIGHT_ALIGNED if column in (LEFT, ATTEMPTS) else _LEFT_ALIGNED, shown)

    def _marks_of(self, painter: QPainter, rect: QRect, item: Job | Row) -> QRect:
        """Fold and state marks at the left; returns what is left for the text."""
        ratio = painter.device().devicePixelRatioF()
        top = rect.top() + (rect.height() - _MARK) // 2
        at = rect.left()
        if isinstance(item, Job):
            painter.drawPixmap(at, top, self.mark("unfolded" if self._model.is_open(item.id) else "folded", ratio))
            state = job_state(item)
        else:
            state = item.state
        at += _MARK + SPACE["xs"] + (0 if isinstance(item, Job) or self._model.searching else SPACE["s"])
        painter.drawPixmap(at, top, self.mark("pause" if state == "paused" else state, ratio))
        return QRect(at + _MARK + SPACE["s"], rect.top(), rect.right() - at - _MARK - SPACE["s"], rect.height())

    def _bar(self, painter: QPainter, rect: QRect, job: Job) -> QRect:
        """A thin bar under the figures."""
        c = theme.colours()
        line = QRect(rect.left(), rect.bottom() - 6, rect.width(), 3)
        painter.fillRect(line, QColor(c.border))
        painter.fillRect(QRect(line.left(), line.top(), round(line.width() * fraction(job)), 3), QColor(c.accent if not job.paused else c.muted))
        return rect.adjusted(0, 0, 0, -SPACE["xs"])


def row_height(widget: QWidget | None) -> int:
    """One line of text, also of Japanese fonts, and the bar."""
    font = QFont(widget.font()) if widget is not None else QFont()
    font.setPixelSize(FONT["body"])
    return QFontMetrics(font).lineSpacing() + SPACE["m"]


class QueueView(QTableView):
    """The table of a ``LedgerModel``."""

    opened = Signal(int)  # a picture's row, by double click or Enter

    def __init__(self, model: LedgerModel) -> None:
        super().__init__()
        self._model = model
        self.setModel(model)
        self.setItemDelegate(QueueDelegate(model, self))
        self.setAccessibleName(self.tr("Queue"))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerItem)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(row_height(self))
        rows.setDefaultSectionSize(row_height(self))
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setSectionsClickable(False)
        columns.setSelectionModel(QItemSelectionModel(model, columns))  # else it asks every row whether its column is selected
        columns.setMinimumSectionSize(40)
        for column, width in ((SETTINGS, 150), (PROGRESS, 88), (LEFT, 84), (ATTEMPTS, 76), (ERROR, 130)):
            self.setColumnWidth(column, width)
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        width = self.viewport().width()
        for column, least in _LEAST.items():
            if self.isColumnHidden(column) is not (width < least):
                self.setColumnHidden(column, width < least)

    def fold_current(self, unfold: bool | None = None) -> None:
        """Fold or unfold the current job."""
        index = self.currentIndex()
        if index.isValid():
            self._model.fold(index.row(), unfold)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        item = self._model.item(index.row()) if index.isValid() else None
        plain = not event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
        key = event.key()
        if plain and key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            if isinstance(item, Job):
                self.fold_current(key == Qt.Key.Key_Right)
            elif isinstance(item, Row) and key == Qt.Key.Key_Left and (row := self._model.row_of_job(item.job)) is not None:
                self.selectRow(row)
        elif plain and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and item is not None:
            self._open(index.row())
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Not here: it would read every row. The search field asks the ledger."""

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        on_mark = index.isValid() and index.column() == NAME and event.position().x() - self.visualRect(index).left() < SPACE["s"] + _MARK + 2
        if on_mark and event.button() == Qt.MouseButton.LeftButton and isinstance(self._model.item(index.row()), Job):
            self._model.fold(index.row())
            return
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        if index.isValid() and event.button() == Qt.MouseButton.LeftButton:
            self._open(index.row())

    def _open(self, row: int) -> None:
        if isinstance(self._model.item(row), Job):
            self._model.fold(row)
        else:
            self.opened.emit(row)
