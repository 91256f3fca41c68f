"""The models of this machine as rows of a table."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from commonart_desktop.gui.style.theme import icon

Index = QModelIndex | QPersistentModelIndex
NAME, SOURCE, SIZE, STATE = range(4)


class ModelsModel(QAbstractTableModel):
    """Rows as ``engine.checkpoint list`` gives them; ``default`` is the model of the settings."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[dict[str, Any]] = []
        self._default = ""
        self._titles = [self.tr("Model"), self.tr("Where"), self.tr("Size"), self.tr("State")]
        self._sources = {
            "bundled": self.tr("bundled"),
            "home": self.tr("your folder"),
            "hub-cache": self.tr("Hugging Face cache"),
            "added": self.tr("added folder"),
        }
        self._ready, self._default_word, self._not_ready = (
            self.tr("ready"),
            self.tr("ready, used for new pictures"),
            self.tr("not ready"),
        )
        self._kinds = {
            "missing-part": self.tr("a part is missing"),
            "needs-conversion": self.tr("to be converted"),
            "broken-weights": self.tr("damaged"),
        }

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < 4:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignVCenter | (
                Qt.AlignmentFlag.AlignRight if section == SIZE else Qt.AlignmentFlag.AlignLeft
            )
        return self._titles[section] if role == Qt.ItemDataRole.DisplayRole else None

    def is_default(self, row: dict[str, Any]) -> bool:
        return self._default in (row["name"], row["name"].rsplit("/", 1)[-1], row["path"])

    def state_of(self, row: dict[str, Any]) -> str:
        """Ready, or in a word why not."""
        if not row["ok"]:
            return self._kinds.get((row["problem"] or {}).get("kind", ""), self._not_ready)
        return self._default_word if self.is_default(row) else self._ready

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.rows):
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return (
                row["name"],
                self._sources.get(row["source"], row["source"]),
                f"{row['own_side']} px" if row["own_side"] else "–",
                self.state_of(row),
            )[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == STATE:
            return icon("done" if row["ok"] else "failed")
        if role == Qt.ItemDataRole.ToolTipRole:
            return row["path"]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignVCenter | (
                Qt.AlignmentFlag.AlignRight if index.column() == SIZE else Qt.AlignmentFlag.AlignLeft
            )
        return None

    def set_rows(self, rows: list[dict[str, Any]], default: str) -> None:
        """Other rows."""
        self.beginResetModel()
        self.rows, self._default = list(rows), default
        self.endResetModel()

    def set_default(self, default: str) -> None:
        """The settings name another model now."""
        self._default = default
        if self.rows:
            self.dataChanged.emit(self.index(0, STATE), self.index(len(self.rows) - 1, STATE))

    def row_of(self, path: str) -> int:
        """Its row, or -1."""
        return next((n for n, row in enumerate(self.rows) if row["path"] == path), -1)
