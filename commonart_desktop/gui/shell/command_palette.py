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
    """Each text of the window in the other language, so that "pause" finds 一時停止 and the other way round."""
    texts: dict[str, str] = {}
    for message in ElementTree.parse(resources() / "translations" / "commonart_ja.ts").getroot().iter("message"):
        english, japanese = plain(message.findtext("source") or ""), plain(message.findtext("translation") or "")
        if english and japanese:
            texts[english], texts[japanese] = japanese, english
    return texts


def synonyms_cached() -> bool:
    """Whether ``synonyms`` returns at once: reading the file takes too long for a key press."""
    return synonyms.cache_info().currsize > 0


@cache
def _search_text(*parts: str) -> str:
    return folded(" ".join(parts))


class CommandsModel(QAbstractTableModel):
    """Commands that match the query, the best first; without a query all, in their order."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._all: list[tuple[Command, str, str]] = []  # (command, page title, folded text that is searched)
        self._shown: list[tuple[Command, str]] = []
        self._query = ""

    def set_commands(self, commands: Sequence[Command], titles: dict[str, str]) -> None:
        """Replace the commands; the query stays."""
        self._all, self._shown = [], []
        self.add_commands(commands, titles)

    def add_commands(self, commands: Sequence[Command], titles: dict[str, str]) -> None:
        """Append commands; the query stays."""
        other = synonyms() if synonyms_cached() else {}
        self._all += [
            (c, titles.get(c.page, ""), _search_text(c.name, other.get(c.name, ""), titles.get(c.page, "")))
            for c in commands
        ]
        if self._query.strip() or not self._shown:
            self.search(self._query)
        elif commands:
            self.beginInsertRows(QModelIndex(), len(self._shown), len(self._shown) + len(commands) - 1)
            self._shown += [row[:2] for row in self._all[len(self._shown) :]]
            self.endInsertRows()

    def add_synonyms(self) -> None:
        """The texts of the other language are loaded now."""
        other = synonyms()
        self._all = [(c, title, _search_text(c.name, other.get(c.name, ""), title)) for c, title, _ in self._all]
        self.search(self._query)

    def search(self, query: str) -> None:
        self.beginResetModel()
        self._query = query
        wanted = folded(query)
        scored = [(score(wanted, text), n) for n, (_, _, text) in enumerate(self._all)]
        best = sorted((-s, n) for s, n in scored if s is not None)
        self._shown = [self._all[n][:2] for _, n in best] if wanted.strip() else [row[:2] for row in self._all]
        self.endResetModel()

    def command(self, row: int) -> Command | None:
        return self._shown[row][0] if 0 <= row < len(self._shown) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 3

    def flags(self, index: Index) -> Qt.ItemFlag:
        command = self.command(index.row())
        return (
            Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            if command is not None and command.can()
            else Qt.ItemFlag.NoItemFlags
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self._shown):
            return None
        command, page = self._shown[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return (command.name, page, command.keys)[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignVCenter | (
                Qt.AlignmentFlag.AlignRight if index.column() == KEYS else Qt.AlignmentFlag.AlignLeft
            )
        return None


class CommandPalette(QFrame):
    """An overlay, operated by keyboard: type, arrows, Enter, Esc. ``chosen`` has the command, once the palette is closed."""

    chosen = Signal(object)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setObjectName("palette")
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
        header.setResizeContentsPrecision(0)  # by the visible rows: measuring hundreds would delay every key press
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

    def open(self, title: str, hint: str, commands: Sequence[Command], titles: dict[str, str]) -> None:
        """Show it with these commands; ``add`` appends those of other pages."""
        self._titles = titles
        if not self.isVisible():
            self._before = self.window().focusWidget()
        self.title.setText(title)
        self.field.setPlaceholderText(hint)
        self.field.setAccessibleName(hint)
        self.list.setAccessibleName(title)
        self.field.clear()
        self._set_geometry()
        self.show()  # first: rows get the height of the style only then
        self.raise_()
        self.model.set_commands(commands, titles)
        self._settle()
        self.field.setFocus()
        if not synonyms_cached():
            Task(self, lambda task: synonyms(), done=lambda _: self._same_row(self.model.add_synonyms), name="synonyms")

    def add(self, commands: Sequence[Command]) -> None:
        """Append the commands of another page."""
        self._same_row(lambda: self.model.add_commands(commands, self._titles))

    def _same_row(self, change: Callable[[], None]) -> None:
        """Change the rows; the current one stays current while the query is empty."""
        chosen = self.model.command(self.list.currentIndex().row())
        change()
        self._settle()
        for row in range(self.model.rowCount()) if chosen and self.field.text() == "" else ():
            now = self.model.command(row)
            if now and (now.name, now.page) == (chosen.name, chosen.page):
                self.list.setCurrentIndex(self.model.index(row, NAME))
                break

    def close_(self) -> None:
        """Hide it; the focus goes back to the widget that had it."""
        if self.isVisible():
            self.hide()
            if self._before is not None:
                try:
                    self._before.setFocus()
                except RuntimeError:
                    pass  # that widget is deleted
            self._before = None

    def _set_geometry(self) -> None:
        area = self.window().rect()
        width, height = min(640, area.width() - 2 * SPACE["xl"]), min(480, area.height() - 4 * SPACE["xl"])
        self.setGeometry((area.width() - width) // 2, 2 * SPACE["xl"], width, height)

    def _search(self, text: str) -> None:
        self.model.search(text)
        self._settle()

    def _settle(self) -> None:
        """After the rows have changed."""
        self.empty.setVisible(self.model.rowCount() == 0)
        self._step(0, -1)

    def _step(self, start: int, before: int) -> None:
        """Select the first enabled row from ``start`` downwards, or, if ``before`` is given, from the row before it upwards."""
        rows = range(before - 1, -1, -1) if before >= 0 else range(start, self.model.rowCount())
        for row in rows:
            command = self.model.command(row)
            if command is not None and command.can():
                self.list.setCurrentIndex(self.model.index(row, NAME))
                return

    def _run(self) -> None:
        command = self.model.command(self.list.currentIndex().row())
        if command is not None and command.can():
            self.close_()
            self.chosen.emit(command)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.parent():
            if event.type() == QEvent.Type.Resize and self.isVisible():
                self._set_geometry()
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
