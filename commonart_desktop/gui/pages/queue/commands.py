"""The queue's commands: toolbar, context menu and keys over one set of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QLocale, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.queue.job_editor import EditPanel
from commonart_desktop.gui.pages.queue.open_actions import OpenActions
from commonart_desktop.gui.pages.queue.status_strip import RunStrip
from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from commonart_desktop.gui.pages.queue.table_view import QueueView
from commonart_desktop.gui.style import theme
from engine.contract.ledger.ledger import Job, Ledger, Line
from engine.contract.ledger.selection import LIVE, Selection

_MANY = 400  # up to so many, selected images are addressed by id; beyond, as ranges


class QueueCommands(QObject):
    """Creates the actions. ``wanted`` asks the panel to start or pause the queue."""

    wanted = Signal(str)
    search_wanted = Signal()

    def __init__(
        self, context: Context, model: LedgerModel, view: QueueView, work: TaskQueue, strip: RunStrip, edit: EditPanel
    ) -> None:
        super().__init__(view)
        self._context, self._model, self._view, self._work, self._strip, self._edit = (
            context,
            model,
            view,
            work,
            strip,
            edit,
        )
        self._opening = OpenActions(context, model, work, self.selected, view.ranges)
        self.actions: dict[str, QAction] = {}
        self._make()
        view.customContextMenuRequested.connect(self._menu)
        view.opened.connect(self._opening.open_row)
        model.dropped.connect(lambda jobs, before: self._do(Ledger.reorder, jobs, before))
        model.renamed.connect(lambda job, name: self._do(Ledger.rename, job, name))
        edit.closed.connect(self._close_edit)
        edit.wanted.connect(self._apply_edit)

    def _make(self) -> None:
        self._add(
            "hold",
            "",
            self.tr("Pause or go on with the queue"),
            "Space",
            self._hold,
        )
        self._add(
            "retry",
            "retry",
            self.tr("Retry failed"),
            "Ctrl+R",
            self._retry,
            self.tr("Retry failed images: the selected, or all"),
        )
        self._add("cancel", "stop", self.tr("Cancel"), "Delete", self._cancel, self.tr("Cancel the selected"))
        self._add(
            "pause", "pause", self.tr("Pause job"), "P", lambda: self._pause(True), self.tr("Pause the selected jobs")
        )
        self._add(
            "resume",
            "play",
            self.tr("Resume job"),
            "Shift+P",
            lambda: self._pause(False),
            self.tr("Resume the selected jobs"),
        )
        self._add(
            "up", "up", self.tr("Move up"), "Ctrl+Up", lambda: self._step(-1), self.tr("Move the selected jobs up")
        )
        self._add(
            "down",
            "down",
            self.tr("Move down"),
            "Ctrl+Down",
            lambda: self._step(1),
            self.tr("Move the selected jobs down"),
        )
        self._add("raise", "", self.tr("Raise priority"), "Ctrl++", lambda: self._prioritise(1))
        self._add("lower", "", self.tr("Lower priority"), "Ctrl+-", lambda: self._prioritise(-1))
        self._add("edit", "make", self.tr("Change waiting images…"), "Ctrl+E", self._start_edit)
        self._add("rename", "", self.tr("Rename job"), "F2", self._view.rename_current)
        self._add("duplicate", "duplicate", self.tr("Duplicate job"), "Ctrl+D", self._duplicate)
        self._add("open", "pictures", self.tr("Open image"), "", self._opening.open, self.tr("Open image (Enter)"))
        self._add("folder", "folder", self.tr("Open folder"), "Ctrl+O", self._opening.open_folder)
        self._add("copy", "copy", self.tr("Copy prompt"), "Ctrl+C", self._opening.copy_prompts)
        self._add("copy_error", "", self.tr("Copy error details"), "Ctrl+Shift+C", self._opening.copy_errors)
        self._add(
            "clear_done",
            "clear",
            self.tr("Remove finished from the list"),
            "Ctrl+Shift+Delete",
            lambda: self._remove(["done"]),
        )
        self._add("clear_failed", "", self.tr("Remove failed from the list"), "", lambda: self._remove(["failed"]))
        self._add(
            "clear_cancelled", "", self.tr("Remove cancelled from the list"), "", lambda: self._remove(["cancelled"])
        )
        self._add("clear_selected", "", self.tr("Remove selected from the list"), "Shift+Delete", self._remove_selected)
        self._add("undo", "back", self.tr("Undo removing or cancelling"), "Ctrl+Z", self._undo)
        self._add("search", "", self.tr("Search prompts"), "Ctrl+F", self.search_wanted.emit)

    def _hold(self) -> None:
        if self._strip.does:
            self.wanted.emit(self._strip.does)

    def _add(self, name: str, icon: str, text: str, keys: str, do: Callable[[], object], tip: str = "") -> None:
        action = QAction(text, self)
        if icon:
            action.setIcon(theme.icon(icon))
        if keys:
            action.setShortcut(QKeySequence(keys))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        native = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        action.setToolTip(f"{tip or text} ({native})" if native else tip or text)
        action.triggered.connect(lambda: do())
        self.actions[name] = action
        self._view.addAction(action)

    def toolbar(self) -> QWidget:
        """The most used ones as buttons."""
        bar = QWidget()
        row = QHBoxLayout(bar)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for name in ("retry", "cancel", "up", "down", "edit", "duplicate"):
            button = QToolButton(accessibleName=self.actions[name].text())
            button.setDefaultAction(self.actions[name])
            row.addWidget(button)
        more = QToolButton(
            popupMode=QToolButton.ToolButtonPopupMode.MenuButtonPopup, accessibleName=self.actions["clear_done"].text()
        )
        more.setDefaultAction(self.actions["clear_done"])
        menu = QMenu(more)
        menu.addActions(
            [self.actions[n] for n in ("clear_done", "clear_failed", "clear_cancelled", "clear_selected", "undo")]
        )
        more.setMenu(menu)
        row.addWidget(more)
        return bar

    def _menu(self, at: QPoint) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self._view.viewport().mapToGlobal(at))

    def menu(self) -> QMenu:
        """The context menu of the selection."""
        menu = QMenu(self._view)
        for group in (
            ("open", "folder", "copy", "copy_error"),
            ("retry", "cancel"),
            ("pause", "resume", "rename", "edit", "duplicate", "up", "down", "raise", "lower"),
            ("clear_selected", "clear_done", "undo"),
        ):
            menu.addActions([self.actions[n] for n in group])
            menu.addSeparator()
        return menu

    # the selection ------------------------------------------------------------------------------------------------

    def selected(self) -> tuple[Job | Line | None, int]:
        """The first selected item, and how many there are."""
        ranges = self._view.ranges()
        return (self._model.line(ranges[0][0]) if ranges else None), sum(b - a + 1 for a, b in ranges)

    def pick(self) -> Selection:
        """The selection. Of a long one only the rows at its ends are read."""
        ranges, model = self._view.ranges(), self._model
        if model.searching or sum(b - a + 1 for a, b in ranges) <= _MANY:
            items = [model.line(n) for a, b in ranges for n in range(a, b + 1)]
            return Selection(
                jobs=[i.id for i in items if isinstance(i, Job)], pictures=[i.id for i in items if isinstance(i, Line)]
            )
        parts = [model.spans(a, b) for a, b in ranges]
        jobs = [j for ids, _ in parts for j in ids]
        ends = [
            (job, model.pages.line(job, first), model.pages.line(job, last))
            for _, spans in parts
            for job, first, last in spans
            if job not in jobs
        ]
        return Selection(
            jobs=jobs,
            ranges=[(job, a.id, b.id) for job, a, b in ends if a is not None and b is not None],
            state=model.state,
        )

    def _jobs(self) -> list[int]:
        """Selected jobs, and the jobs of selected images."""
        model = self._model
        if model.searching:
            items = [model.line(n) for a, b in self._view.ranges() for n in range(a, b + 1)]
            return list(dict.fromkeys(i.job for i in items if isinstance(i, Line)))
        parts = [model.spans(a, b) for a, b in self._view.ranges()]
        return list(dict.fromkeys(j for jobs, spans in parts for j in [*jobs, *(s[0] for s in spans)]))

    def enable(self) -> None:
        """Enable the actions that are possible now."""
        item, count = self.selected()
        jobs = self._model.jobs
        row = item if isinstance(item, Line) else None
        job = next(
            (j for j in jobs if item is not None and j.id == (item.job if isinstance(item, Line) else item.id)), None
        )
        one = count == 1
        many = count > 1
        for name, can in {
            "retry": any(j.failed for j in jobs) or (job is not None and job.cancelled > 0),
            "cancel": many or (job is not None and (row.state in LIVE if row else job.waiting + job.running > 0)),
            "pause": many or (job is not None and not job.paused),
            "resume": many or (job is not None and job.paused),
            "up": job is not None,
            "down": job is not None,
            "raise": job is not None,
            "lower": job is not None,
            "rename": job is not None and not self._model.searching,
            "edit": job is not None and job.waiting > 0,
            "duplicate": job is not None,
            "open": one and row is not None and bool(row.path),
            "folder": one and item is not None,
            "copy": row is not None or many,
            "copy_error": row is not None and row.error is not None,
            "clear_done": any(j.done for j in jobs),
            "clear_failed": any(j.failed for j in jobs),
            "clear_cancelled": any(j.cancelled for j in jobs),
            "clear_selected": item is not None,
        }.items():
            self.actions[name].setEnabled(can)

    # commands -----------------------------------------------------------------------------------------------------

    def _do(self, action: Callable[..., Any], *arguments: Any, then: Callable[[Any], None] | None = None) -> None:
        def ended(answer: Any) -> None:
            self._model.poll()
            if then is not None:
                then(answer)

        self._work.submit(action, *arguments, done=ended)

    def _retry(self) -> None:
        pick = self.pick()
        by_id = {j.id: j for j in self._model.jobs}
        can = (
            bool(pick.ranges)
            or any(j in by_id and (by_id[j].failed or by_id[j].cancelled) for j in pick.jobs)
            or any(
                isinstance(i, Line) and i.state in ("failed", "cancelled")
                for a, b in self._view.ranges()
                for i in map(self._model.line, range(a, b + 1))
            )
        )
        self._do(Ledger.retry, pick if can else None)

    def _cancel(self) -> None:
        pick = self.pick()
        if pick:
            self._do(Ledger.cancel, pick, then=self._cancelled)

    def _cancelled(self, count: int) -> None:
        if count > 1:
            self._context.notices.say(
                self.tr("{count} images were cancelled.").format(count=QLocale().toString(count)),
                action=self.tr("Undo"),
                do=self._undo,
            )

    def _pause(self, paused: bool) -> None:
        self._do(Ledger.pause, self._jobs(), paused)

    def _step(self, by: int) -> None:
        self._do(Ledger.step, self._jobs(), by)

    def _prioritise(self, by: int) -> None:
        self._do(Ledger.raise_priority, self._jobs(), by)

    def _duplicate(self) -> None:
        by_id = {j.id: j for j in self._model.jobs}
        for job in self._jobs():
            if job in by_id:
                self._do(Ledger.duplicate, job, self.tr("Copy of {name}").format(name=by_id[job].name))

    def _remove(self, states: list[str]) -> None:
        self._do(Ledger.take_off, None, states, then=self._removed)

    def _remove_selected(self) -> None:
        pick = self.pick()
        if pick:
            self._do(Ledger.take_off, pick, then=self._removed)

    def _removed(self, count: int) -> None:
        if count:
            self._context.notices.say(
                self.tr("{count} were removed from the list; the files stay.").format(count=QLocale().toString(count)),
                action=self.tr("Undo"),
                do=self._undo,
            )
        else:
            self._context.notices.say(
                self.tr("Nothing was removed: what is still waiting or running has to be cancelled first.")
            )

    def _undo(self) -> None:
        self._do(Ledger.undo, then=self._undone)

    def _undone(self, answer: tuple[str, int]) -> None:
        what, count = answer
        text = {
            "remove": self.tr("{count} are on the list again."),
            "cancel": self.tr("{count} wait again."),
            "": self.tr("There is nothing to undo."),
        }[what]
        self._context.notices.say(text.format(count=QLocale().toString(count)))

    # changing waiting images ------------------------------------------------------------------------------------

    def _start_edit(self) -> None:
        wanted = self._jobs()[:1]
        job = next((j for j in self._model.jobs if j.id in wanted), None)
        if job is not None and job.waiting:
            self._edit.open_for(job)

    def _apply_edit(self, job: int, settings: dict[str, Any]) -> None:
        def ended(count: int) -> None:
            self._model.poll()
            self._close_edit()
            self._context.notices.say(
                self.tr("{count} waiting image(s) changed.").format(count=QLocale().toString(count))
            )

        change = settings | (
            {"template": "", "draw": []} if "prompt" in settings else {}
        )  # it no longer comes from its template
        self._work.submit(Ledger.edit, job, change, done=ended, failed=self._edit.complain)

    def _close_edit(self) -> None:
        self._edit.hide()
        self._view.setFocus()
