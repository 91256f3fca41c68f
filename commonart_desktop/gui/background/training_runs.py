"""The training runs as the window sees them: listed, scheduled, followed by their events, and sent commands."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, QSettings, Qt, QTimer, Signal

from commonart_desktop.core import runs
from commonart_desktop.core.runs import Run
from commonart_desktop.core.training_scheduler import TrainingScheduler
from commonart_desktop.core.training_story import EventTail, Snapshot
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.background.worker_process import WorkerProcess
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.settings_store import SettingsStore
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Ledger

LEAVE = "train/leave_running"  # in context.state: "true" (as it is at first) or "false"
FOLLOW = 0.4  # seconds between two looks at the events of a run at work


class Follower(QObject):
    """Reads a run's events in a thread.

    ``told`` (Run, Snapshot) is emitted whenever there is news, ``ended`` (Run) when the run is over and all is read.
    """

    told = Signal(object, object)
    ended = Signal(object)

    def __init__(self, run: Run, parent: QObject) -> None:
        super().__init__(parent)
        self.run = run
        self.now = Snapshot()
        self.read = False  # all that was there at first
        self.task = Task(self, self._follow, progress=self._on_news, done=lambda _: self.ended.emit(run), name="follow")

    def _on_news(self, snapshot: Snapshot) -> None:
        self.now = snapshot
        self.told.emit(self.run, snapshot)

    def _follow(self, task: Task) -> None:
        run, tail = self.run, EventTail(self.run.events)
        while not task.cancelled:
            alive = run.alive  # asked before reading: what it says last is not missed
            news = False
            while not task.cancelled and tail.read():
                news = True
            if news:
                task.progress(tail.story.snapshot())
            self.read = True
            if not alive:
                return
            task.wait(FOLLOW)


class TrainingRuns(QObject):
    """``core.training_scheduler`` with threads and signals. One for the program, whatever page is shown.

    Signals: ``changed`` when the list or a state is another; ``news`` (Run, Snapshot) from runs that are followed;
    ``ended`` (Run) when one is over.
    """

    changed = Signal()
    news = Signal(object, object)
    ended = Signal(object)

    def __init__(
        self, ledger: Ledger, engine: WorkerProcess, settings: SettingsStore, notices: Notices, state: QSettings
    ) -> None:
        super().__init__()
        self._notices, self._settings_file = notices, state
        self._scheduler = TrainingScheduler(ledger, engine, lambda: settings.now.device, notices.complain)
        self._followers: dict[str, Follower] = {}
        self._task: Task | None = None
        self._again = self._closed = False
        self._timer = QTimer(self, interval=1000)
        self._timer.timeout.connect(self._tick)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._quit)

    # the list -----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the folders again, in a thread."""
        if self._closed:
            return
        if self._task is not None:
            self._again = True
            return
        self._task = Task(
            self, lambda task: [(r, r.state()) for r in runs.list_runs()], done=self._listed, failed=self._failed
        )

    def _failed(self, error: CommonArtError) -> None:
        self._task = None
        self._notices.complain(error)

    def _listed(self, listing: list[tuple[Run, str]]) -> None:
        if self._closed:
            return
        self._task = None
        self._scheduler.update(listing)
        for run in self.active():
            self.follow(run)
        if self._again:
            self._again = False
            self.refresh()
        self.changed.emit()
        self._schedule()

    @property
    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return self._scheduler.runs

    @property
    def listed(self) -> bool:
        """Whether the folders were read once."""
        return self._scheduler.listed

    def state(self, run: Run) -> str:
        return self._scheduler.state(run)

    def busy(self) -> bool:
        """Whether folders or events are still being read for the first time."""
        return self._task is not None or any(not f.read for f in self._followers.values())

    def active(self) -> list[Run]:
        return self._scheduler.active()

    def waiting(self) -> list[Run]:
        return self._scheduler.waiting()

    def queue_busy(self, run: Run | None = None) -> bool:
        return self._scheduler.queue_busy(run)

    def queue_held(self) -> bool:
        return self._scheduler.queue_held()

    # following ----------------------------------------------------------------------------------------------------

    def follow(self, run: Run) -> Snapshot:
        """Read its events from now on; returns what is known already."""
        key = str(run.folder)
        follower = self._followers.get(key)
        if follower is None or not follower.task.pending:
            before = follower.now if follower is not None else Snapshot()
            self._followers[key] = follower = Follower(run, self)
            follower.now = before
            follower.told.connect(self._on_news, Qt.ConnectionType.QueuedConnection)
            follower.ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)
        return follower.now

    def _on_news(self, run: Run, snapshot: Snapshot) -> None:
        if not snapshot.end and self._scheduler.set_paused(run, snapshot.paused):
            self.changed.emit()
        self.news.emit(run, snapshot)

    def _on_ended(self, run: Run) -> None:
        was = self.state(run)
        self.refresh()
        if was in ("running", "paused"):
            self.ended.emit(run)

    # starting -----------------------------------------------------------------------------------------------------

    def add(self, run: Run) -> None:
        """Put a new run at the top of the list."""
        self._scheduler.add(run)

    def enqueue(self, run: Run, *, after_queue: bool) -> None:
        """See ``TrainingScheduler.enqueue``. Raises OutputFolder."""
        self._scheduler.enqueue(run, after_queue=after_queue)
        self.changed.emit()
        self._schedule()

    def dequeue(self, run: Run) -> None:
        """Do not start it for now. Raises OutputFolder."""
        run.change(state="off")
        self.refresh()

    def _schedule(self) -> None:
        if self._closed:
            return
        before = [self.state(r) for r in self.waiting()]
        run = self._scheduler.schedule()
        if run is not None:
            self.follow(run)
        if run is not None or before != [self.state(r) for r in self.waiting()]:
            self.changed.emit()
        if self.active() or self.waiting():  # the timer runs only while there is something to wait for
            self._timer.start()
        else:
            self._timer.stop()

    def _tick(self) -> None:
        if self._closed:
            return
        if self.waiting():
            self._schedule()
        for run in self.active():
            self.follow(run)

    # commands -----------------------------------------------------------------------------------------------------

    def send(self, run: Run, command: str) -> None:
        """ "pause", "resume", "save", "sample" or "quit"; a failure is shown as a notice."""
        try:
            runs.tell(run, command)
        except CommonArtError as e:
            self._notices.complain(e)

    def stop(self, run: Run) -> None:
        """Save and stop; one that has not begun to learn has nothing to save and ends at once, if it is ours."""
        follower = self._followers.get(str(run.folder))
        if follower is not None and follower.now.phase != "learning" and not run.begun:
            runs.end(run)
        self.send(run, "quit")

    def change(self, run: Run, **values: Any) -> None:
        """Put values into its plan; a failure is shown as a notice."""
        try:
            run.change(**values)
        except CommonArtError as e:
            self._notices.complain(e)

    def shut(self) -> None:
        """The window goes: nothing is listed or followed from now on."""
        self._closed = True
        self._timer.stop()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for follower in self._followers.values():
            follower.task.cancel()

    def _quit(self) -> None:
        if str(self._settings_file.value(LEAVE, "true")) != "true":
            for run in self.active():
                runs.tell(run, "quit")
