"""The Verify page: images that are dropped on it are checked in the background and explained in plain language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QCoreApplication, QLocale, Qt
from PySide6.QtGui import (
    QAction,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QGuiApplication,
    QKeySequence,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.picture_text import ENDINGS
from commonart_desktop.core.verify_text import result
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.images.thumbnails import Thumbnails
from commonart_desktop.gui.pages.verify.detail import VerifyDetail
from commonart_desktop.gui.pages.verify.drop_area import DropArea
from commonart_desktop.gui.pages.verify.job import WANTED, Checker, Gathered
from commonart_desktop.gui.pages.verify.list_view import VerifyList
from commonart_desktop.gui.pages.verify.lora_folders import LoraFolders
from commonart_desktop.gui.pages.verify.model import VerifyModel
from commonart_desktop.gui.pages.verify.report_export import Reports, paths_of
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.paths import home


def _stop(thumbnails: Thumbnails, *_: object) -> None:
    thumbnails.stop()


class VerifyPage(StagedPage):
    """A list of images and the details of the selected one."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self.setAcceptDrops(True)
        self.thumbnails = Thumbnails(home() / "cache" / "thumbnails")
        stop = partial(_stop, self.thumbnails)  # keeps it alive: its threads must end before it is destroyed
        self.destroyed.connect(stop)
        if (app := QCoreApplication.instance()) is not None:
            app.aboutToQuit.connect(stop)
        self.model = VerifyModel(self)
        self.loras = LoraFolders(context.state)
        self.checker = Checker(self, self.loras.folders)
        self._select = ""  # the file to select as soon as it is listed
        self.out = Reports(context, self)
        yield
        yield from self._build()
        self._connect()
        yield
        if (sizes := context.state.value("verify/splitter")) is not None:
            self.splitter.restoreState(sizes)
        self._show_state()

    # building ---------------------------------------------------------------------------------------------------------

    def _build(self) -> Steps:
        self.empty = DropArea()
        yield
        self.list = VerifyList(self.model, self.thumbnails)
        self.list.setAccessibleName(self.tr("Checked images"))
        yield
        self.detail = VerifyDetail()
        yield
        self.choose = self._button("", self.tr("Choose images…"), "Ctrl+O", self._choose_files)
        self.choose.setProperty("main", True)
        self.folder = self._button("folder", self.tr("Choose a folder…"), "Ctrl+Shift+O", self._choose_folder)
        self.again = QToolButton(
            icon=icon("retry"),
            accessibleName=self.tr("Check again"),
            toolTip=self.tr("Check again") + f" ({native('F5')})",
            clicked=self.check_again,
        )
        self.again.setProperty(KEYS, "F5")
        self._key("F5", self.check_again)
        self.only = QCheckBox(self.tr("Only those not intact"))
        self.copy = self._button("copy", self.tr("Copy report"), "Ctrl+Shift+C", self.copy_report)
        self.save = self._button("download", self.tr("Save report…"), "Ctrl+S", self._choose_report)
        self.clear = QPushButton(
            self.tr("Clear the list"),
            toolTip=self.tr("The images themselves stay where they are"),
            clicked=self.clear_list,
        )
        self.summary, self.doing = label(role="muted"), label(role="muted")
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        self.stop = QPushButton(icon("stop"), self.tr("Stop"), clicked=self.checker.stop)
        yield
        left = QWidget(minimumWidth=340)
        column = QVBoxLayout(left)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["s"], SPACE["l"])
        column.setSpacing(SPACE["s"])
        column.addLayout(self._line(label(self.tr("Verify"), "title"), None, self.again))
        column.addLayout(self._line(self.choose, self.folder, None))
        column.addLayout(self._line(self.only, None, self.loras))
        column.addWidget(self.list, 1)
        column.addWidget(self.summary)
        self.at_work = QWidget()
        row = QVBoxLayout(self.at_work)
        row.setContentsMargins(0, 0, 0, 0)
        row.addLayout(self._line(self.doing, None, self.stop))
        row.addWidget(self.bar)
        column.addWidget(self.at_work)
        column.addLayout(self._line(self.copy, self.save, None))
        column.addLayout(self._line(self.clear, None))
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(FormScroll(self.detail, widest=860))
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([420, 700])
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.splitter)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.stack)

    def _button(self, name: str, text: str, keys: str, do: Any) -> QPushButton:
        button: QPushButton = QPushButton(text, clicked=do, toolTip=f"{text.rstrip('…')} ({native(keys)})")
        if name:
            button.setIcon(icon(name))
        button.setProperty(KEYS, keys)
        self._key(keys, do)
        return button

    def _key(self, keys: str | QKeySequence.StandardKey, do: Any, where: QWidget | None = None) -> None:
        context = Qt.ShortcutContext.WidgetWithChildrenShortcut
        action = QAction(where or self, shortcut=QKeySequence(keys), shortcutContext=context)
        action.triggered.connect(lambda: do())
        (where or self).addAction(action)

    @staticmethod
    def _line(*widgets: QWidget | None) -> QHBoxLayout:
        """Widgets side by side; None for a stretch."""
        row: QHBoxLayout = QHBoxLayout(spacing=SPACE["s"])
        for widget in widgets:
            row.addStretch() if widget is None else row.addWidget(widget)
        return row

    def _connect(self) -> None:
        self.empty.choose.clicked.connect(self._choose_files)
        self.empty.folder.clicked.connect(self._choose_folder)
        self.empty.choose.setToolTip(self.choose.toolTip())
        self._key(QKeySequence.StandardKey.Paste, self.paste)
        self._key(QKeySequence.StandardKey.Copy, self.copy_report, self.list)
        self._key(QKeySequence.StandardKey.Copy, self.detail.tree.copy_current, self.detail.tree)
        self._key(QKeySequence.StandardKey.Delete, self.forget_selected, self.list)
        self.list.setToolTip("")
        self.only.toggled.connect(self._narrow)
        self.loras.changed.connect(self._on_loras)
        self.detail.add_loras.connect(self.loras.ask)
        self.list.selectionModel().currentChanged.connect(lambda *_: self._show_current())
        self.checker.gathered.connect(self._on_gathered)
        self.checker.found.connect(self._on_found)
        self.checker.progress.connect(self._on_progress)
        self.checker.ended.connect(self._on_ended)
        self.checker.failed.connect(self._context.notices.complain)

    def keep(self) -> None:
        """Save the sizes."""
        self._context.state.setValue("verify/splitter", self.splitter.saveState())

    def busy(self) -> bool:
        """Whether images are being checked."""
        return self.checker.busy or self.out.busy

    def shots(self) -> Iterator[str]:
        """Further states, for the screenshots: the images of the output folder, checked."""
        self.add([str(self._context.out)])
        while self.busy():
            QCoreApplication.processEvents()
        yield "checked"
        self.clear_list()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        wanted = str(self._context.state.value(WANTED, "") or "")
        if wanted:
            self._context.state.remove(WANTED)
            self._select = wanted
            self.add([wanted])

    # adding files ---------------------------------------------------------------------------------------------------

    def add(self, paths: Sequence[str]) -> None:
        """Check these files, and the images in these folders."""
        if paths:
            self.checker.gather(list(paths))
            self._show_state()

    def paste(self) -> None:
        """Add files or full paths from the clipboard."""
        found = paths_of(QGuiApplication.clipboard().mimeData())
        if found:
            self.add(found)
        else:
            self._context.notices.say(self.tr("The clipboard holds no files and no full paths."))

    def _choose_files(self) -> None:
        kinds, every = self.tr("Images") + f" ({' '.join('*' + e for e in ENDINGS)})", self.tr("All files")
        found, _ = QFileDialog.getOpenFileNames(
            self, self.tr("Choose images"), str(self._context.out), f"{kinds};;{every} (*)"
        )
        self.add(found)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Choose a folder of images"), str(self._context.out))
        self.add([folder] if folder else [])

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls() and paths_of(event.mimeData()):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
            self.empty.set_hot(True)

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.empty.set_hot(False)

    def dropEvent(self, event: QDropEvent) -> None:
        self.empty.set_hot(False)
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        self.add(paths_of(event.mimeData()))

    def _on_gathered(self, found: Gathered) -> None:
        if found.loras:
            self.loras.put([*self.loras.folders(), *found.loras])
            self._context.notices.say(
                self.tr("LoRAs are looked for in {folder} too.").format(folder=", ".join(found.loras))
            )
        elif not found.files:
            self._context.notices.say(self.tr("There is no PNG, WebP or JPEG image there."))
        rows = self.model.add(found.files)
        if rows and (self._select or not self.list.currentIndex().isValid()):
            self.list.go_to_row(self.model.row_of(self._select) if self.model.row_of(self._select) >= 0 else rows[0])
            self._select = ""
        self.checker.check(found.files)
        self._show_state()
        self._show_current()

    def _on_loras(self) -> None:
        """Check images again whose chain has gaps or used a folder that was removed."""
        self.checker.check([row.file for row in self.model.rows if row.report and row.report["chain"]])
        self._show_state()

    def check_again(self) -> None:
        """Check all files of the list again."""
        self.checker.stop()
        self.add([row.file.path for row in self.model.rows])

    # results ---------------------------------------------------------------------------------------------------------

    def _on_found(self, reports: list[dict[str, Any]]) -> None:
        self.model.tell(reports)
        self._show_state()
        row = self._current_row()
        if row is not None and any(r["path"] == row.file.path for r in reports):
            self._show_current()

    def _on_progress(self, done: int, count: int) -> None:
        locale = QLocale()
        self.doing.setText(
            self.tr("Checked {done} of {count}").format(done=locale.toString(done), count=locale.toString(count))
        )
        self.bar.setRange(0, count)
        self.bar.setValue(done)

    def _on_ended(self, complete: bool) -> None:
        self._show_state()
        if complete and self.model.rows and not self.isVisible():
            self._context.notices.say(
                result(self.model.reports()), "", self.tr("Show"), lambda: self._context.go_to("verify")
            )

    def _current_row(self) -> Any:
        row = self.list.shown.mapToSource(self.list.currentIndex()).row()
        return self.model.rows[row] if 0 <= row < len(self.model.rows) else None

    def _show_current(self) -> None:
        row = self._current_row()
        self.detail.show_report(row.report if row else None, row.file.path if row else "")

    def _show_state(self) -> None:
        """Update the visible widgets and the enabled actions."""
        reports, busy = self.model.reports(), self.checker.busy
        self.stack.setCurrentWidget(self.splitter if self.model.rows or busy else self.empty)
        self.at_work.setVisible(busy)
        if busy and not reports and not self.model.rows:
            self.doing.setText(self.tr("Looking for images…"))
            self.bar.setRange(0, 1)
            self.bar.setValue(0)
        waiting = len(self.model.rows) - len(reports)
        parts = [result(reports)] if reports else []
        if waiting and not busy:
            parts.append(self.tr("{count} are not checked.").format(count=QLocale().toString(waiting)))
        self.summary.setText(" ".join(parts))
        for button in (self.copy, self.save):
            button.setEnabled(bool(reports))
        self.again.setEnabled(bool(self.model.rows))

    def _narrow(self, on: bool) -> None:
        self.list.narrow(on)
        if not self.list.currentIndex().isValid() and self.list.shown.rowCount():
            self.list.setCurrentIndex(self.list.shown.index(0, 0))
        self._show_current()

    # commands -------------------------------------------------------------------------------------------------------

    def forget_selected(self) -> None:
        """Remove the selected images from the list; the files stay."""
        rows = self.list.rows()
        if rows:
            self.checker.forget(self.model.forget(rows))
            self._show_state()
            self._show_current()

    def clear_list(self) -> None:
        """Clear the list."""
        self.checker.stop()
        self.model.forget(range(len(self.model.rows)))
        self.only.setChecked(False)
        self._show_state()
        self._show_current()

    def copy_report(self) -> None:
        """Copy the reports of the selected images, or of all, as text."""
        self.out.copy(self.model.reports(self.list.rows()) or self.model.reports())

    def _choose_report(self) -> None:
        if not self.save.isEnabled():
            return
        path, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save report"), str(self._context.out / "verify.json"), "JSON (*.json)"
        )
        if path:
            self.out.save(path, self.model.reports())
