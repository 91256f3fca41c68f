"""The training runs as the window sees them: listed, started one after the other behind the queue, followed, told things."""

from __future__ import annotations

import threading
from typing import Any

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal

from commonart_desktop.core import runs
from commonart_desktop.core.runs import Run
from commonart_desktop.core.training_story import EventTail, Snapshot
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from engine.contract.errors import CommonArtError, QueueHeld

LEAVE = "train/leave_running"  # in context.state: "true" (as it is at first) or "false"
FOLLOW = 0.4  # seconds between two looks at the events of a run at work


class _Life:
    """What the thread and its follower's end share: no Qt, so it may outlive both."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.over = threading.Event()

    def end(self, *_: object) -> None:
        with self.lock:  # nothing is being told at this moment
            self.over.set()


class Follower(QObject):
    """Reads a run's events in a thread; ``told`` (Run, Snapshot) whenever there is news, ``ended`` (Run) when the run is over and all is read."""

    told = Signal(object, object)
    ended = Signal(object)

    def __init__(self, run: Run, parent: QObject) -> None:
        super().__init__(parent)
        self.run = run
        self.now = Snapshot()
        self.read = False  # all that was there at first
        self._life = life = _Life()
        self.told.connect(self._keep, Qt.ConnectionType.QueuedConnection)
        self.destroyed.connect(life.end)
        self.thread_ = threading.Thread(target=self._follow, args=(life,), name="follow", daemon=True)
        self.thread_.start()

    def _keep(self, run: Run, snapshot: Snapshot) -> None:
        self.now = snapshot

    def _follow(self, life: _Life) -> None:
        run = self.run
        tail = EventTail(run.events)

        def emit(what: str, *values: object) -> None:
            with life.lock:
                if not life.over.is_set():
                    getattr(self, what).emit(run, *values)

        while not life.over.is_set():
            alive = run.alive  # asked before reading: what it says last is not missed
            news = False
            while not life.over.is_set() and tail.read():
                news = True
            if news:
                emit("told", tail.story.snapshot())
            self.read = True
            if not alive:
                emit("ended")
                return
            life.over.wait(FOLLOW)


