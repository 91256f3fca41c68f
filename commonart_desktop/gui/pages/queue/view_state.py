"""The queue page's state across starts: columns, sizes, expanded jobs, the filter, the scroll position."""

from __future__ import annotations

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QComboBox, QSplitter

from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from commonart_desktop.gui.pages.queue.table_view import QueueView

COLUMNS, SPLIT, BELOW, OPEN, STATE, TOP = (
    "queue/columns",
    "queue/split",
    "queue/below",
    "queue/open",
    "queue/state",
    "queue/top",
)


class ViewState:
    """Saves the state of the queue's widgets into ``settings`` and restores it."""

    def __init__(
        self,
        settings: QSettings,
        view: QueueView,
        model: LedgerModel,
        splitters: tuple[QSplitter, QSplitter],
        states: QComboBox,
    ) -> None:
        self._settings, self._view, self._model, self._states = settings, view, model, states
        self._beside, self._below = splitters

    def save(self) -> None:
        """Store columns, sizes, open jobs, the filter and the scroll position."""
        put = self._settings.setValue
        put(COLUMNS, self._view.horizontalHeader().saveState())
        put(SPLIT, self._beside.saveState())
        put(BELOW, self._below.saveState())
        put(OPEN, " ".join(str(j.id) for j in self._model.jobs if self._model.is_open(j.id)))
        put(STATE, self._states.currentData() or "")
        put(TOP, self._view.verticalScrollBar().value() if not self._model.searching else 0)

    def restore(self) -> int:
        """Restore what was saved; returns the row that was at the top."""
        get = self._settings.value
        for name, put in (
            (COLUMNS, self._view.horizontalHeader().restoreState),
            (SPLIT, self._beside.restoreState),
            (BELOW, self._below.restoreState),
        ):
            if get(name) is not None:
                put(get(name))
        for job in str(get(OPEN, "")).split():
            row = self._model.row_of_job(int(job)) if job.isdigit() else None
            if row is not None:
                self._model.fold(row, True)
        self._states.setCurrentIndex(max(0, self._states.findData(str(get(STATE, "")))))
        top = str(get(TOP, "0"))
        return int(top) if top.isdigit() else 0
