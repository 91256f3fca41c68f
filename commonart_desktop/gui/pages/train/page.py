"""The Training page: the pictures, what to learn from them, and the runs, in three parts of which one is shown."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from commonart_desktop.core.runs import Run, new_run, read_config_text
from commonart_desktop.core.train_config import config_text
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.train.dataset_panel import DatasetPanel
from commonart_desktop.gui.pages.train.run_view import RunView
from commonart_desktop.gui.pages.train.runs_model import CREATED, NAME, PROGRESS, RUN, STATE, RunsModel
from commonart_desktop.gui.pages.train.setup_panel import SetupPanel
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

PART, RUNS = "train/part", "train/runs_splitter"  # in context.state
PICTURES, SETTINGS, LIST = range(3)


class TrainPage(StagedPage):
    """``use_values`` (dict): a finished result goes into the Make page's form."""

    use_values = Signal(object)

    def make(self, context: Context) -> Steps:
        self.setAcceptDrops(True)
        self._context = context
        self._shown = False
        self._pending: Run | None = None  # asked to start while the queue is at work
        self._draft: Run | None = None  # written by "Open the config"
        self.trainings = context.trainings
        yield
        self.dataset = DatasetPanel(context, in_turns=True)
        yield from self.dataset.making
        yield
        self.setup = SetupPanel(context)
        yield
        self.run = RunView(context, self.trainings)
        yield
        self.parts: list[QToolButton] = []
        self.head = QWidget()
        head = QHBoxLayout(self.head, spacing=SPACE["s"])
        head.setContentsMargins(0, 0, 0, 0)
        title = QLabel(self.tr("Train"))
        title.setProperty("role", "title")
        head.addWidget(title)
        head.addSpacing(SPACE["l"])
        for n, text in enumerate((self.tr("Pictures"), self.tr("What to learn"), self.tr("Runs"))):
            button = QToolButton(text=text, checkable=True, toolTip=f"{text} ({native(f'Alt+{n + 1}')})")
            button.setProperty(KEYS, f"Alt+{n + 1}")
            QShortcut(
                QKeySequence(f"Alt+{n + 1}"), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut
            ).activated.connect(lambda n=n: self.show_part(n))
            button.clicked.connect(lambda _=False, n=n: self.show_part(n))
            self.parts.append(button)
            head.addWidget(button)
        head.addStretch()
        self.hint = QLabel(
            textFormat=Qt.TextFormat.PlainText,
            wordWrap=True,
            alignment=Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
        )
        self.hint.setProperty("role", "muted")
        head.addWidget(self.hint, 1)
        self.start = QPushButton(
            icon("play"),
            self.tr("Start training"),
            toolTip=self.tr("Start training") + f" ({native('Ctrl+Return')})",
            shortcut="Ctrl+Return",
            clicked=self.start_new,
        )
        self.start.setProperty("main", True)
        head.addWidget(self.start)
        yield
        self.stack = QStackedWidget()
        for widget in (self.dataset, FormScroll(self.setup, widest=760), self._build_runs()):
            self.stack.addWidget(widget)
        yield
        whole = QVBoxLayout(self)
        whole.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        whole.setSpacing(SPACE["m"])
        whole.addWidget(self.head)
        whole.addWidget(self._build_bar())
        whole.addWidget(self.stack, 1)
        self.dataset.changed.connect(self._tell)
        self.setup.changed.connect(self._tell)
        self.setup.config_wanted.connect(self._open_config)
        self.trainings.changed.connect(self._on_runs)
        self.trainings.news.connect(self.model.set_progress)
        self.trainings.ended.connect(self._on_ended)
        self.run.use_wanted.connect(self._use)
        self.run.start_wanted.connect(self.start_run)
        self.show_part(min(LIST, max(0, int(str(context.state.value(PART, "0")) or 0))))
        self._tell()

    def _build_bar(self) -> QFrame:
        """The quiet question when the queue is at work on the same device."""
        self.bar = QFrame(objectName="notice")
        line = QHBoxLayout(self.bar)
        line.setContentsMargins(SPACE["m"], SPACE["s"], SPACE["s"], SPACE["s"])
        text = QLabel(self.tr("The queue is making pictures on the same device."), wordWrap=True)
        self.hold = QPushButton(
            icon("pause"), self.tr("Pause the queue and start"), clicked=lambda: self._answer(after_queue=False)
        )
        self.after = QPushButton(
            self.tr("Start when the queue is empty"), clicked=lambda: self._answer(after_queue=True)
        )
        self.not_now = QToolButton(
            icon=icon("close"), accessibleName=self.tr("Not now"), toolTip=self.tr("Not now"), clicked=self._forget
        )
        line.addWidget(text, 1)
        for button in (self.hold, self.after, self.not_now):
            line.addWidget(button)
        self.bar.hide()
        return self.bar

    def _build_runs(self) -> QWidget:
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
        head = self.table.horizontalHeader()
        head.setHighlightSections(False)
        for section in (STATE, PROGRESS, CREATED):
            head.setSectionResizeMode(section, QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_current())
        self.empty = QLabel(
            self.tr("No training yet. Choose pictures, say what to learn, and start."),
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
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(right)
        self.splitter.setSizes([380, 760])
        self.splitter.setStretchFactor(1, 1)
        state = self._context.state.value(RUNS)
        if state is not None:
            self.splitter.restoreState(state)
        return self.splitter

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            self.trainings.refresh()
            self.setup.load_models()
            if not self.dataset.folder:
                self.dataset.restore()

    def keep(self) -> None:
        """Drafts, sizes and the folder."""
        self._context.state.setValue(PART, str(self.stack.currentIndex()))
        self._context.state.setValue(RUNS, self.splitter.saveState())
        if self._shown:
            self.setup.keep()
            self.dataset.keep()

    def busy(self) -> bool:
        """Whether a program is at work for what is shown."""
        return self.dataset.busy() or self.trainings.busy() or self.run.busy()

    def shots(self) -> Iterator[str]:
        """The other parts, for the screenshots."""
        for part, name in ((SETTINGS, "settings"), (LIST, "runs"), (PICTURES, "")):
            self.show_part(part)
            if name:
                yield name

    def show_part(self, part: int) -> None:
        """Pictures, what to learn, or the runs."""
        self.stack.setCurrentIndex(part)
        for n, button in enumerate(self.parts):  # no exclusive group: Qt takes the others out of the Tab order then
            button.setChecked(n == part)
        for widget in (self.start, self.hint):
            widget.setVisible(part != LIST)  # there the run shown has its own main action

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(u.isLocalFile() for u in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = next((u.toLocalFile() for u in event.mimeData().urls() if u.isLocalFile()), "")
        if path:
            event.acceptProposedAction()
            self.show_part(PICTURES)
            self.dataset.set_folder(path)

    # starting -----------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Why it cannot start yet, beside the button."""
        if not self.dataset.folder:
            text = self.tr("Choose a folder of pictures first.")
        elif self.dataset.busy() and self.dataset.passed is None:
            text = self.tr("The check is running.")
        elif self.dataset.stale:
            text = self.tr("Check the folder again first.")
        elif self.dataset.passed is False:
            text = self.tr("The check refuses this folder.")
        elif self.dataset.passed is None:
            text = self.tr("The licence check has to pass first.")
        else:
            text = ""
        self.hint.setText(text)
        self.start.setEnabled(not text)
        self.setup.config.setEnabled(bool(self.dataset.folder))

    def _written(self) -> Run | None:
        """The configuration of what is in the fields, in a folder of its own."""
        field = self.setup.problem()
        if field is not None:
            self.show_part(SETTINGS)
            field.setFocus()
            return None
        choices = self.setup.choices(self.dataset.folder, self.dataset.policy_value())
        try:
            return new_run(
                choices.name,
                config_text(choices),
                device=choices.device,
                kind=choices.kind,
                model=choices.model,
                result=choices.name,
                prompts=bool(choices.prompts),
            )
        except CommonArtError as e:
            self._context.notices.complain(e)
            return None

    def start_new(self) -> None:
        """Write the configuration and start, or wait for those before it."""
        run = self._written()
        if run is not None:
            self.start_run(run)

    def start_run(self, run: Run) -> None:
        """Start it, at once or in turn; asks first if the queue is at work on the same device."""
        self._pending = run
        self._remember(run)
        self.trainings.add(run)
        self._select(run)
        self.show_part(LIST)
        if self.trainings.queue_busy(run):
            self.bar.show()
            self.hold.setFocus()
        else:
            self._answer(after_queue=False)

    def _remember(self, run: Run) -> None:
        """A configuration may have been changed by hand: what the window needs to know is read from it again."""
        try:
            data = tomllib.loads(read_config_text(run))
        except (CommonArtError, ValueError):
            return  # the trainer tells what is wrong with it
        told = {
            "result": data.get("name"),
            "device": (data.get("device") or {}).get("device") if isinstance(data.get("device"), dict) else None,
            "prompts": bool((data.get("previews") or {}).get("prompts"))
            if isinstance(data.get("previews"), dict)
            else False,
        }
        run.plan |= {k: v for k, v in told.items() if v is not None}

    def _answer(self, *, after_queue: bool) -> None:
        run, self._pending = self._pending, None
        self.bar.hide()
        if run is None:
            return
        try:
            self.trainings.enqueue(run, after_queue=after_queue)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _forget(self) -> None:
        self._pending = None
        self.bar.hide()
        self.trainings.refresh()

    def _open_config(self) -> None:
        run = self._written()
        if run is None:
            return
        self.trainings.refresh()
        self._select(run)
        self.show_part(LIST)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.config)))

    # the runs -----------------------------------------------------------------------------------------------------

    def _select(self, run: Run) -> None:
        self._draft = run
        self._on_runs()

    def _on_runs(self) -> None:
        current = self.table.currentIndex().data(RUN) if self.table.currentIndex().isValid() else None
        self.model.set_runs([(r, self.trainings.state(r)) for r in self.trainings.runs])
        wanted, at = self._draft or current, -1
        if wanted is not None:
            at = self.model.row_of(wanted)
            if at >= 0 and self._draft is wanted:
                self._draft = None
        if at < 0 and self.model.rowCount():
            at = next((n for n, (_, s) in enumerate(self.model.rows) if s in ("running", "paused")), 0)
        if at >= 0 and at != self.table.currentIndex().row():
            self.table.setCurrentIndex(self.model.index(at, NAME))
        elif at < 0:
            self.run.show_run(None)
        self.empty.setVisible(not self.model.rowCount())
        self.table.setVisible(bool(self.model.rowCount()))
        waiting = len(self.trainings.active()) + len(self.trainings.waiting())
        self.parts[LIST].setText(self.tr("Runs ({count})").format(count=waiting) if waiting else self.tr("Runs"))

    def _show_current(self) -> None:
        run = self.table.currentIndex().data(RUN) if self.table.currentIndex().isValid() else None
        if run is not None and (self.run.run is None or self.run.run.folder != run.folder):
            self.run.show_run(run)

    def _on_ended(self, run: Run) -> None:
        """It is over: a finished one goes to where it can be used, and that is offered at once."""
        last: dict[str, Any] = run.last()
        if last.get("event") == "finished":
            self.run.install(
                run,
                last,
                lambda path: self._context.notices.say(
                    self.tr("“{name}” has learned; the result is in {folder}.").format(
                        name=run.name, folder=str(Path(path).parent)
                    ),
                    "",
                    self.tr("Use for making pictures"),
                    lambda: self._use(RunView.values_for(run, path)) if isValid(self) else None,
                ),
            )
        elif last.get("event") != "stopped":
            self._context.notices.say(
                self.tr("The training “{name}” ended with an error.").format(name=run.name),
                "",
                self.tr("Resume"),
                lambda: self.start_run(run) if isValid(self) else None,
            )

    def _use(self, values: dict[str, Any]) -> None:
        self.use_values.emit(values)
        self._context.go_to("make")
