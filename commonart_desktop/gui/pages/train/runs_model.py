"""The runs as rows: name, state by shape and word, when it was made."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QDateTime, QLocale, QModelIndex, QObject, QPersistentModelIndex, Qt

from commonart_desktop.core.runs import Run
from commonart_desktop.core.training_story import Snapshot
from commonart_desktop.gui.pages.train.labels import state_icon, state_word
from commonart_desktop.gui.style.theme import icon

Index = QModelIndex | QPersistentModelIndex
STATE, NAME, PROGRESS, CREATED = range(4)
RUN = Qt.ItemDataRole.UserRole


class RunsModel(QAbstractTableModel):
    """The newest first."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: list[tuple[Run, str]] = []
        self._shares: dict[str, str] = {}
        self._heads = (self.tr("State"), self.tr("Name"), self.tr("Progress"), self.tr("Made"))

    def set_runs(self, rows: list[tuple[Run, str]]) -> None:
        """Rows stay the same objects where only states are others, so that the selection stays."""
        if [str(r.folder) for r, _ in rows] == [str(r.folder) for r, _ in self.rows]:
            self.rows = list(rows)
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, 3))
            return
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def set_progress(self, run: Run, snapshot: Snapshot) -> None:
        if snapshot.steps:
            text = f"{QLocale().toString(snapshot.step)} / {QLocale().toString(snapshot.steps)}"
            if self._shares.get(str(run.folder)) != text:
                self._shares[str(run.folder)] = text
                at = self.row_of(run)
                if at >= 0:
                    self.dataChanged.emit(self.index(at, PROGRESS), self.index(at, PROGRESS))

    def row_of(self, run: Run) -> int:
        """Its row, or -1."""
        return next((n for n, (r, _) in enumerate(self.rows) if r.folder == run.folder), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole and 0 <= section < 4:
            return self._heads[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.rows):
            return None
        run, state = self.rows[index.row()]
        if role == RUN:
            return run
        if role == Qt.ItemDataRole.DecorationRole and index.column() == STATE:
            return icon(state_icon(state))
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(run.folder)
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == PROGRESS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        if index.column() == STATE:
            return state_word(state)
        if index.column() == NAME:
            return run.name
        if index.column() == PROGRESS:
            return self._shares.get(str(run.folder), "")
        return QLocale().toString(
            QDateTime.fromSecsSinceEpoch(int(float(run.plan.get("created") or 0))), QLocale.FormatType.ShortFormat
        )
