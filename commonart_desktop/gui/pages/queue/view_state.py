"""What the queue's page remembers: over a restart of the window, and over a reset of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from commonart_desktop.gui.pages.queue.panel import QueuePanel

COLUMNS, SPLIT, BELOW, OPEN, STATE, TOP = (
    "queue/columns",
    "queue/split",
    "queue/below",
    "queue/open",
    "queue/state",
    "queue/top",
)


def keep(panel: QueuePanel) -> None:
    """Store columns, sizes, what is unfolded, the filter, and how far it is scrolled."""
    state = panel.context.state
    state.setValue(COLUMNS, panel.view.horizontalHeader().saveState())
    state.setValue(SPLIT, panel.split.saveState())
    state.setValue(BELOW, panel.below.saveState())
    state.setValue(OPEN, " ".join(str(j.id) for j in panel.model.jobs if panel.model.is_open(j.id)))
    state.setValue(STATE, panel.states.currentData() or "")
    state.setValue(TOP, panel.view.verticalScrollBar().value() if not panel.model.searching else 0)


def restore(panel: QueuePanel) -> int:
    """Take it back; returns the row that stood at the top."""
    state, model = panel.context.state, panel.model
    for name, put in (
        (COLUMNS, panel.view.horizontalHeader().restoreState),
        (SPLIT, panel.split.restoreState),
        (BELOW, panel.below.restoreState),
    ):
        if state.value(name) is not None:
            put(state.value(name))
    for job in str(state.value(OPEN, "")).split():
        row = model.row_of_job(int(job)) if job.isdigit() else None
        if row is not None:
            model.fold(row, True)
    panel.states.setCurrentIndex(max(0, panel.states.findData(str(state.value(STATE, "")))))
    top = str(state.value(TOP, "0"))
    return int(top) if top.isdigit() else 0
