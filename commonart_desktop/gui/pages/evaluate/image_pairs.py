"""An evaluation's images, Japanese beside English by prompt. Only those on screen are read, in a thread."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSize,
    Qt,
    QUrl,
)
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from commonart_desktop.gui.images.loader import ImageLoader
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage, read_image
from commonart_desktop.gui.pages.evaluate.report import Pair, Report, Sample
from commonart_desktop.gui.pages.evaluate.tables import MetricLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

Index = QModelIndex | QPersistentModelIndex
SIDE = 128  # points of a thumbnail
CACHED = 400  # of them in memory


def read_sample(path: str) -> LoadedImage:
    """An image at SIDE, a smaller one enlarged by a whole factor. A link, which may lead elsewhere, is not followed."""
    file = Path(path)
    if file.is_symlink() or file.parent.is_symlink():
        return LoadedImage()
    loaded = read_image(path, SIDE)
    times = SIDE // max(loaded.image.width(), loaded.image.height(), 1)
    if loaded.image.isNull() or times <= 1:
        return loaded
    return LoadedImage(loaded.image.scaled(loaded.image.size() * times), loaded.size)


class PairsModel(QAbstractTableModel):
    """A row per prompt (and copy), a column per language that has images."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.pairs: tuple[Pair, ...] = ()
        self.langs: tuple[str, ...] = ()
        self._labels = MetricLabels()
        self._images: OrderedDict[str, LoadedImage] = OrderedDict()
        self._where: dict[str, tuple[int, int]] = {}  # of images requested
        self._loader = ImageLoader(self)

    def show_report(self, report: Report | None) -> None:
        self.beginResetModel()
        self.pairs = report.pairs if report else ()
        self.langs = tuple(x for x in ("ja", "en") if any(getattr(p, x) for p in self.pairs))
        self._loader.clear()
        self._images.clear()
        self._where.clear()
        self.endResetModel()

    def pending(self) -> bool:
        """Whether requested images are still being loaded."""
        return bool(self._where)

    def sample(self, index: Index) -> Sample | None:
        """The image of a cell."""
        if not index.isValid():
            return None
        sample: Sample | None = getattr(self.pairs[index.row()], self.langs[index.column()])
        return sample

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.pairs)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.langs)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and 0 <= section < len(self.langs):
            if role == Qt.ItemDataRole.DisplayRole:
                return self._labels.langs[self.langs[section]]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.pairs):
            return None
        one = self.sample(index)
        if one is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return one.prompt
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.facts(one)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._image(one, index)
        return None

    def facts(self, one: Sample) -> str:
        """Prompt, seed and measurements of an image."""
        facts = [one.prompt, self.tr("seed {seed}").format(seed=one.seed)]
        if one.rank is not None:
            facts.append(self.tr("the requested concept ranks {place}").format(place=one.rank + 1))
        facts += [
            self.tr("cosine {value} [{encoder}]").format(value=f"{value:.3f}", encoder=name)
            for name, value in one.cosines
        ]
        loaded = self._images.get(one.file) if one.file else LoadedImage()
        if loaded is not None and loaded.image.isNull():
            facts.append(problem_text(loaded))
        return "\n".join(facts)

    def _image(self, one: Sample, index: Index) -> Any:
        if not one.file:
            return theme.icon("unreadable")
        loaded = self._images.get(one.file)
        if loaded is not None:
            self._images.move_to_end(one.file)
            return theme.icon("unreadable") if loaded.image.isNull() else loaded.image
        if one.file not in self._where:
            self._where[one.file] = (index.row(), index.column())
            self._loader.submit(read_sample, one.file, done=partial(self._on_read, one.file), first=True)
        return None

    def _on_read(self, path: str, loaded: LoadedImage) -> None:
        at = self._where.pop(path, None)
        if at is None:
            return  # of a report that is no longer shown
        self._images[path] = loaded
        while len(self._images) > CACHED:
            self._images.popitem(last=False)
        index = self.index(*at)
        self.dataChanged.emit(index, index)


class PairsTable(QTableView):
    """The images; Enter or a double click opens one in the system's viewer."""

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
        one = self.pairs.sample(index)
        if one is not None and one.file:
            QDesktopServices.openUrl(QUrl.fromLocalFile(one.file))
