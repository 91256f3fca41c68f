"""The images to learn from: a folder, its contents, the findings of the licence check, and an editor of its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, QSignalBlocker, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.train.dataset_summary import DatasetTexts
from commonart_desktop.gui.pages.train.dataset_tasks import PROGRAM, check_folder, edit_folder, read_folder
from commonart_desktop.gui.pages.train.findings_panel import FindingsPanel
from commonart_desktop.gui.pages.train.import_panel import ImportPanel
from commonart_desktop.gui.pages.train.policy_field import PolicyField
from commonart_desktop.gui.style.theme import ICON_SIZE, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

RECENT, FOLDER, POLICY, SPLIT = "train/recent", "train/folder", "train/policy", "train/splitter"  # in context.state
EMPTY, IMPORT, CHECKED = range(3)  # of the stack


class DatasetPanel(StagedPage):
    """``changed`` with the folder, the policy or the outcome: see ``folder``, ``policy``, ``passed`` and ``records``."""

    changed = Signal()

    def make(self, context: Context) -> Steps:
        self._context = context
        self._texts = DatasetTexts()
        self.folder, self.stale = "", False
        self.passed: bool | None = None  # the outcome of the check; None: not known
        self.records: dict[str, dict[str, Any]] = {}
        self.report: dict[str, Any] = {}
        self._task: Task | None = None
        self._kind = ""  # of the task: read, check, edit, import
        self.recent = QComboBox(
            accessibleName=self.tr("Dataset folder"),
            minimumContentsLength=18,
            sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon,
        )
        self.choose = QPushButton(
            icon("folder"),
            self.tr("Choose folder…"),
            toolTip=self.tr("Choose folder… (Ctrl+O)"),
            shortcut="Ctrl+O",
            clicked=self._choose,
        )
        self.open = QToolButton(
            icon=icon("folder"),
            accessibleName=self.tr("Open the folder"),
            toolTip=self.tr("Open the folder"),
            clicked=self._open,
        )
        self.policy = PolicyField(str(context.state.value(POLICY, "commercial")), lambda: self.folder)
        self.check = QPushButton(
            icon("verify"),
            self.tr("Check"),
            toolTip=self.tr("Check the licences (F5)"),
            shortcut="F5",
            clicked=self.run_check,
        )
        self.stop = QPushButton(icon("stop"), self.tr("Stop"), clicked=self._stop)
        self.bar = QProgressBar(textVisible=False)
        self.contents = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.contents.setProperty("role", "muted")
        self.outcome = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.mark = QLabel()
        self.problem = FieldHint()
        self.imported = FieldHint("muted")  # the account of the last import
        yield
        yield from self._build()
        yield
        self._load_recent()
        self._show_outcome()
        self._show_bar(False)
        self.recent.activated.connect(lambda n: self.set_folder(str(self.recent.itemData(n))))
        self.policy.chosen.connect(self._on_policy)
        split = context.state.value(SPLIT)
        if split is not None:
            self.findings.splitter.restoreState(split)

    def _build(self) -> Steps:
        top = QHBoxLayout(spacing=SPACE["s"])
        for widget, stretch in ((self.recent, 1), (self.choose, 0), (self.open, 0)):
            top.addWidget(widget, stretch)
        second = QHBoxLayout(spacing=SPACE["s"])
        second.addWidget(QLabel(self.tr("Allowed for")))
        for widget in (self.policy, self.check, self.stop):
            second.addWidget(widget)
        second.addWidget(self.bar, 1)
        second.addStretch()
        verdict = QHBoxLayout(spacing=SPACE["s"])
        verdict.addWidget(self.mark)
        verdict.addWidget(self.outcome, 1)
        empty = QLabel(
            self.tr(
                "Choose a folder of images, or drop one here. The licence check says which may be learned from, and what "
                "is missing."
            ),
            wordWrap=True,
            alignment=Qt.AlignmentFlag.AlignCenter,
        )
        empty.setProperty("role", "muted")
        yield
        self.importer = ImportPanel()
        yield
        self.findings = FindingsPanel()
        yield
        self.findings.record.wanted.connect(self._edit)
        self.importer.wanted.connect(self._import)
        self.stack = QStackedWidget()
        for page in (empty, FormScroll(self.importer, widest=720), self.findings):
            self.stack.addWidget(page)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(SPACE["m"])
        outer.addLayout(top)
        outer.addLayout(second)
        outer.addWidget(self.problem)
        outer.addLayout(verdict)
        outer.addWidget(self.contents)
        outer.addWidget(self.imported)
        outer.addWidget(self.stack, 1)

    def keep(self) -> None:
        self._context.state.setValue(SPLIT, self.findings.splitter.saveState())
        self._context.state.setValue(FOLDER, self.folder)
        self._context.state.setValue(POLICY, self.policy.value())

    def busy(self) -> bool:
        return self._task is not None or self.findings.picture.busy()

    # the folder ---------------------------------------------------------------------------------------------------

    def _load_recent(self) -> None:
        try:
            folders = json.loads(str(self._context.state.value(RECENT, "[]")))
        except ValueError:
            folders = []
        for one in folders[:12]:
            self.recent.addItem(str(one), str(one))
        self.recent.setCurrentIndex(-1)
        self.recent.setPlaceholderText(self.tr("No folder chosen"))

    def restore(self) -> None:
        """Open the folder of the last session, when the page is first shown."""
        folder = str(self._context.state.value(FOLDER, ""))
        if folder and Path(folder).is_dir():
            self.set_folder(folder)

    def set_folder(self, folder: str) -> None:
        """Show a dataset; a folder, table or archive without records is offered for import."""
        self._cancel()
        self.folder, self.passed, self.report, self.records, self.stale = folder, None, {}, {}, False
        with QSignalBlocker(self.recent):
            others = [self.recent.itemData(n) for n in range(self.recent.count()) if self.recent.itemData(n) != folder]
            self.recent.clear()
            for one in [folder, *others][:12]:
                self.recent.addItem(str(one), str(one))
            self.recent.setCurrentIndex(0)
            self.recent.setToolTip(folder)
        self._context.state.setValue(RECENT, json.dumps([folder, *others][:12], ensure_ascii=False))
        self.findings.show_findings(folder, [], {}, passed=False)
        self.problem.tell("")
        self.imported.tell("")
        self._begin("read", lambda task: read_folder(task, folder), self._on_read)

    def _on_read(self, answer: dict[str, Any]) -> None:
        if answer["bare"]:
            self.importer.offer(self.folder)
            self.stack.setCurrentIndex(IMPORT)
            self._show_bar(False)
            self.contents.setText("")
            self._show_outcome()
            self.changed.emit()
            return
        self._take_records(answer)
        self.stack.setCurrentIndex(CHECKED)
        self.run_check()

    def _take_records(self, answer: dict[str, Any]) -> None:
        self.records = answer["records"]
        self.contents.setText(self._texts.contents(self.records.values(), answer["total"]))

    def _choose(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a folder of images"), self.folder)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_folder)
        dialog.open()

    def _open(self) -> None:
        if self.folder:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder))

    # the check ----------------------------------------------------------------------------------------------------

    def _on_policy(self) -> None:
        if self.records:
            self.run_check()

    def run_check(self) -> None:
        """Run the licence check, in a process."""
        if not self.folder or self.stack.currentIndex() != CHECKED:
            return
        folder, policy = self.folder, self.policy.value()
        self.passed = None
        self._begin("check", lambda task: check_folder(task, folder, policy), self._on_checked)

    def _on_checked(self, answer: dict[str, Any]) -> None:
        self.report, self.passed, self.stale = answer["report"], bool(answer["passed"]), False
        self.findings.show_findings(self.folder, self.report["findings"], self.records, passed=self.passed)
        self._show_outcome()
        self.changed.emit()

    def _show_outcome(self) -> None:
        text = self._texts.outcome(self.passed, self.report, stale=self.stale)
        name = "" if self.passed is None else "verify" if self.passed else "failed"
        self.outcome.setText(text)
        self.outcome.setVisible(bool(text))
        self.mark.setVisible(bool(name))
        if name:
            self.mark.setPixmap(icon(name).pixmap(ICON_SIZE, ICON_SIZE))
        self.check.setText(self.tr("Check again") if self.report else self.tr("Check"))
        self.check.setShortcut("F5")  # setting a text clears it

    # records ------------------------------------------------------------------------------------------------------

    def _edit(self, changes: list[dict[str, Any]]) -> None:
        folder = self.folder
        self._begin(
            "edit", lambda task: (edit_folder(task, folder, changes), read_folder(task, folder)), self._on_edited
        )

    def _on_edited(self, answer: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self._take_records(answer[1])
        self.passed, self.stale = None, True
        self._show_outcome()
        self.findings.set_records(self.records)
        self.findings.record.say(
            self.tr("Saved: {count} record(s). Check again to see what is left.").format(
                count=QLocale().toString(sum(answer[0][k] for k in ("changed", "added", "removed")))
            )
        )
        self.changed.emit()

    def _import(self, arguments: list[str]) -> None:
        self._begin(
            "import",
            lambda task: task.program(PROGRAM, ["import", *arguments]) | {"folder": arguments[-1]},
            self._on_imported,
        )

    def _on_imported(self, answer: dict[str, Any]) -> None:
        lines = self.importer.account(answer)
        if not answer["added"] + answer["already"]:
            self.importer.trouble.tell("\n".join([self.tr("No image was imported."), *lines]))
            return
        self._context.notices.say(
            self.tr("{count} image(s) imported.").format(count=QLocale().toString(answer["added"]))
        )
        self.set_folder(answer["folder"])
        self.imported.tell("\n".join(lines))

    # tasks --------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, work: Any, done: Any) -> None:
        self._cancel()
        self._kind = kind

        def finished(answer: Any) -> None:
            self._task = None
            self._show_bar(False)
            done(answer)

        self.problem.tell("")
        self._task = Task(self, work, done=finished, failed=self._on_failed, progress=self._on_progress)
        self._show_bar(True)
        self._show_outcome()
        self.changed.emit()

    def _on_failed(self, error: CommonArtError) -> None:
        self._task = None
        self._show_bar(False)
        if self._kind == "edit":
            self.findings.record.complain(error)
        elif self._kind == "import":
            self.importer.complain(error)
        else:
            self.problem.tell(" ".join(filter(None, sentence(error))))
        self.changed.emit()

    def _on_progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _show_bar(self, on: bool) -> None:
        self.bar.setRange(0, 0)
        for widget in (self.bar, self.stop):
            widget.setVisible(on)
        self.check.setVisible(not on)
        self.check.setEnabled(bool(self.folder) and self.stack.currentIndex() == CHECKED)
        self.open.setEnabled(bool(self.folder))

    def _stop(self) -> None:
        self._cancel()
        self._show_bar(False)
        self._show_outcome()
        self.changed.emit()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
