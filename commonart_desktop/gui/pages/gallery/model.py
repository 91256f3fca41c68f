"""Model of tens of thousands of images: ids in memory, rows fetched in a thread as they become visible."""

from __future__ import annotations

import html
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, QTimer, Signal

from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.pages.gallery.index import Query
from commonart_desktop.gui.pages.gallery.library import Library, RowRange
from commonart_desktop.gui.pages.gallery.list_diff import Step

KEEP = 3000  # cached rows
IMAGE = Qt.ItemDataRole.UserRole
Index = QModelIndex | QPersistentModelIndex
_NONE = QModelIndex()


class ImagesModel(QAbstractListModel):
    """The images of one query. ``answered`` is emitted after each result, even one that changed nothing.

    Nothing here waits for the disk: a row that was not fetched yet is None, and is requested.
    """

    answered = Signal()

    def __init__(self, library: Library) -> None:
        super().__init__()
        self._library = library
        self.ids: array[int] = array("q")
        self._rows: OrderedDict[int, GalleryImage] = OrderedDict()
        self._coming: set[int] = set()
        self._stale: set[int] = set()  # cached, but the file may have changed
        self.query = Query()
        self.loaded = False  # there was a result
        self._again = QTimer(self, singleShot=True, interval=60)
        self._again.timeout.connect(self._request)
        library.results.connect(self._on_results)
        library.changed.connect(self._on_changed)
        library.rows.connect(self._on_rows)
        library.updated.connect(self._on_updated)

    def set_query(self, query: Query) -> None:
        """Show the images of another query."""
        self.query = query
        self._request()

    def _request(self) -> None:
        if not self._library.stopped:
            self._library.find(self.query, self.ids)

    def _on_results(self, before: array[int], ids: array[int], steps: list[Step] | None) -> None:
        if before is not self.ids:
            self._request()  # the result of an older query arrived in between
            return
        if steps is None and (ids or self.ids):
            self.beginResetModel()
            self.ids = ids
            self.endResetModel()
        for first, last, new in steps or ():
            fresh = self.ids[:]  # never modified: the search thread reads it
            if new:
                self.beginInsertRows(_NONE, first, last)
                fresh[first:first] = new
                self.ids = fresh
                self.endInsertRows()
            else:
                self.beginRemoveRows(_NONE, first, last)
                del fresh[first : last + 1]
                self.ids = fresh
                self.endRemoveRows()
        self.loaded = True
        self.answered.emit()

    def _on_updated(self, _: object) -> None:
        self._stale = set(self._rows)
        self._again.start()

    def _on_changed(self, ids: list[int]) -> None:
        loaded = [i for i in ids if i in self._rows]
        if loaded:
            self._library.fetch(loaded, None)
        if self.query.rating or self.query.starred or self.query.sort == "rating":
            self._again.start()

    def fetch(self, first: int, last: int) -> None:
        """Request the rows of this range that are not cached."""
        first, last = max(0, first), min(last, len(self.ids) - 1)
        missing = [
            i for i in self.ids[first : last + 1] if (i not in self._rows or i in self._stale) and i not in self._coming
        ]
        if missing and not self._library.stopped:
            self._coming.update(missing)
            self._library.fetch(missing, (self.ids, first, last))

    def _on_rows(self, images: list[GalleryImage], row_range: RowRange | None) -> None:
        for one in images:
            self._rows[one.id] = one
            self._rows.move_to_end(one.id)
            self._coming.discard(one.id)
            self._stale.discard(one.id)
        while len(self._rows) > KEEP:
            self._rows.popitem(last=False)
        if self.ids:
            first, last = (
                row_range[1:] if row_range is not None and row_range[0] is self.ids else (0, len(self.ids) - 1)
            )
            self.dataChanged.emit(self.index(first), self.index(last))

    def rows_of(self, images: Sequence[int]) -> list[int]:
        """The rows of those ids that are in the model, in order."""
        if len(images) == 1:  # a search through 50,000 in C is faster than one step of Python for each
            return [self.ids.index(images[0])] if images[0] in self.ids else []
        wanted = set(images)
        return [row for row, one in enumerate(self.ids) if one in wanted] if wanted else []

    def image(self, row: int) -> GalleryImage | None:
        """The image of a row; None if it was removed, or not fetched yet."""
        return self._rows.get(self.ids[row]) if 0 <= row < len(self.ids) else None

    def rowCount(self, parent: Index = _NONE) -> int:
        return 0 if parent.isValid() else len(self.ids)

    def flags(self, index: Index) -> Qt.ItemFlag:
        return (
            Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren
            if index.isValid()
            else Qt.ItemFlag.NoItemFlags
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or role not in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
            Qt.ItemDataRole.AccessibleTextRole,
            IMAGE,
        ):
            return None
        one = self.image(index.row())
        if one is None:
            self.fetch(index.row(), index.row())
            return None
        if role == IMAGE:
            return one
        name = Path(one.path).name
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"<p>{html.escape(one.prompt)}</p><p>{html.escape(name)}</p>"
        stars = self.tr("starred") if one.starred else ""
        rating = self.tr("rating {n} of 5").format(n=one.rating) if one.rating else ""
        return ", ".join(part for part in (one.prompt or name, rating, stars) if part)
