"""The selection in the queue table, kept across a reset of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QItemSelectionModel

from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from commonart_desktop.gui.pages.queue.table_view import QueueView
from engine.contract.ledger.ledger import Job, Line

if TYPE_CHECKING:
    pass


class KeepCurrent:
    """Restores the current job or image after a reset if it is still shown."""

    def __init__(self, model: LedgerModel, view: QueueView) -> None:
        self._model, self._view = model, view

    def __enter__(self) -> None:
        index = self._view.currentIndex()
        self._item = self._model.line(index.row()) if index.isValid() else None

    def __exit__(self, *_: object) -> None:
        row = None
        if isinstance(self._item, Job):
            row = self._model.row_of_job(self._item.id)
        elif isinstance(self._item, Line):
            row = self._model.row_of(self._item.id)
            row = self._model.row_of_job(self._item.job) if row is None else row
        if row is not None and not self._view.currentIndex().isValid():
            how = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self._view.selectionModel().setCurrentIndex(self._model.index(row, 0), how)
