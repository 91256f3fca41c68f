"""The previews of a run, by step: a strip of small pictures that scrolls sideways, the newest in sight."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import QAbstractListModel, QLocale, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QPixmap
from PySide6.QtWidgets import QListView

from commonart_desktop.gui.images.loader import ImageLoader
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
SIDE = 96
PATH = Qt.ItemDataRole.UserRole


class PreviewModel(QAbstractListModel):
    """(step, path, prompt); the small pictures come later, from a thread."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.items: list[tuple[int, str, str]] = []
        self._images: dict[tuple[int, str], tuple[QPixmap, str]] = {}  # and why there is none
        self._loading: set[tuple[int, str]] = set()
        self._loader = ImageLoader(self)
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
            keys = {(step, path) for step, path, _ in items}
            self._images = {k: v for k, v in self._images.items() if k in keys}
            self._loader.clear()
            self._loading.clear()
            self.endResetModel()
        self._load()
        return True

    def busy(self) -> bool:
        return bool(self._loading)

    def _load(self) -> None:
        """The last ones first."""
        for step, path, _ in self.items:
            key = (step, path)
            if key not in self._images and key not in self._loading:
                self._loading.add(key)
                self._loader.load(path, partial(self._on_loaded, key), box=SIDE, first=True)

    def _on_loaded(self, key: tuple[int, str], loaded: LoadedImage) -> None:
        self._loading.discard(key)
        self._images[key] = QPixmap.fromImage(loaded.image), problem_text(loaded)
        for row in (n for n, item in enumerate(self.items) if item[:2] == key):
            self.dataChanged.emit(self.index(row), self.index(row))

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.items):
            return None
        step, path, prompt = self.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return QLocale().toString(step)
        if role == Qt.ItemDataRole.DecorationRole:
            pixmap, problem = self._images.get((step, path), (None, ""))
            return theme.icon("unreadable") if problem else pixmap
        if role == Qt.ItemDataRole.ToolTipRole:
            problem = self._images.get((step, path), (None, ""))[1]
            lines = (self._word.format(step=QLocale().toString(step)), prompt, problem)
            return "\n".join(line for line in lines if line)
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
