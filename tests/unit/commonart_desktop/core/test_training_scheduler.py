"""The order of trainings beside the queue, without a window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commonart_desktop.core import runs
from commonart_desktop.core.runs import Run, new_run
from commonart_desktop.core.training_scheduler import TrainingScheduler
from engine.contract.errors import CommonArtError, OutputFolder, QueueHeld
from engine.contract.ledger.ledger import Ledger
from engine.contract.ledger.selection import Selection
from engine.contract.request import ImageRequest


class Engine:
    """An engine that only records what it is asked."""

    now, running = "off", False
    released = 0

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "queue.db")
    yield ledger
    ledger.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs that were started; no process is."""
    names: list[str] = []
    monkeypatch.setattr(runs, "start", lambda run: names.append(run.name))
    return names


def run_of(name: str, device: str = "auto") -> Run:
    return new_run(name, "", result=name, model="m", prompts=False, device=device)


def scheduler_of(
    ledger: Ledger, engine: Engine | None = None, device: str = "auto"
) -> tuple[TrainingScheduler, list[CommonArtError]]:
    errors: list[CommonArtError] = []
    return TrainingScheduler(ledger, engine or Engine(), lambda: device, errors.append), errors


def add_image(ledger: Ledger, tmp_path: Path) -> int:
    return ledger.add_job("j", [ImageRequest(prompt="a", model="m", out=str(tmp_path), width=32, height=32, seed=1)])


def test_one_after_the_other_and_the_queue_waits(ledger: Ledger, started: list[str]) -> None:
    engine = Engine()
    scheduler, _ = scheduler_of(ledger, engine)
    first, second = run_of("first"), run_of("second")
    scheduler.enqueue(first, after_queue=False)
    scheduler.enqueue(second, after_queue=False)
    assert scheduler.schedule() is first and scheduler.schedule() is None
    assert started == ["first"] and scheduler.waiting() == [second]
    assert (ledger.paused()[1] or {}).get("kind") == QueueHeld.kind and engine.released == 1
    assert scheduler.set_paused(first, True) and not scheduler.set_paused(first, True)
    assert scheduler.active() == [first]  # a paused training still has its device
    scheduler.update([(first, "done"), (second, "waiting")])
    assert scheduler.schedule() is second
    scheduler.update([(first, "done"), (second, "stopped")])
    assert ledger.paused()[0]
    assert scheduler.schedule() is None and not ledger.paused()[0]


def test_after_the_queue(ledger: Ledger, tmp_path: Path, started: list[str]) -> None:
    engine = Engine()
    engine.now = "working"
    job = add_image(ledger, tmp_path)
    scheduler, _ = scheduler_of(ledger, engine)
    run = run_of("patient")
    scheduler.enqueue(run, after_queue=True)
    assert scheduler.queue_busy(run) and scheduler.schedule() is None and not ledger.paused()[0]
    ledger.cancel(Selection(jobs=(job,)))
    assert scheduler.schedule() is run and started == ["patient"]


def test_another_device_leaves_the_queue_alone(ledger: Ledger, tmp_path: Path, started: list[str]) -> None:
    engine = Engine()
    engine.now = "working"
    add_image(ledger, tmp_path)
    scheduler, _ = scheduler_of(ledger, engine, device="cuda:0")
    run = run_of("beside", device="cpu")
    assert not scheduler.queue_busy(run)
    scheduler.enqueue(run, after_queue=True)
    assert scheduler.schedule() is run and not ledger.paused()[0] and engine.released == 0


def test_a_run_that_cannot_start_is_reported_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run) -> None:
        raise OutputFolder(path=run.folder, why="no")

    monkeypatch.setattr(runs, "start", refuse)
    scheduler, errors = scheduler_of(ledger)
    run = run_of("broken")
    scheduler.update([])
    scheduler.enqueue(run, after_queue=False)
    assert scheduler.schedule() is None and scheduler.state(run) == "failed" and len(errors) == 1
    assert scheduler.schedule() is None and len(errors) == 1 and not ledger.paused()[0]


def test_a_queue_paused_by_the_user_stays_paused(ledger: Ledger, started: list[str]) -> None:
    ledger.pause(None, True)
    scheduler, _ = scheduler_of(ledger)
    scheduler.update([])
    assert scheduler.schedule() is None and ledger.paused()[0] and not scheduler.queue_held()


def test_a_queue_held_by_an_earlier_start_is_resumed(ledger: Ledger) -> None:
    ledger.pause(None, True, QueueHeld(name="gone"))
    scheduler, _ = scheduler_of(ledger)
    assert scheduler.queue_held() and scheduler.schedule() is None
    assert ledger.paused()[0]  # before the runs are known, one may still be active
    scheduler.update([])
    assert scheduler.schedule() is None and not ledger.paused()[0]
