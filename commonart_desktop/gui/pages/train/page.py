"""The Training page: the images, what to learn from them, and the runs, in three parts of which one is shown."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QStackedWidget,
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
from commonart_desktop.gui.pages.train.queue_bar import QueueBar
from commonart_desktop.gui.pages.train.run_view import RunView
from commonart_desktop.gui.pages.train.runs_panel import RunsPanel
from commonart_desktop.gui.pages.train.setup_panel import SetupPanel
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

PART = "train/part"  # in context.state
IMAGES, SETTINGS, RUNS = range(3)


class TrainPage(StagedPage):
    """``use_values`` (dict): a finished result is to be put into the form of the Make page."""

    use_values = Signal(object)

    def make(self, context: Context) -> Steps:
        self.setAcceptDrops(True)
        self._context = context
        self._shown = False
        self._pending: Run | None = None  # to be started, once the question about the queue is answered
        self.trainings = context.trainings
        yield
        self.dataset = DatasetPanel(context, in_turns=True)
        yield from self.dataset.making
        yield
        self.setup = SetupPanel(context)
        yield
        self.runs = RunsPanel(context, self.trainings)
        self.run = self.runs.run
        self.bar = QueueBar()
        yield
        self.parts: list[QToolButton] = []
        self.head = QWidget()
        head = QHBoxLayout(self.head, spacing=SPACE["s"])
        head.setContentsMargins(0, 0, 0, 0)
        title = QLabel(self.tr("Train"))
        title.setProperty("role", "title")
        head.addWidget(title)
        head.addSpacing(SPACE["l"])
        for n, text in enumerate((self.tr("Images"), self.tr("What to learn"), self.tr("Runs"))):
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
        for widget in (self.dataset, FormScroll(self.setup, widest=760), self.runs):
            self.stack.addWidget(widget)
        yield
        outer = QVBoxLayout(self)
        outer.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        outer.setSpacing(SPACE["m"])
        outer.addWidget(self.head)
        outer.addWidget(self.bar)
        outer.addWidget(self.stack, 1)
        self.dataset.changed.connect(self._update_hint)
        self.setup.changed.connect(self._update_hint)
        self.setup.config_wanted.connect(self._open_config)
        self.runs.counted.connect(self._on_counted)
        self.bar.answered.connect(lambda after_queue: self._answer(after_queue=after_queue))
        self.bar.dismissed.connect(self._dismiss)
        self.trainings.ended.connect(self._on_ended)
        self.run.use_wanted.connect(self._use)
        self.run.start_wanted.connect(self.start_run)
        self.show_part(min(RUNS, max(0, int(str(context.state.value(PART, "0")) or 0))))
        self._update_hint()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            self.trainings.refresh()
            self.setup.load_models()
            if not self.dataset.folder:
                self.dataset.restore()

    def keep(self) -> None:
        """Store drafts, sizes and the folder."""
        self._context.state.setValue(PART, str(self.stack.currentIndex()))
        self.runs.keep()
        if self._shown:
            self.setup.keep()
            self.dataset.keep()

    def busy(self) -> bool:
        """Whether a program is running for what is shown."""
        return self.dataset.busy() or self.trainings.busy() or self.run.busy()

    def shots(self) -> Iterator[str]:
        """The other parts, for the screenshots."""
        for part, name in ((SETTINGS, "settings"), (RUNS, "runs"), (IMAGES, "")):
            self.show_part(part)
            if name:
                yield name

    def show_part(self, part: int) -> None:
        """Show the images, what to learn, or the runs."""
        self.stack.setCurrentIndex(part)
        for n, button in enumerate(
            self.parts
        ):  # no exclusive group: with one, Qt removes the others from the Tab order
            button.setChecked(n == part)
        for widget in (self.start, self.hint):
            widget.setVisible(part != RUNS)  # there the run shown has its own main action

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(u.isLocalFile() for u in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = next((u.toLocalFile() for u in event.mimeData().urls() if u.isLocalFile()), "")
        if path:
            event.acceptProposedAction()
            self.show_part(IMAGES)
            self.dataset.set_folder(path)

    # starting -----------------------------------------------------------------------------------------------------

    def _update_hint(self) -> None:
        """Show beside the button why it cannot start yet."""
        if not self.dataset.folder:
            text = self.tr("Choose a folder of images first.")
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

    def _create_run(self) -> Run | None:
        """Write the configuration of what is in the fields into a folder of its own."""
        field = self.setup.problem()
        if field is not None:
            self.show_part(SETTINGS)
            field.setFocus()
            return None
        choices = self.setup.choices(self.dataset.folder, self.dataset.policy.value())
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
        """Write the configuration and start, or wait for earlier runs."""
        run = self._create_run()
        if run is not None:
            self.start_run(run)

    def start_run(self, run: Run) -> None:
        """Start a run, now or after earlier ones; asks first if the queue is working on the same device."""
        self._pending = run
        self._update_plan(run)
        self.trainings.add(run)
        self.runs.select(run)
        self.show_part(RUNS)
        if self.trainings.queue_busy(run):
            self.bar.show()
            self.bar.now.setFocus()
        else:
            self._answer(after_queue=False)

    def _update_plan(self, run: Run) -> None:
        """Read what the window needs from the configuration again, which may have been edited by hand."""
        try:
            data = tomllib.loads(read_config_text(run))
        except (CommonArtError, ValueError):
            return  # the trainer reports what is wrong with it
        values = {
            "result": data.get("name"),
            "device": (data.get("device") or {}).get("device") if isinstance(data.get("device"), dict) else None,
            "prompts": bool((data.get("previews") or {}).get("prompts"))
            if isinstance(data.get("previews"), dict)
            else False,
        }
        run.plan |= {k: v for k, v in values.items() if v is not None}

    def _answer(self, *, after_queue: bool) -> None:
        run, self._pending = self._pending, None
        self.bar.hide()
        if run is None:
            return
        try:
            self.trainings.enqueue(run, after_queue=after_queue)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _dismiss(self) -> None:
        self._pending = None
        self.bar.hide()
        self.trainings.refresh()

    def _open_config(self) -> None:
        run = self._create_run()
        if run is None:
            return
        self.trainings.refresh()
        self.runs.select(run)
        self.show_part(RUNS)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.config)))

    # the runs ---------------------------------------------------------------------------------------------------------

    def _on_counted(self, count: int) -> None:
        self.parts[RUNS].setText(self.tr("Runs ({count})").format(count=count) if count else self.tr("Runs"))

    def _on_ended(self, run: Run) -> None:
        """Install the result of a finished run, and offer to use it."""
        last: dict[str, Any] = run.last()
        if last.get("event") == "finished":
            self.run.installer.install(
                run,
                last,
                lambda path: self._context.notices.say(
                    self.tr("“{name}” is trained; the result is in {folder}.").format(
                        name=run.name, folder=str(Path(path).parent)
                    ),
                    "",
                    self.tr("Use for making images"),
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
