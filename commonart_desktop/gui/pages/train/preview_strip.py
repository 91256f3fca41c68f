"""The previews of a run, by step: a strip of small pictures that scrolls sideways, the newest in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QLocale, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QImage, QPixmap
from PySide6.QtWidgets import QListView

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.images.reader import read_image
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
SIDE = 96
PATH = Qt.ItemDataRole.UserRole


class PreviewModel(QAbstractListModel):
    """(step, path, prompt); the small pictures come later, from a thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items: list[tuple[int, str, str]] = []
        self._pixmaps: dict[tuple[int, str], QPixmap] = {}
        self._task: Task | None = None
        self._word = self.tr("step {step}")

    def set_items(self, items: list[tuple[int, str, str]]) -> bool:
        """Returns whether something came at the end."""
        if items == self.items:
            return False
        same = len(self.items) <= len(items) and items[: len(self.items)] == self.items
        if same:
            self.beginInsertRows(QModelIndex(), len(self.items), len(items) - 1)
            self.items = list(items)
            self.endInsertRows()
        else:
            self.beginResetModel()
            self.items = list(items)
            self._pixmaps = {k: v for k, v in self._pixmaps.items() if k in {(s, p) for s, p, _ in items}}
            self.endResetModel()
        self._load()
        return True

    def busy(self) -> bool:
        return self._task is not None

    def _load(self) -> None:
        """The last ones first, some at a time."""
        if self._task is not None:
            return
        missing = [(s, p) for s, p, _ in reversed(self.items) if (s, p) not in self._pixmaps][:24]
        if missing:
            self._task = Task(
                self,
                lambda task: [
                    (key, read_image(key[1], SIDE) if Path(key[1]).is_file() else QImage()) for key in missing
                ],
                done=self._loaded,
                failed=lambda e: self._loaded([]),
            )

    def _loaded(self, found: list[tuple[tuple[int, str], QImage]]) -> None:
        self._task = None
        for key, image in found:
            self._pixmaps[key] = QPixmap.fromImage(image)
        if found and self.items:
            self.dataChanged.emit(self.index(0), self.index(len(self.items) - 1))
            self._load()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.items):
            return None
        step, path, prompt = self.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return QLocale().toString(step)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmaps.get((step, path))
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{self._word.format(step=QLocale().toString(step))}\n{prompt}"
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{self._word.format(step=QLocale().toString(step))}, {prompt}"
        if role == PATH:
            return path
        return None


class PreviewStrip(QListView):
    """Enter or a double click opens a picture."""

    def __init__(self) -> None:
        super().__init__(
            accessibleName=self.tr("Previews"),
            flow=QListView.Flow.LeftToRight,
            isWrapping=False,
            viewMode=QListView.ViewMode.IconMode,
            movement=QListView.Movement.Static,
            uniformItemSizes=True,
            spacing=SPACE["xs"],
        )
        self.setIconSize(QSize(SIDE, SIDE))
        self.setGridSize(QSize(SIDE + SPACE["m"], SIDE + self.fontMetrics().height() + SPACE["m"]))
        self.setFixedHeight(self.gridSize().height() + self.horizontalScrollBar().sizeHint().height() + SPACE["l"])
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.previews = PreviewModel(self)
        self.setModel(self.previews)
        self._following = True  # the newest stays in sight
        bar = self.horizontalScrollBar()
        bar.rangeChanged.connect(
            lambda _, last: bar.setValue(last) if self._following else None
        )  # scrollTo would also scroll down
        self.activated.connect(lambda index: QDesktopServices.openUrl(QUrl.fromLocalFile(str(index.data(PATH)))))

    def show_previews(self, items: list[tuple[int, str, str]]) -> None:
        """All of a run; the strip follows the newest unless somebody looks at older ones."""
        bar = self.horizontalScrollBar()
        self._following = bar.value() >= bar.maximum() - SIDE
        self.previews.set_items(items)