class TrainingScheduler(QObject):
    """``changed`` when the list or a state is another; ``news`` (Run, Snapshot) from runs that are followed; ``ended`` (Run) when one is over."""

    changed = Signal()
    news = Signal(object, object)
    ended = Signal(object)

    def __init__(self, context: Context, parent: QObject) -> None:
        super().__init__(parent)
        self._context = context
        self.runs: list[Run] = []
        self.states: dict[str, str] = {}  # folder -> state
        self._followers: dict[str, Follower] = {}
        self._task: Task | None = None
        self._again = False
        self.listed = False
        self._timer = QTimer(self, interval=1000)
        self._timer.timeout.connect(self._tick)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self._quit)

    # the list -----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the folders again, in a thread."""
        if self._task is not None:
            self._again = True
            return
        self._task = Task(
            self, lambda task: [(r, r.state()) for r in runs.list_runs()], done=self._listed, failed=self._failed
        )

    def _failed(self, error: CommonArtError) -> None:
        self._task = None
        self._context.notices.complain(error)

    def _listed(self, found: list[tuple[Run, str]]) -> None:
        self._task = None
        self.listed = True
        known = {str(r.folder): r for r in self.runs}
        fresh = []
        for run, state in found:
            old = known.get(str(run.folder))
            if old is not None:
                old.plan = run.plan
                run = old
            fresh.append(run)
            self.states[str(run.folder)] = state
            if state in ("running", "paused"):
                self.follow(run)
        self.runs = fresh
        if self._again:
            self._again = False
            self.refresh()
        self.changed.emit()
        self._pace()
        self._schedule()

    def state(self, run: Run) -> str:
        return self.states.get(str(run.folder), "draft")

    def busy(self) -> bool:
        return self._task is not None or any(not f.read for f in self._followers.values())

    def active(self) -> list[Run]:
        """At work now."""
        return [r for r in self.runs if self.state(r) in ("running", "paused")]

    def waiting(self) -> list[Run]:
        """In the order in which they will start."""
        return sorted(
            (r for r in self.runs if self.state(r) == "waiting"),
            key=lambda r: float(r.plan.get("order") or r.plan.get("created") or 0),
        )

    # following ----------------------------------------------------------------------------------------------------

    def follow(self, run: Run) -> Snapshot:
        """Read its events from now on; returns what is known already."""
        key = str(run.folder)
        follower = self._followers.get(key)
        if follower is None or not follower.thread_.is_alive():
            before = follower.now if follower is not None else Snapshot()
            self._followers[key] = follower = Follower(run, self)
            follower.now = before
            follower.told.connect(self._on_news, Qt.ConnectionType.QueuedConnection)
            follower.ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)
        return follower.now

    def _on_news(self, run: Run, snapshot: Snapshot) -> None:
        now = "paused" if snapshot.paused else "running"
        if self.state(run) in ("running", "paused") and now != self.state(run) and not snapshot.end:
            self.states[str(run.folder)] = now
            self.changed.emit()
        self.news.emit(run, snapshot)

    def _on_ended(self, run: Run) -> None:
        was = self.state(run)
        self.refresh()
        if was in ("running", "paused"):
            self.ended.emit(run)

    # starting -----------------------------------------------------------------------------------------------------

    def queue_busy(self, run: Run | None = None) -> bool:
        """The queue makes pictures on the device that this run wants."""
        counts = self._context.ledger.counts()
        at_work = self._context.engine.now in ("working", "starting") or (
            self._context.engine.running and not self._context.ledger.paused()[0]
        )
        return at_work and bool(counts["waiting"] + counts["running"]) and self._same_device(run)

    def _same_device(self, run: Run | None) -> bool:
        ours = str(run.plan.get("device") or "auto") if run is not None else "auto"
        theirs = self._context.settings.now.device
        return "auto" in (ours, theirs) or ours.partition(":")[0] == theirs.partition(":")[0]

    def enqueue(self, run: Run, *, after_queue: bool) -> None:
        """Let it start as soon as no other training is at work; with ``after_queue`` also not before the queue is empty. Raises OutputFolder."""
        run.change(
            state="waiting",
            after_queue=after_queue,
            order=max([float(r.plan.get("order") or 0) for r in self.runs], default=0) + 1,
        )
        if all(r.folder != run.folder for r in self.runs):
            self.runs.insert(0, run)
        self.states[str(run.folder)] = "waiting"
        self.changed.emit()
        self._pace()
        self._schedule()

    def dequeue(self, run: Run) -> None:
        """Do not start it for now. Raises OutputFolder."""
        run.change(state="off")
        self.refresh()

    def _schedule(self) -> None:
        if self.active():
            return
        waiting = self.waiting()
        if not waiting:
            self._free_queue()
            return
        run = waiting[0]
        if run.plan.get("after_queue") and self.queue_busy(run):
            return
        try:
            if self._same_device(run) and not self._context.ledger.paused()[0]:
                self._context.ledger.pause(None, True, QueueHeld(name=run.name))
                self._context.engine.release()
            runs.start(run)
        except CommonArtError as e:
            run.plan["state"] = "off"
            self.states[str(run.folder)] = "failed"
            self._context.notices.complain(e)
            return
        self.states[str(run.folder)] = "running"
        self.follow(run)
        self.changed.emit()

    def _free_queue(self) -> None:
        """No training is left: a queue that was held for one goes on."""
        paused, reason = self._context.ledger.paused()
        if paused and reason is not None and reason.get("kind") == QueueHeld.kind and self.listed:
            self._context.ledger.pause(None, False)

    def _pace(self) -> None:
        """The clock runs only while there is something to wait for."""
        if self.active() or self.waiting():
            self._timer.start()
        else:
            self._timer.stop()

    def _tick(self) -> None:
        if self.waiting():
            self._schedule()
        for run in self.active():
            self.follow(run)

    # telling ------------------------------------------------------------------------------------------------------

    def tell(self, run: Run, command: str) -> None:
        """pause, resume, save, sample or quit; told if it cannot be passed on."""
        try:
            runs.tell(run, command)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def stop(self, run: Run) -> None:
        """Save and stop; one that has not begun to learn has nothing to save and ends at once, if it is ours."""
        follower = self._followers.get(str(run.folder))
        if follower is not None and follower.now.phase != "learning" and not run.begun:
            runs.end(run)
        self.tell(run, "quit")

    def change(self, run: Run, **values: Any) -> None:
        """Put values into its plan; told if it cannot be kept."""
        try:
            run.change(**values)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _quit(self) -> None:
        if str(self._context.state.value(LEAVE, "true")) != "true":
            for run in self.active():
                runs.tell(run, "quit")
