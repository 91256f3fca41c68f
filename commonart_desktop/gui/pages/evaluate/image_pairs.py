"""An evaluation's pictures, Japanese beside English by prompt. Only those on screen are read, off the window's thread."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSize,
    Qt,
    QThreadPool,
    QUrl,
    Signal,
)
from PySide6.QtGui import QDesktopServices, QImage
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView
from shiboken6 import isValid

from commonart_desktop.gui.images.reader import read_image
from commonart_desktop.gui.pages.evaluate.report import Drawn, Pair, Result
from commonart_desktop.gui.pages.evaluate.tables import MetricLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
SIDE = 128  # points of a small picture
KEPT = 400  # of them in memory


def small(path: str) -> QImage:
    """A picture at SIDE, a smaller one enlarged by whole pixels; null if it cannot be read, or is a link that may lead elsewhere."""
    file = Path(path)
    if file.is_symlink() or file.parent.is_symlink():
        return QImage()
    image = read_image(path, SIDE)
    times = SIDE // max(image.width(), image.height(), 1)
    return image.scaled(image.size() * times) if not image.isNull() and times > 1 else image


class Reader(QObject):
    """``read(path, image)`` for what was asked, the last first."""

    read = Signal(str, QImage)

    def __init__(self) -> None:
        super().__init__()
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(1)
        self._stopped, self._asked = False, 0

    def ask(self, path: str) -> None:
        self._asked += 1
        self._pool.start(lambda: self._read(path), self._asked)

    def forget(self) -> None:
        """What waits is no longer wanted."""
        self._pool.clear()

    def _read(self, path: str) -> None:
        image = small(path)
        if not self._stopped:
            self.read.emit(path, image)

    def stop(self, *_: object) -> None:
        """End the thread and wait."""
        if not self._stopped:
            self._stopped = True
            if isValid(self._pool):
                self._pool.clear()
                self._pool.waitForDone()


class PairsModel(QAbstractTableModel):
    """A row a prompt (and copy), a column a language that has pictures."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.pairs: tuple[Pair, ...] = ()
        self.langs: tuple[str, ...] = ()
        self._words = MetricLabels()
        self._images: OrderedDict[str, QImage] = OrderedDict()
        self._where: dict[str, tuple[int, int]] = {}  # of pictures asked for
        self._reader = Reader()
        self._reader.read.connect(self._on_read)
        self.destroyed.connect(self._reader.stop)

    def show_result(self, result: Result | None) -> None:
        self.beginResetModel()
        self.pairs = result.pairs if result else ()
        self.langs = tuple(x for x in ("ja", "en") if any(getattr(p, x) for p in self.pairs))
        self._reader.forget()
        self._images.clear()
        self._where.clear()
        self.endResetModel()

    def pending(self) -> bool:
        """Whether pictures asked for are still to come."""
        return bool(self._where)

    def drawn(self, index: Index) -> Drawn | None:
        """What stands in a cell."""
        found: Drawn | None = getattr(self.pairs[index.row()], self.langs[index.column()]) if index.isValid() else None
        return found

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.pairs)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.langs)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(self.langs):
            if role == Qt.ItemDataRole.DisplayRole:
                return self._words.langs[self.langs[section]]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.pairs):
            return None
        one = self.drawn(index)
        if one is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return one.prompt
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.facts(one)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._image(one, index)
        return None

    def facts(self, one: Drawn) -> str:
        """Prompt, seed and what was found of a picture."""
        told = [one.prompt, self.tr("seed {seed}").format(seed=one.seed)]
        if one.place is not None:
            told.append(self.tr("the thing asked for ranks {place}").format(place=one.place + 1))
        told += [
            self.tr("cosine {value} [{encoder}]").format(value=f"{value:.3f}", encoder=name)
            for name, value in one.cosines
        ]
        image = self._images.get(one.file)
        if not one.file or (image is not None and image.isNull()):
            told.append(self.tr("! the picture cannot be read"))
        return "\n".join(told)

    def _image(self, one: Drawn, index: Index) -> Any:
        if not one.file:
            return theme.icon("unreadable")
        image = self._images.get(one.file)
        if image is not None:
            self._images.move_to_end(one.file)
            return theme.icon("unreadable") if image.isNull() else image
        if one.file not in self._where:
            self._where[one.file] = (index.row(), index.column())
            self._reader.ask(one.file)
        return None

    def _on_read(self, path: str, image: QImage) -> None:
        at = self._where.pop(path, None)
        if at is None:
            return  # of a result that is no longer shown
        self._images[path] = image
        while len(self._images) > KEPT:
            self._images.popitem(last=False)
        index = self.index(*at)
        self.dataChanged.emit(index, index)


class PairsTable(QTableView):
    """The pictures; Enter or a double click opens one in the system's viewer."""

    def __init__(self, name: str) -> None:
        super().__init__(
            accessibleName=name,
            showGrid=False,
            wordWrap=True,
            tabKeyNavigation=False,
            cornerButtonEnabled=False,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
            iconSize=QSize(SIDE, SIDE),
        )
        self.pairs = PairsModel(self)
        self.setModel(self.pairs)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(SIDE + SPACE["s"])
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setHighlightSections(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.activated.connect(self._open)

    def _open(self, index: QModelIndex) -> None:
        one = self.pairs.drawn(index)
        if one is not None and one.file:
            QDesktopServices.openUrl(QUrl.fromLocalFile(one.file))
