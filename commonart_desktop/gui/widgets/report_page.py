"""A page with a form on the left, and on the right an introduction, the run in progress, or its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task, pending_tasks
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.report_view import ReportView
from commonart_desktop.gui.widgets.run_view import RequestRun, RunView
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError


class ReportForm(StagedPage):
    """The left side: what is to be run. ``changed`` when something was chosen or became known."""

    changed = Signal()

    DRAFT: ClassVar[str]  # key in context.state of the fields as JSON
    _context: Context

    def read_draft(self) -> dict[str, Any]:
        """What ``store_draft`` stored; empty if it cannot be read."""
        try:
            draft = json.loads(str(self._context.state.value(self.DRAFT, "")))
        except ValueError:
            draft = None
        return draft if isinstance(draft, dict) else {}

    def store_draft(self, draft: dict[str, Any]) -> None:
        self._context.state.setValue(self.DRAFT, json.dumps(draft, ensure_ascii=False))

    def keep(self) -> None:
        """Store what is chosen in ``context.state``."""
        raise NotImplementedError

    def request(self) -> Any:
        """What the fields say; it has a ``name`` for people."""
        raise NotImplementedError

    def first_problem(self) -> QWidget | None:
        """The field to correct before a run can start; what is wrong is shown under it."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether everything needed is known and right."""
        raise NotImplementedError

    def busy(self) -> bool:
        """Whether something chosen is still being checked."""
        return False

    def validate(self) -> bool:
        """The last check before a start; shows what is wrong under its field."""
        return True

    def show_error(self, error: CommonArtError) -> bool:
        """Show the error of a run under the field that it is about; False if there is no such field."""
        return False

    def on_run_ended(self) -> None:
        """Check again what a run may have changed."""


@dataclass(frozen=True)
class ReportPageTexts:
    """The sentences of a page in the user's language; in tool tips ``{keys}`` is the shortcut, elsewhere see the names."""

    start: str
    start_tip: str
    open: str
    open_tip: str
    stop_tip: str
    empty: str
    introduction: tuple[str, ...]
    open_title: str
    open_filter: str
    not_a_report: str  # {path}
    finished: str  # {model}
    failed: str  # {model}
    stopped: str  # {model}


