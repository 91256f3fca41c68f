"""The list of training runs beside the one that is selected."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QSplitter, QTableView, QVBoxLayout, QWidget

from commonart_desktop.core.runs import Run
from commonart_desktop.gui.background.training_runs import TrainingRuns
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.train.run_view import RunView
from commonart_desktop.gui.pages.train.runs_model import CREATED, NAME, PROGRESS, RUN, STATE, RunsModel
from commonart_desktop.gui.style.tokens import SPACE

SPLITTER = "train/runs_splitter"  # in context.state


class RunsPanel(QSplitter):
    """``counted(n)``: how many runs are active or waiting."""

    counted = Signal(int)

    def __init__(self, context: Context, trainings: TrainingRuns) -> None:
        super().__init__(childrenCollapsible=False)
        self._context, self._trainings = context, trainings
        self._requested: Run | None = None  # to be selected once it is listed
        self.run = RunView(context, trainings)
        self.model = RunsModel(self)
        self.table = QTableView(
            accessibleName=self.tr("Runs"),
            showGrid=False,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
            tabKeyNavigation=False,
            wordWrap=False,
        )
        self.table.setModel(self.model)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        for section in (STATE, PROGRESS, CREATED):
            header.setSectionResizeMode(section, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_current())
        self.empty = QLabel(
            self.tr("No training yet. Choose images, say what to learn, and start."),
            wordWrap=True,
            alignment=Qt.AlignmentFlag.AlignCenter,
        )
        self.empty.setProperty("role", "muted")
        left = QWidget(minimumWidth=260)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, SPACE["s"], 0)
        column.addWidget(self.empty)
        column.addWidget(self.table, 1)
        right = QWidget()
        inside = QVBoxLayout(right)
        inside.setContentsMargins(SPACE["s"], 0, 0, 0)
        inside.addWidget(self.run)
        self.addWidget(left)
        self.addWidget(right)
        self.setSizes([380, 760])
        self.setStretchFactor(1, 1)
        state = context.state.value(SPLITTER)
        if state is not None:
            self.restoreState(state)
        trainings.changed.connect(self.refresh)
        trainings.news.connect(self.model.set_progress)

    def keep(self) -> None:
        """Store the sizes."""
        self._context.state.setValue(SPLITTER, self.saveState())

    def select(self, run: Run) -> None:
        """Select a run, now or once it is listed."""
        self._requested = run
        self.refresh()

    def refresh(self) -> None:
        """Read the runs again; the selection stays, or goes to the one that is running."""
        current = self._current_run()
        self.model.set_runs([(r, self._trainings.state(r)) for r in self._trainings.runs])
        wanted, at = self._requested or current, -1
        if wanted is not None:
            at = self.model.row_of(wanted)
            if at >= 0 and self._requested is wanted:
                self._requested = None
        if at < 0 and self.model.rowCount():
            at = next((n for n, (_, s) in enumerate(self.model.rows) if s in ("running", "paused")), 0)
        if at >= 0 and at != self.table.currentIndex().row():
            self.table.setCurrentIndex(self.model.index(at, NAME))
        elif at < 0:
            self.run.show_run(None)
        self.empty.setVisible(not self.model.rowCount())
        self.table.setVisible(bool(self.model.rowCount()))
        self.counted.emit(len(self._trainings.active()) + len(self._trainings.waiting()))

    def _current_run(self) -> Run | None:
        index = self.table.currentIndex()
        run: Run | None = index.data(RUN) if index.isValid() else None
        return run

    def _show_current(self) -> None:
        run = self._current_run()
        if run is not None and (self.run.run is None or self.run.run.folder != run.folder):
            self.run.show_run(run)
