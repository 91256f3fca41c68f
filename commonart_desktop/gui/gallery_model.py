"""Tens of thousands of pictures for a view: ids in memory, rows fetched as they come into sight."""

from __future__ import annotations

import html
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QStringListModel, Qt, QTimer, Signal

from commonart_desktop.gui.gallery_index import Picture, Query
from commonart_desktop.gui.gallery_library import Library, Step

WINDOW = 64  # rows fetched together
KEEP = 3000  # rows kept
PICTURE = Qt.ItemDataRole.UserRole
Index = QModelIndex | QPersistentModelIndex


class PicturesModel(QStringListModel):
    """The pictures of one query. ``answered`` after each answer, also one that changed nothing.

    It counts its rows in C++, as empty strings: QListView asks for the count once for every row when it lays out, which
    for 50,000 rows would be 200 ms of Python. What is shown comes from ``data``; the ids change just after the strings.
    """

    answered = Signal()

    def __init__(self, library: Library) -> None:
        super().__init__()
        self._library = library
        self._ids: array[int] = array("q")
        self._next: array[int] = array("q")
        for told in (self.rowsInserted, self.rowsRemoved, self.modelReset):
            told.connect(self._take_next)  # the first to hear
        self._rows: OrderedDict[int, Picture] = OrderedDict()
        self.query = Query()
        self.known = False  # an answer has come
        self._again = QTimer(self, singleShot=True, interval=60)
        self._again.timeout.connect(self._ask)
        library.found.connect(self._on_found)
        library.changed.connect(self._on_changed)
        library.grown.connect(self._again.start)

    def look_for(self, query: Query) -> None:
        """Show the pictures of another query."""
        self.query = query
        self._ask()

    def _ask(self) -> None:
        if not self._library.stopped:
            self._library.find(self.query, self._ids)

    def _on_found(self, asked_from: array[int], ids: array[int], steps: list[Step] | None) -> None:
        if asked_from is not self._ids:
            self._ask()  # an answer to an older question came in between
            return
        if steps is None and (ids or self._ids):
            self._next = ids
            self.setStringList([""] * len(ids))
        for first, last, new in steps or ():
            fresh = self._ids[:]  # the array that was asked from is never changed: the desk reads it
            if new:
                fresh[first:first] = new
                self._next = fresh
                self.insertRows(first, last - first + 1)
            else:
                del fresh[first:last + 1]
                self._next = fresh
                self.removeRows(first, last - first + 1)
        self.known = True
        self.answered.emit()

    def _take_next(self, *_: object) -> None:
        self._ids = self._next

    def _on_changed(self, ids: list[int]) -> None:
        for one in ids:
            self._rows.pop(one, None)
        if len(ids) <= 50:
            places = [self.place_of(i) for i in ids]
            for place in (p for p in places if p is not None):
                self.dataChanged.emit(self.index(place), self.index(place))
        else:
            self.dataChanged.emit(self.index(0), self.index(len(self._ids) - 1))
        if self.query.rating or self.query.starred or self.query.sort == "rating":
            self._again.start()

    def place_of(self, picture: int) -> int | None:
        """Its row, or None if it is not among these."""
        try:
            return self._ids.index(picture)
        except ValueError:
            return None

    def picture(self, row: int) -> Picture | None:
        """None if the row has just gone."""
        if not 0 <= row < len(self._ids):
            return None
        wanted = self._ids[row]
        if wanted not in self._rows and not self._library.stopped:
            start = max(0, row - WINDOW // 4)
            missing = [i for i in self._ids[start:start + WINDOW] if i not in self._rows]
            for p in self._library.read.pictures(missing):
                self._rows[p.id] = p
            while len(self._rows) > KEEP:
                self._rows.popitem(last=False)
        if wanted in self._rows:
            self._rows.move_to_end(wanted)
        return self._rows.get(wanted)

    def flags(self, index: Index) -> Qt.ItemFlag:
        return Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled if index.isValid() else Qt.ItemFlag.NoItemFlags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole, PICTURE):
            return None
        one = self.picture(index.row())
        if one is None or role == PICTURE:
            return one
        name = Path(one.path).name
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"<p>{html.escape(one.prompt)}</p><p>{html.escape(name)}</p>"
        stars = self.tr("starred") if one.starred else ""
        rating = self.tr("rating {n} of 5").format(n=one.rating) if one.rating else ""
        return ", ".join(part for part in (one.prompt or name, rating, stars) if part)
