"""The models of this machine: what is here, what fits, what is missing, and where to get more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.models.detail import PROGRAM, ModelDetail
from commonart_desktop.gui.pages.models.download_panel import DownloadPanel
from commonart_desktop.gui.pages.models.model import NAME, ModelsModel
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError


def found_models(task: Task, added: list[str]) -> list[dict[str, Any]]:
    """What the engine finds by itself, then the folders that the user added."""
    rows: list[dict[str, Any]] = task.program(PROGRAM, ["list"])["models"]
    for folder in added:
        if any(row["path"] == folder for row in rows):
            continue
        row = {"name": folder.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1], "path": folder, "source": "added"}
        try:
            rows.append(row | task.program(PROGRAM, ["resolve", folder]) | {"ok": True, "problem": None})
        except CommonArtError as e:
            rows.append(row | {"ok": False, "problem": e.to_wire(), "parts": None, "own_side": None})
    return rows


class ModelsPage(StagedPage):
    """A list, and beside it all about one model or the form to get one. The list is read when the page is first shown."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self._task: Task | None = None
        self._read = False
        self._wanted = ""  # the model to select when the list has come
        self.model = ModelsModel(self)
        self.table = QTableView(
            accessibleName=self.tr("Models"),
            showGrid=False,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.SingleSelection,
            tabKeyNavigation=False,
            wordWrap=False,
        )
        self.table.setProperty("plain", True)
        self.table.setModel(self.model)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.selectionModel().currentRowChanged.connect(lambda now, _: self._show_row(now.row()))
        self.empty = label(
            self.tr("No model was found on this machine. Get one, or add a folder that holds one."), "muted"
        )
        self.get = QPushButton(icon("download"), self.tr("Get a model…"), clicked=self.show_get)
        self.add = QPushButton(icon("folder"), self.tr("Add folder…"), clicked=self._add)
        self.remove = QPushButton(
            self.tr("Forget folder"),
            toolTip=self.tr("Take this folder off the list; its files stay"),
            clicked=self._remove,
        )
        self.again = QToolButton(
            icon=icon("retry"),
            toolTip=self.tr("Look again (F5)"),
            accessibleName=self.tr("Look again"),
            shortcut="F5",
            clicked=self.refresh,
        )
        head = QHBoxLayout()
        head.addWidget(label(self.tr("Models"), "title"), 1)
        head.addWidget(self.again)
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for button in (self.get, self.add, self.remove):
            buttons.addWidget(button)
        buttons.addStretch()
        left = QWidget(minimumWidth=380)
        column = QVBoxLayout(left)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["s"], SPACE["l"])
        column.setSpacing(SPACE["m"])
        column.addLayout(head)
        column.addWidget(self.empty)
        column.addWidget(self.table, 1)
        column.addLayout(buttons)
        yield
        self.detail, self.panel = ModelDetail(context), DownloadPanel(context)
        yield
        self.right = QStackedWidget()
        for page in (self.detail, self.panel):
            self.right.addWidget(FormScroll(page))
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.right)
        self.splitter.setStretchFactor(1, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)
        self.detail.changed.connect(self.refresh)
        self.panel.closed.connect(lambda: self.right.setCurrentIndex(0))
        self.panel.fetched.connect(self._fetched)
        context.settings.changed.connect(self._on_settings)
        self.splitter.setSizes([520, 700])
        state = context.state.value("models/splitter")
        if state is not None:
            self.splitter.restoreState(state)
        self.empty.hide()
        self.remove.hide()

    def keep(self) -> None:
        """Sizes and the selection, for the next start."""
        self._context.state.setValue("models/splitter", self.splitter.saveState())
        row = self._current()
        if row is not None:
            self._context.state.setValue("models/selected", row["path"])

    def busy(self) -> bool:
        """Whether a program is at work for what is shown."""
        return not self._read or self._task is not None or self.detail.busy()

    def shots(self) -> Iterator[str]:
        """Further states, for the screenshots."""
        self.show_get()
        yield "get"

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._read:
            self._read = True
            self.refresh()

    # the list -----------------------------------------------------------------------------------------------------

    def folders(self) -> list[str]:
        """The folders that the user added."""
        try:
            found = json.loads(str(self._context.state.value("models/folders", "[]")))
            return [f for f in found if isinstance(f, str)]
        except (ValueError, TypeError):
            return []

    def refresh(self) -> None:
        """Read the list again, in a thread."""
        if self._task is not None:
            self._task.cancel()
        added = self.folders()
        self._task = Task(self, lambda task: found_models(task, added), done=self._show_list, failed=self._failed)

    def _failed(self, error: CommonArtError) -> None:
        self._task = None
        self._context.notices.complain(error)

    def _current(self) -> dict[str, Any] | None:
        row = self.table.currentIndex().row()
        return self.model.rows[row] if 0 <= row < len(self.model.rows) else None

    def _show_list(self, rows: list[dict[str, Any]]) -> None:
        self._task = None
        before = self._current()
        wanted = self._wanted or (before["path"] if before else str(self._context.state.value("models/selected", "")))
        self._wanted = ""
        self.model.set_rows(rows, self._context.settings.now.model)
        self.empty.setVisible(not rows)
        default = next((n for n, row in enumerate(rows) if self.model.is_default(row)), 0)
        at = self.model.row_of(wanted)
        if rows:
            self.table.setCurrentIndex(self.model.index(at if at >= 0 else default, NAME))
        else:
            self._show_row(-1)

    def _show_row(self, number: int) -> None:
        row = self.model.rows[number] if 0 <= number < len(self.model.rows) else None
        self.remove.setVisible(bool(row and row["source"] == "added"))
        self.detail.show_model(row)
        if row is not None:
            self.right.setCurrentIndex(0)

    def _on_settings(self) -> None:
        self.model.set_default(self._context.settings.now.model)

    # more models --------------------------------------------------------------------------------------------------

    def _add(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Add a model folder"))
        if folder:
            self.add_folder(folder)

    def add_folder(self, folder: str) -> None:
        """Show a folder's model too, from now on."""
        self._keep_folders([f for f in self.folders() if f != folder] + [folder])
        self._wanted = folder
        self.refresh()

    def _keep_folders(self, folders: list[str]) -> None:
        self._context.state.setValue("models/folders", json.dumps(folders, ensure_ascii=False))

    def _remove(self) -> None:
        row = self._current()
        if row is None or row["source"] != "added":
            return
        path, before = row["path"], self.folders()
        self._keep_folders([f for f in before if f != path])
        self.refresh()
        self._context.notices.say(
            self.tr("{name} is no longer listed.").format(name=row["name"]),
            "",
            self.tr("Undo"),
            lambda: self._undo(path),
        )

    def _undo(self, path: str) -> None:
        if isValid(self):  # the notice may outlive this page
            self.add_folder(path)

    def show_get(self) -> None:
        """The form to fetch a model."""
        self.right.setCurrentIndex(1)
        self.panel.model.setFocus()

    def _fetched(self, folder: str) -> None:
        self._wanted = folder
        self.right.setCurrentIndex(0)
        self._context.notices.say(self.tr("The model is here."))
        self.refresh()