class ReportPage(StagedPage):
    """A run goes on while other pages are shown, and when the pages are rebuilt; it ends with the program."""

    opened = Signal()  # a report is shown

    NAME: ClassVar[str]  # of the page, as in pages.py; prefix of its keys in context.state
    RUN: ClassVar[type[RequestRun]]
    form: ReportForm
    running: RunView
    report: ReportView

    # for subclasses ---------------------------------------------------------------------------------------------------

    def create_parts(self, context: Context) -> Steps:
        """Set ``form``, ``running`` and ``report``."""
        raise NotImplementedError

    def texts(self) -> ReportPageTexts:
        raise NotImplementedError

    def report_area(self) -> QWidget:
        """What holds the report view."""
        return FormScroll(self.report, widest=900)

    def reports_folder(self) -> Path:
        """Where the file dialog starts."""
        return self._context.out

    def read_report(self, path: str) -> Any:
        """For a background thread. Raises CommonArtError; returns None where it is no report at all."""
        raise NotImplementedError

    def show_run(self, run: Any) -> None:
        """Let ``running`` follow a run."""
        raise NotImplementedError

    def show_report(self, report: Any, run: Any = None) -> None:
        """Fill ``report`` with that of a run, or with one that was opened."""
        raise NotImplementedError

    def show_failure(self, run: Any) -> None:
        """Fill ``report`` with the error of a run."""
        raise NotImplementedError

    def focus_after(self, run: Any) -> QWidget:
        """What gets the focus when a run has ended."""
        raise NotImplementedError

    # building ---------------------------------------------------------------------------------------------------------

    def make(self, context: Context) -> Steps:
        self._context = context
        self._texts = self.texts()
        self.run: Any = None
        self._reading = False
        yield from self.create_parts(context)
        yield
        texts = self._texts
        self.go, self.open = QPushButton(texts.start), QPushButton(texts.open)
        self.go.setProperty("main", True)
        for button, keys, tip, command in (
            (self.go, "Ctrl+Return", texts.start_tip, self.start),
            (self.open, "Ctrl+O", texts.open_tip, self._choose_report),
            (self.running.stop, "Ctrl+.", texts.stop_tip, self.stop),
        ):
            button.setProperty(KEYS, keys)
            button.setToolTip(tip.format(keys=native(keys)))
            button.clicked.connect(command)
            for sequence in (keys, "Ctrl+Enter") if button is self.go else (keys,):
                QShortcut(QKeySequence(sequence), self, autoRepeat=False).activated.connect(command)
        self.form.changed.connect(self._update_buttons)
        self.report.info.connect(context.notices.say)
        yield
        yield from self._lay_out()
        yield
        state = context.state.value(f"{self.NAME}/splitter")
        if state is not None:
            self.splitter.restoreState(state)
        self.resume()
        self._update_buttons()

    def _lay_out(self) -> Steps:
        self._scroll = FormScroll(self.form, widest=520)
        actions = QHBoxLayout(spacing=SPACE["s"])
        actions.setContentsMargins(SPACE["l"], SPACE["s"], SPACE["l"], SPACE["m"])
        actions.addWidget(self.go, 1)
        actions.addWidget(self.open)
        left = QWidget(minimumWidth=360)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._scroll, 1)
        column.addLayout(actions)
        yield
        empty, self.message = QWidget(), label(role="muted")
        about = QVBoxLayout(empty)
        about.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        about.setSpacing(SPACE["s"])
        about.addWidget(label(self._texts.empty, "section"))
        for text in self._texts.introduction:
            about.addWidget(label(text, "muted"))
        about.addSpacing(SPACE["s"])
        about.addWidget(self.message)
        about.addStretch()
        yield
        self.stack = QStackedWidget()
        self._areas: dict[str, QWidget] = {
            "empty": FormScroll(empty, widest=900),
            "running": FormScroll(self.running, widest=900),
            "report": self.report_area(),
        }
        for area in self._areas.values():
            self.stack.addWidget(area)
        yield
        self.splitter = QSplitter(childrenCollapsible=False, handleWidth=SPACE["xs"])
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.stack)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([380, 800])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.splitter)

    def _show(self, name: str) -> None:
        area = self._areas[name]
        self.stack.setCurrentWidget(area)
        if isinstance(area, FormScroll):
            area.verticalScrollBar().setValue(0)
        if name == "report":
            self.report.fit()

    def shown(self) -> str:
        """Which of the three is on the right: empty, running or report."""
        return next(name for name, area in self._areas.items() if area is self.stack.currentWidget())

    def keep(self) -> None:
        """Store the fields and the sizes."""
        self.form.keep()
        self._context.state.setValue(f"{self.NAME}/splitter", self.splitter.saveState())

    def busy(self) -> bool:
        """Whether something is still being read, for the screenshots."""
        return pending_tasks(self) > 0 or self.form.busy() or self._reading or self.report.pending()

    # running ----------------------------------------------------------------------------------------------------------

    def _update_buttons(self) -> None:
        self.go.setEnabled(self.run is None and self.form.ready())
        self.open.setEnabled(self.run is None)

    def start(self) -> None:
        """Start a run if all fields are right; otherwise focus the first one that is not."""
        if self.run is not None:
            return
        if not self.form.ready():
            field = self.form.first_problem()
            if field is not None:
                field.setFocus()
            return
        if not self.form.validate():
            return
        self.RUN.forget(self._context.notices)
        self.form.keep()
        self._follow(self.RUN(self._context.notices, self.form.request()))
        self.running.stop.setFocus()

    def stop(self) -> None:
        if self.run is not None:
            self.run.stop()

    def resume(self) -> None:
        """Show a run that outlived the pages of before, in progress or over."""
        run = self.RUN.last(self._context.notices)
        self._show("empty")
        if run is not None and run.running:
            self._follow(run)
        elif run is not None:
            self._show_end(run)

    def _follow(self, run: RequestRun) -> None:
        self.run = run
        run.over.connect(self._on_over)
        self.show_run(run)
        self.form.setEnabled(False)
        self._show("running")
        self._update_buttons()

    def _on_over(self) -> None:
        run, self.run = self.run, None
        self.form.setEnabled(True)
        self._show_end(run)
        self.form.on_run_ended()
        self._update_buttons()
        ended = run.outcome is not None or run.error is not None
        notices = self._context.notices
        if not ended:
            notices.say(self.message.text())
        if self.isVisible():
            if run.error is None or not self.form.show_error(run.error):
                self.focus_after(run).setFocus()
        elif ended and not run.stopping:
            text = self._texts.finished if run.error is None else self._texts.failed
            notices.say(
                text.format(model=run.request.name), "", self.tr("Show"), lambda: self._context.go_to(self.NAME)
            )

    def _show_end(self, run: Any) -> None:
        """Show the result of a run that is over."""
        if run.outcome is not None:
            self.show_report(run.outcome, run)
            self._show("report")
        elif run.error is not None:
            self.show_failure(run)
            self._show("report")
        else:
            self.message.setText(self._texts.stopped.format(model=run.request.name))
            self._show("empty")

    # reports ----------------------------------------------------------------------------------------------------------

    def _choose_report(self) -> None:
        if self.run is not None:
            return
        dialog = QFileDialog(self, self._texts.open_title, str(self.reports_folder()), self._texts.open_filter)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.open_report)
        dialog.open()

    def open_report(self, path: str) -> None:
        """Show the report in a file."""
        self._reading = True
        Task(
            self,
            lambda task: self.read_report(path),
            done=lambda report: self._on_read(path, report),
            failed=self._on_unread,
        )

    def _on_read(self, path: str, report: Any) -> None:
        self._reading = False
        if self.run is not None:
            return
        if report is None:
            self._context.notices.say(self._texts.not_a_report.format(path=path))
            return
        self.show_report(report)
        self._show("report")
        self.opened.emit()

    def _on_unread(self, error: CommonArtError) -> None:
        self._reading = False
        self._context.notices.complain(error)
