"""The machines of a cluster in the queue's toolbar: a summary, and a popup that lists each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QLocale, QModelIndex, QObject, QPersistentModelIndex, QPoint, Qt
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract import events
from engine.contract.errors import from_wire

Index = QModelIndex | QPersistentModelIndex
NAME, DEVICE, WORKERS, PACE, STATE, ERROR = range(6)
_AT_WORK = ("loading", "ready")
_ICONS = {"loading": "running", "ready": "done", "lost": "failed", "refused": "failed"}


class NodesModel(QAbstractTableModel):
    """One row per machine, as reported by ``events.Nodes``."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.nodes: list[dict[str, Any]] = []
        self._heads = (
            self.tr("Machine"),
            self.tr("Device"),
            self.tr("Workers"),
            self.tr("Images/h"),
            self.tr("State"),
            self.tr("What is wrong"),
        )
        self._states = {
            "loading": self.tr("loading the model"),
            "ready": self.tr("ready"),
            "lost": self.tr("lost"),
            "refused": self.tr("takes no part"),
        }

    def set_nodes(self, nodes: Sequence[dict[str, Any]]) -> None:
        """Update; rows and selection stay where the machines are the same."""
        if [n.get("name") for n in nodes] == [n.get("name") for n in self.nodes]:
            self.nodes = list(nodes)
            if nodes:
                self.dataChanged.emit(self.index(0, 0), self.index(len(nodes) - 1, ERROR))
            return
        self.beginResetModel()
        self.nodes = list(nodes)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.nodes)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._heads)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if (
            orientation == Qt.Orientation.Horizontal
            and role == Qt.ItemDataRole.DisplayRole
            and 0 <= section < len(self._heads)
        ):
            return self._heads[section]
        return None

    def text(self, row: int, column: int) -> str:
        """The text of a cell."""
        node = self.nodes[row]
        if column in (NAME, DEVICE):
            return str(node.get("name" if column == NAME else "device") or "–")
        if column == WORKERS:
            return str(node.get("workers") or 0)
        if column == PACE:
            pace = node.get("images_per_hour")
            return "–" if pace is None else QLocale().toString(round(pace))
        if column == STATE:
            return self._states.get(str(node.get("state")), str(node.get("state") or "–"))
        error = node.get("error")
        return " ".join(filter(None, sentence(from_wire(error)))) if isinstance(error, dict) else ""

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.nodes):
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self.text(index.row(), index.column())
        if role == Qt.ItemDataRole.DecorationRole and index.column() == STATE:
            return theme.icon(_ICONS.get(str(self.nodes[index.row()].get("state")), "info"))
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in (WORKERS, PACE):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


class NodesButton(QToolButton):
    """Shown in the toolbar while a cluster is in use; its popup lists the machines and is closed with Esc."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.model = NodesModel(self)
        self.popup: QFrame | None = None  # created when it is first opened
        self.clicked.connect(self.open)
        context.engine.event.connect(self._on_event)
        context.engine.state.connect(self._on_state)
        self.hide()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Nodes):
            self.show_nodes(event.nodes)

    def _on_state(self, state: str) -> None:
        if state in ("off", "dead"):
            self.show_nodes([])

    def show_nodes(self, nodes: Sequence[dict[str, Any]]) -> None:
        """Show these machines; none: there is no cluster."""
        self.model.set_nodes(nodes)
        self.setVisible(bool(nodes))
        if not nodes:
            if self.popup is not None:
                self.popup.hide()
            return
        well = sum(n.get("state") in _AT_WORK for n in nodes)
        if well < len(nodes):
            count = self.tr("{well} of {count} nodes").format(well=well, count=len(nodes))
        else:
            count = self.tr("1 node") if len(nodes) == 1 else self.tr("{count} nodes").format(count=len(nodes))
        paces = [n["images_per_hour"] for n in nodes if n.get("images_per_hour") is not None]
        pace = self.tr("{count} images/h").format(count=QLocale().toString(round(sum(paces)))) if paces else ""
        self.setText(" · ".join(filter(None, (count, pace))))
        lines = [
            " · ".join(filter(None, (self.model.text(r, c) for c in (NAME, DEVICE, STATE, ERROR))))
            for r in range(len(nodes))
        ]
        self.setToolTip("\n".join([self.tr("The machines of the cluster"), *lines]))
        self.setAccessibleName(self.tr("The machines of the cluster: {told}").format(told=self.text()))
        self._fit()

    def open(self) -> None:
        """Show the list; it has the keyboard focus until it is closed."""
        if self.popup is None:
            self._make_popup()
        assert self.popup is not None
        self._fit()
        below = self.mapToGlobal(QPoint(self.width(), self.height() + SPACE["xs"]))
        self.popup.move(below.x() - self.popup.width(), below.y())
        self.popup.show()
        self.table.setCurrentIndex(self.model.index(0, NAME))
        self.table.setFocus()

    def _make_popup(self) -> None:
        self.popup = QFrame(self, Qt.WindowType.Popup, objectName="finder")
        self.table = QTableView(
            accessibleName=self.tr("The machines of the cluster"),
            showGrid=False,
            tabKeyNavigation=False,
            wordWrap=True,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
        )
        self.table.setModel(self.model)
        self.table.verticalHeader().hide()
        head = self.table.horizontalHeader()
        head.setHighlightSections(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(ERROR, QHeaderView.ResizeMode.Stretch)
        column = QVBoxLayout(self.popup)
        column.setContentsMargins(SPACE["s"], SPACE["s"], SPACE["s"], SPACE["s"])
        column.addWidget(self.table)

    def _fit(self) -> None:
        """As wide as the content up to the window's width, as high as the rows up to half its height."""
        if self.popup is None:
            return
        window: QWidget = self.window()
        wrong = any(n.get("error") for n in self.model.nodes)
        self.table.setColumnHidden(ERROR, not wrong)
        wide = sum(self.table.sizeHintForColumn(c) + 2 * SPACE["l"] for c in range(ERROR)) + (320 if wrong else 0)
        self.popup.resize(min(wide, window.width() - 2 * SPACE["xl"]), 100)
        self.table.resizeRowsToContents()
        rows = sum(self.table.rowHeight(r) for r in range(self.model.rowCount()))
        self.popup.resize(
            self.popup.width(),
            min(rows + self.table.horizontalHeader().sizeHint().height() + 4 * SPACE["s"], window.height() // 2),
        )
