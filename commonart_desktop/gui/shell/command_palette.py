"""Ctrl+K: every action of every page by name. F1: the same list, of those that have a shortcut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from xml.etree import ElementTree

from PySide6.QtCore import QAbstractTableModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QLabel, QLineEdit, QTreeView, QVBoxLayout, QWidget

from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.shell.commands import Command, folded, plain, score
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract.paths import resources

Index = QModelIndex | QPersistentModelIndex
NAME, PAGE, KEYS = range(3)


@cache
def synonyms() -> dict[str, str]:
    """Each text of the window -> the same in the other language, so that "pause" finds 一時停止 and the other way round."""
    found: dict[str, str] = {}
    for message in ElementTree.parse(resources() / "translations" / "commonart_ja.ts").getroot().iter("message"):
        english, japanese = plain(message.findtext("source") or ""), plain(message.findtext("translation") or "")
        if english and japanese:
            found[english], found[japanese] = japanese, english
    return found


def known_synonyms() -> bool:
    """Whether ``synonyms`` answers at once: reading the file takes too long for a key press."""
    return synonyms.cache_info().currsize > 0


@cache
def _searched(*words: str) -> str:
    return folded(" ".join(words))


class CommandsModel(QAbstractTableModel):
    """Deeds that answer what was typed, the best first; all in their order while nothing is."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._all: list[tuple[Command, str, str]] = []  # (deed, page title, folded text that is searched)
        self._shown: list[tuple[Command, str]] = []
        self._query = ""

    def set_deeds(self, deeds: Sequence[Command], titles: dict[str, str]) -> None:
        """Other deeds; the query stays."""
        self._all, self._shown = [], []
        self.add_deeds(deeds, titles)

    def add_deeds(self, deeds: Sequence[Command], titles: dict[str, str]) -> None:
        """More deeds, after those there; the query stays."""
        words = synonyms() if known_synonyms() else {}
        self._all += [
            (d, titles.get(d.page, ""), _searched(d.name, words.get(d.name, ""), titles.get(d.page, ""))) for d in deeds
        ]
        if self._query.strip() or not self._shown:
            self.search(self._query)
        elif deeds:
            self.beginInsertRows(QModelIndex(), len(self._shown), len(self._shown) + len(deeds) - 1)
            self._shown += [row[:2] for row in self._all[len(self._shown) :]]
            self.endInsertRows()

    def learn(self) -> None:
        """The words of the other language are there now."""
        words = synonyms()
        self._all = [(d, title, _searched(d.name, words.get(d.name, ""), title)) for d, title, _ in self._all]
        self.search(self._query)

    def search(self, query: str) -> None:
        self.beginResetModel()
        self._query = query
        wanted = folded(query)
        scored = [(score(wanted, text), n) for n, (_, _, text) in enumerate(self._all)]
        best = sorted((-s, n) for s, n in scored if s is not None)
        self._shown = [self._all[n][:2] for _, n in best] if wanted.strip() else [row[:2] for row in self._all]
        self.endResetModel()

    def deed(self, row: int) -> Command | None:
        return self._shown[row][0] if 0 <= row < len(self._shown) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 3

    def flags(self, index: Index) -> Qt.ItemFlag:
        deed = self.deed(index.row())
        return (
            Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            if deed is not None and deed.can()
            else Qt.ItemFlag.NoItemFlags
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self._shown):
            return None
        deed, page = self._shown[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return (deed.name, page, deed.keys)[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignVCenter | (
                Qt.AlignmentFlag.AlignRight if index.column() == KEYS else Qt.AlignmentFlag.AlignLeft
            )
        return None


class CommandPalette(QFrame):
    """Lies over the window; all by keyboard: type, arrows, Enter, Esc. ``chosen`` carries the deed, after it has closed."""

    chosen = Signal(object)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setObjectName("finder")
        self._before: QWidget | None = None
        self._titles: dict[str, str] = {}
        self.title = QLabel()
        self.title.setProperty("role", "section")
        self.field = QLineEdit(clearButtonEnabled=True)
        self.model = CommandsModel(self)
        self.list = QTreeView(
            rootIsDecorated=False,
            uniformRowHeights=True,
            headerHidden=True,
            allColumnsShowFocus=True,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
        )
        self.list.setModel(self.model)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setResizeContentsPrecision(
            0
        )  # by the rows in sight: measuring hundreds takes longer than anybody's patience with a key
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(PAGE, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(KEYS, QHeaderView.ResizeMode.ResizeToContents)
        self.empty = QLabel(self.tr("Nothing with this name was found."))
        self.empty.setProperty("role", "muted")
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["m"], SPACE["m"], SPACE["m"], SPACE["m"])
        column.setSpacing(SPACE["s"])
        for widget in (self.title, self.field, self.empty):
            column.addWidget(widget)
        column.addWidget(self.list, 1)
        self.field.textChanged.connect(self._search)
        self.field.returnPressed.connect(self._run)
        self.list.clicked.connect(lambda _: self._run())
        self.field.installEventFilter(self)
        window.installEventFilter(self)
        self.hide()

    def open(self, title: str, hint: str, deeds: Sequence[Command], titles: dict[str, str]) -> None:
        """Show it with these deeds; ``add`` takes those of other pages."""
        self._titles = titles
        if not self.isVisible():
            self._before = self.window().focusWidget()
        self.title.setText(title)
        self.field.setPlaceholderText(hint)
        self.field.setAccessibleName(hint)
        self.list.setAccessibleName(title)
        self.field.clear()
        self._place()
        self.show()  # first, for rows are as high as the style says only then
        self.raise_()
        self.model.set_deeds(deeds, titles)
        self._settle()
        self.field.setFocus()
        if not known_synonyms():
            Task(self, lambda task: synonyms(), done=lambda _: self._same_row(self.model.learn), name="synonyms")

    def add(self, deeds: Sequence[Command]) -> None:
        """One more page is there now."""
        self._same_row(lambda: self.model.add_deeds(deeds, self._titles))

    def _same_row(self, change: Callable[[], None]) -> None:
        """Change the rows; what was current stays so while nothing is typed."""
        chosen = self.model.deed(self.list.currentIndex().row())
        change()
        self._settle()
        for row in range(self.model.rowCount()) if chosen and self.field.text() == "" else ():
            now = self.model.deed(row)
            if now and (now.name, now.page) == (chosen.name, chosen.page):
                self.list.setCurrentIndex(self.model.index(row, NAME))
                break

    def close_(self) -> None:
        """Hide it; the focus goes back where it was."""
        if self.isVisible():
            self.hide()
            if self._before is not None:
                try:
                    self._before.setFocus()
                except RuntimeError:
                    pass  # that field is gone
            self._before = None

    def _place(self) -> None:
        whole = self.parentWidget().rect()
        width, height = min(640, whole.width() - 2 * SPACE["xl"]), min(480, whole.height() - 4 * SPACE["xl"])
        self.setGeometry((whole.width() - width) // 2, 2 * SPACE["xl"], width, height)

    def _search(self, text: str) -> None:
        self.model.search(text)
        self._settle()

    def _settle(self) -> None:
        """After the rows have changed."""
        self.empty.setVisible(self.model.rowCount() == 0)
        self._step(0, -1)

    def _step(self, start: int, before: int) -> None:
        """Go to the first row from ``start`` that can be done, downwards; upwards if ``before`` is the row after."""
        way = range(before - 1, -1, -1) if before >= 0 else range(start, self.model.rowCount())
        for row in way:
            deed = self.model.deed(row)
            if deed is not None and deed.can():
                self.list.setCurrentIndex(self.model.index(row, NAME))
                return

    def _run(self) -> None:
        deed = self.model.deed(self.list.currentIndex().row())
        if deed is not None and deed.can():
            self.close_()
            self.chosen.emit(deed)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.parent():
            if event.type() == QEvent.Type.Resize and self.isVisible():
                self._place()
            return False
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            row = self.list.currentIndex().row()
            page = max(1, self.list.viewport().height() // max(1, self.list.sizeHintForRow(0)) - 1)
            key = event.key()
            if key == Qt.Key.Key_Escape:
                self.close_()
            elif key == Qt.Key.Key_Down:
                self._step(row + 1, -1)
            elif key == Qt.Key.Key_PageDown:
                self._step(min(row + page, self.model.rowCount() - 1), -1)
            elif key == Qt.Key.Key_Up:
                self._step(0, max(0, row))
            elif key == Qt.Key.Key_PageUp:
                self._step(max(0, row - page), -1)
            else:
                return False
            return True
        if event.type() == QEvent.Type.FocusOut and self.isVisible() and self.window().isActiveWindow():
            self._before = None  # the user went elsewhere
            self.hide()
        return False
