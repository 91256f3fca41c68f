"""The pictures to learn from: a folder, what is in it, what the licence check finds, and its records put right in place."""

from __future__ import annotations

import json
from collections import Counter
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
from commonart_desktop.gui.pages.train.dataset_tasks import PROGRAM, check_folder, edit_folder, read_folder
from commonart_desktop.gui.pages.train.findings_panel import FindingsPanel
from commonart_desktop.gui.pages.train.import_panel import ImportPanel
from commonart_desktop.gui.style.theme import ICON_SIZE, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError

RECENT, FOLDER, POLICY, SPLIT = "train/recent", "train/folder", "train/policy", "train/splitter"  # in context.state
EMPTY, IMPORT, CHECKED = range(3)  # of the stack


class DatasetPanel(StagedPage):
    """``changed`` when another folder, policy or outcome is there: ``folder``, ``policy``, ``passed`` (None: not known) and ``records``."""

    changed = Signal()

    def make(self, context: Context) -> Steps:  # type: ignore[override]
        self._context = context
        self.folder, self.passed, self.stale = "", None, False
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
        self.policy = QComboBox(accessibleName=self.tr("Policy"))
        for key, text in (
            ("commercial", self.tr("commercial use")),
            ("noncommercial", self.tr("non-commercial use")),
            ("file", self.tr("policy file…")),
        ):
            self.policy.addItem(text, key)
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
        self.sign = QLabel()
        self.trouble = FieldHint()
        self.imported = FieldHint("muted")  # what became of everything that the last import found
        yield
        yield from self._build()
        yield
        self._load_recent()
        self._tell_outcome()
        self._show_bar(False)
        self.recent.activated.connect(lambda n: self.set_folder(str(self.recent.itemData(n))))
        self.policy.activated.connect(self._on_policy)
        policy = str(context.state.value(POLICY, "commercial"))
        if policy not in ("commercial", "noncommercial"):
            self._add_policy(policy)
        self.policy.setCurrentIndex(max(0, self.policy.findData(policy)))
        self._last_policy = self.policy.currentIndex()
        split = context.state.value(SPLIT)
        if split is not None:
            self.found.splitter.restoreState(split)

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
        verdict.addWidget(self.sign)
        verdict.addWidget(self.outcome, 1)
        empty = QLabel(
            self.tr(
                "Choose a folder of pictures, or drop one here. The licence check says which may be learned from, and what is missing."
            ),
            wordWrap=True,
            alignment=Qt.AlignmentFlag.AlignCenter,
        )
        empty.setProperty("role", "muted")
        yield
        self.importer = ImportPanel()
        yield
        self.found = FindingsPanel()
        yield
        self.found.record.wanted.connect(self._edit)
        self.importer.wanted.connect(self._import)
        self.stack = QStackedWidget()
        for page in (empty, FormScroll(self.importer, widest=720), self.found):
            self.stack.addWidget(page)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["m"])
        whole.addLayout(top)
        whole.addLayout(second)
        whole.addWidget(self.trouble)
        whole.addLayout(verdict)
        whole.addWidget(self.contents)
        whole.addWidget(self.imported)
        whole.addWidget(self.stack, 1)

    def keep(self) -> None:
        self._context.state.setValue(SPLIT, self.found.splitter.saveState())
        self._context.state.setValue(FOLDER, self.folder)
        self._context.state.setValue(POLICY, self.policy_value())

    def busy(self) -> bool:
        return self._task is not None or self.found.picture.busy()

    # the folder ---------------------------------------------------------------------------------------------------

    def _load_recent(self) -> None:
        try:
            found = json.loads(str(self._context.state.value(RECENT, "[]")))
        except ValueError:
            found = []
        for one in found[:12]:
            self.recent.addItem(str(one), str(one))
        self.recent.setCurrentIndex(-1)
        self.recent.setPlaceholderText(self.tr("No folder chosen"))

    def restore(self) -> None:
        """The folder of the last time, when the page is first shown."""
        folder = str(self._context.state.value(FOLDER, ""))
        if folder and Path(folder).is_dir():
            self.set_folder(folder)

    def set_folder(self, folder: str) -> None:
        """Show what is in it; a folder, table or archive without records is offered for import."""
        self._cancel()
        self.folder, self.passed, self.report, self.records, self.stale = folder, None, {}, {}, False
        with QSignalBlocker(self.recent):
            known = [self.recent.itemData(n) for n in range(self.recent.count()) if self.recent.itemData(n) != folder]
            self.recent.clear()
            for one in [folder, *known][:12]:
                self.recent.addItem(str(one), str(one))
            self.recent.setCurrentIndex(0)
            self.recent.setToolTip(folder)
        self._context.state.setValue(RECENT, json.dumps([folder, *known][:12], ensure_ascii=False))
        self.found.show_findings(folder, [], {}, passed=False)
        self.trouble.tell("")
        self.imported.tell("")
        self._begin("read", lambda task: read_folder(task, folder), self._on_read)

    def _on_read(self, answer: dict[str, Any]) -> None:
        if answer["bare"]:
            self.importer.offer(self.folder)
            self.stack.setCurrentIndex(IMPORT)
            self._show_bar(False)
            self.contents.setText("")
            self._tell_outcome()
            self.changed.emit()
            return
        self._take_records(answer)
        self.stack.setCurrentIndex(CHECKED)
        self.run_check()

    def _take_records(self, answer: dict[str, Any]) -> None:
        self.records = answer["records"]
        rows = self.records.values()
        locale = QLocale()

        def most(key: str) -> str:
            counts = Counter(str(r.get(key) or "–") for r in rows).most_common(4)
            more = len({str(r.get(key) or "–") for r in rows}) - len(counts)
            return ", ".join(f"{name} {locale.toString(n)}" for name, n in counts) + (
                f", +{locale.toString(more)}" if more > 0 else ""
            )

        parts = [
            self.tr("{count} pictures").format(count=locale.toString(answer["total"])),
            self.tr("licences: {list}").format(list=most("license")),
            self.tr("creators: {list}").format(list=most("creator")),
            self.tr("captions: English {en}, Japanese {ja}").format(
                en=locale.toString(sum(1 for r in rows if r.get("text"))),
                ja=locale.toString(sum(1 for r in rows if r.get("text_ja"))),
            ),
        ]
        self.contents.setText("  ·  ".join(parts) if answer["total"] else "")

    def _choose(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a folder of pictures"), self.folder)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_folder)
        dialog.open()

    def _open(self) -> None:
        if self.folder:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self.folder))

    # the check ----------------------------------------------------------------------------------------------------

    def policy_value(self) -> str:
        """``commercial``, ``noncommercial`` or a file's path."""
        return str(self.policy.currentData())

    def _add_policy(self, path: str) -> None:
        self.policy.insertItem(2, Path(path).name, path)
        self.policy.setItemData(2, path, Qt.ItemDataRole.ToolTipRole)

    def _on_policy(self, index: int) -> None:
        if self.policy.itemData(index) != "file":
            self._last_policy = index
            if self.records:
                self.run_check()
            return
        self.policy.setCurrentIndex(self._last_policy)
        dialog = QFileDialog(self, self.tr("Choose a policy file"), self.folder, "TOML (*.toml)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.set_policy)
        dialog.open()

    def set_policy(self, path: str) -> None:
        """A policy of one's own."""
        if self.policy.findData(path) < 0:
            self._add_policy(path)
        self.policy.setCurrentIndex(self.policy.findData(path))
        self._on_policy(self.policy.currentIndex())

    def run_check(self) -> None:
        """Ask the gate, in a process."""
        if not self.folder or self.stack.currentIndex() != CHECKED:
            return
        folder, policy = self.folder, self.policy_value()
        self.passed = None
        self._begin("check", lambda task: check_folder(task, folder, policy), self._on_checked)

    def _on_checked(self, answer: dict[str, Any]) -> None:
        self.report, self.passed, self.stale = answer["report"], bool(answer["passed"]), False
        self.found.show_findings(self.folder, self.report["findings"], self.records, passed=self.passed)
        self._tell_outcome()
        self.changed.emit()

    def _tell_outcome(self) -> None:
        locale, name = QLocale(), ""
        if self.passed is None:
            text = self.tr("Changed since the check: check again.") if self.stale else ""
        else:
            name = "verify" if self.passed else "failed"
            counts = {
                "blocking": locale.toString(self.report["blocking"]),
                "warnings": locale.toString(self.report["warnings"]),
            }
            text = (
                self.tr("The check passed, with {warnings} warning(s).")
                if self.passed
                else self.tr("The check refuses this folder: {blocking} reason(s), {warnings} warning(s).")
            ).format(**counts)
        self.outcome.setText(text)
        self.outcome.setVisible(bool(text))
        self.sign.setVisible(bool(name))
        if name:
            self.sign.setPixmap(icon(name).pixmap(ICON_SIZE, ICON_SIZE))
        self.check.setText(self.tr("Check again") if self.report else self.tr("Check"))
        self.check.setShortcut("F5")  # a new text clears it

    # records ------------------------------------------------------------------------------------------------------

    def _edit(self, changes: list[dict[str, Any]]) -> None:
        folder = self.folder
        self._begin(
            "edit", lambda task: (edit_folder(task, folder, changes), read_folder(task, folder)), self._on_edited
        )

    def _on_edited(self, answer: tuple[dict[str, Any], dict[str, Any]]) -> None:
        self._take_records(answer[1])
        self.passed, self.stale = None, True
        self._tell_outcome()
        self.found.set_records(self.records)
        self.found.record.say(
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
            self.importer.trouble.tell("\n".join([self.tr("No picture was taken in."), *lines]))
            return
        self._context.notices.say(
            self.tr("{count} picture(s) taken in.").format(count=QLocale().toString(answer["added"]))
        )
        self.set_folder(answer["folder"])
        self.imported.tell("\n".join(lines))

    # work ---------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, work: Any, done: Any) -> None:
        self._cancel()
        self._kind = kind

        def finished(answer: Any) -> None:
            self._task = None
            self._show_bar(False)
            done(answer)

        self.trouble.tell("")
        self._task = Task(self, work, done=finished, failed=self._on_failed, progress=self._on_progress)
        self._show_bar(True)
        self._tell_outcome()
        self.changed.emit()

    def _on_failed(self, error: CommonArtError) -> None:
        self._task = None
        self._show_bar(False)
        if self._kind == "edit":
            self.found.record.complain(error)
        elif self._kind == "import":
            self.importer.complain(error)
        else:
            self.trouble.tell(" ".join(filter(None, sentence(error))))
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
        self._tell_outcome()
        self.changed.emit()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
