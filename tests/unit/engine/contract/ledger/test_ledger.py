"""The ledger: every operation, its order and counters, two processes at it, damage, and what is left by the dead."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from engine.contract.errors import (
    BadValue,
    DiskFull,
    EngineError,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerNewer,
    NotEditable,
    UnknownJob,
)
from engine.contract.ledger import schema
from engine.contract.ledger.ledger import MAX_DEATHS, Ledger, Row
from engine.contract.ledger.process_lock import ProcessLock, is_held
from engine.contract.request import ImageRequest
from tests.support.stub_model import recount


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    led = Ledger(tmp_path / "queue.db")
    yield led
    led.close()


def asks(count: int, word: str = "a", **changes: Any) -> list[ImageRequest]:
    return [ImageRequest(prompt=f"{word}{n}", seed=n, **changes) for n in range(count)]


def take(ledger: Ledger, count: int, worker: str = "w") -> list[Row]:
    return ledger.claim(worker, lambda rows: rows[:count])


def prompts(rows: list[Row]) -> str:
    return " ".join(r.request.prompt for r in rows)


def states(ledger: Ledger) -> str:
    return " ".join(r.state for _, r in ledger.every())


# a row's life --------------------------------------------------------------------------------------------------------


def test_a_row_is_added_claimed_begun_and_done(ledger: Ledger) -> None:
    request = ImageRequest(
        prompt="すし\nred", seed=2**63 - 1, draw=("赤",), extra={"name": "é"}, out="/o", width=64, guidance=1.5
    )
    job = ledger.add_job("first", [request])
    row = take(ledger, 5)[0]
    assert row.request == request and row.job == job
    assert ledger.counts() == {"waiting": 0, "running": 1, "done": 0, "failed": 0, "cancelled": 0}
    ledger.begin([row])
    assert ledger.still_running([row], "w") == {row.id} and not ledger.still_running([row], "other")
    assert ledger.intend(row.id, "w", Path("/o/a.png")) and not ledger.intend(row.id, "other", Path("/o/b.png"))
    now = ledger.row(row.id)
    assert now is not None and (now.pending, now.worker, now.attempts) == (str(Path("/o/a.png")), "w", 1)
    ledger.done(row.id, path=Path("/o/a.png"), pixel_sha256="ff", recipe={"é": 1})
    now = ledger.row(row.id)
    assert now is not None and (now.state, now.path, now.pixel_sha256, now.pending, now.worker) == (
        "done",
        str(Path("/o/a.png")),
        "ff",
        None,
        None,
    )
    assert ledger.recipe(row.id) == {"é": 1} and ledger.recipe(99) is None and ledger.row(99) is None
    assert now.to_json()["path"] == str(Path("/o/a.png")) and now.to_json()["error"] is None
    assert ledger.job(job).total == ledger.job(job).done == 1


def test_failed_and_put_back_rows(ledger: Ledger) -> None:
    ledger.add_job("j", asks(3))
    rows = take(ledger, 3)
    ledger.begin(rows[:2])
    ledger.fail([rows[0].id], DiskFull(path="/x"))
    ledger.put_back([rows[1].id, rows[2].id])
    assert states(ledger) == "failed waiting waiting"
    ledger.fail([rows[1].id], DiskFull(path="/x"))  # not running any more: nothing happens
    ledger.put_back([rows[0].id])
    assert states(ledger) == "failed waiting waiting"
    failed = ledger.row(rows[0].id)
    assert (
        failed is not None
        and failed.error is not None
        and failed.error["kind"] == "disk-full"
        and failed.to_json()["error"]["hint"]
    )
    assert ledger.set_state(None, ["failed"], "waiting") == 1  # tried again from the beginning
    again = ledger.row(rows[0].id)
    assert again is not None and (again.state, again.error, again.attempts, again.deaths) == ("waiting", None, 0, 0)


def test_cancelled_rows_are_lost_to_their_worker(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(2)), ledger.add_job("b", asks(1))
    row = take(ledger, 1)[0]
    assert ledger.set_state([a], ["waiting", "running"], "cancelled") == 2
    assert not ledger.still_running([row], "w") and not ledger.intend(row.id, "w", Path("x"))
    assert states(ledger) == "cancelled cancelled waiting"
    with pytest.raises(UnknownJob):
        ledger.set_state([b, 77], ["waiting"], "cancelled")
    assert ledger.job(b).waiting == 1  # all or nothing


def test_clear_takes_rows_and_empty_jobs(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(2)), ledger.add_job("b", asks(1))
    rows = take(ledger, 2)
    for r in rows:
        ledger.done(r.id, path=Path("x"), pixel_sha256="", recipe={})
    assert ledger.clear(["done", "failed"]) == 2
    assert [j.id for j in ledger.jobs()] == [b] and states(ledger) == "waiting"
    with pytest.raises(UnknownJob):
        ledger.job(a)
    ledger.clear(["waiting"])
    c = ledger.add_job("c", asks(1))  # a worker may still hold a row that was cleared: its number is never given again
    assert c > b and ledger.page()[0].id > max(r.id for r in rows) + 1


def test_a_job_is_added_whole_or_not_at_all(ledger: Ledger) -> None:
    def broken() -> Iterator[ImageRequest]:
        yield from asks(3)
        raise BadValue(name="seed", value=1, why="no")

    with pytest.raises(BadValue):
        ledger.add_job("broken", broken())
    assert ledger.jobs() == [] and ledger.page() == []


# order ---------------------------------------------------------------------------------------------------------------


def test_rows_run_by_priority_then_place(ledger: Ledger) -> None:
    ledger.add_job("a", asks(2, "a"))
    b = ledger.add_job("b", asks(2, "b"))
    ledger.add_job("c", asks(1, "c"), priority=1)
    assert prompts(ledger.page()) == "c0 a0 a1 b0 b1" == prompts([r for _, r in ledger.every()])
    ledger.prioritise(b, 2)
    assert prompts(ledger.page()) == "b0 b1 c0 a0 a1"
    assert prompts(take(ledger, 4)) == "b0 b1 c0 a0"
    with pytest.raises(UnknownJob):
        ledger.prioritise(99, 1)


def test_move(ledger: Ledger) -> None:
    a, b, c, d = (ledger.add_job(n, asks(1)) for n in "abcd")

    def order() -> list[int]:
        return [j.id for j in ledger.jobs()]

    ledger.move(d, before=b)
    assert order() == [a, d, b, c]
    ledger.move(c)
    assert order() == [c, a, d, b]
    ledger.move(a, before=a)
    assert order() == [c, a, d, b]
    ledger.prioritise(b, 5)
    ledger.move(a, before=b)  # takes the other's priority
    assert order() == [a, b, c, d] and ledger.job(a).priority == 5
    for _ in range(100):  # two jobs in turn before a third: there is always room between
        for job in (c, d):
            ledger.move(job, before=b)
            assert order().index(job) == order().index(b) - 1
    for job, before in ((99, None), (a, 99)):
        with pytest.raises(UnknownJob):
            ledger.move(job, before)
    ledger.clear(["waiting"])
    only = ledger.add_job("only", asks(1))
    ledger.move(only)
    assert order() == [only]


def test_claim_looks_at_so_many_rows_and_over_jobs(ledger: Ledger) -> None:
    for name in "abc":
        ledger.add_job(name, asks(3, name))
    seen: list[Row] = []
    ledger.claim("w", lambda rows: seen.extend(rows) or [], look=7)  # type: ignore[func-returns-value]
    assert prompts(seen) == "a0 a1 a2 b0 b1 b2 c0" and ledger.counts()["running"] == 0
    assert prompts(ledger.claim("w", lambda rows: [rows[4]])) == "b1"
    assert take(ledger, 99) and take(ledger, 1) == []


def test_an_error_while_choosing_claims_nothing(ledger: Ledger) -> None:
    ledger.add_job("a", asks(2))

    def choose(rows: Any) -> Any:
        raise DiskFull(path="x")

    with pytest.raises(DiskFull):
        ledger.claim("w", choose)
    assert states(ledger) == "waiting waiting" and len(take(ledger, 2)) == 2


# pausing and editing -------------------------------------------------------------------------------------------------


def test_pause(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(1, "a")), ledger.add_job("b", asks(2, "b"))
    ledger.pause([a], True)
    assert ledger.job(a).paused and not ledger.paused()[0]
    assert prompts(take(ledger, 1)) == "b0"
    ledger.pause(None, True, DiskFull(path="/x"))
    paused, error = ledger.paused()
    assert paused and error is not None and error["kind"] == "disk-full"
    assert take(ledger, 9) == []
    ledger.pause(None, False)
    assert ledger.paused() == (False, None) and not ledger.job(a).paused and not ledger.job(b).paused
    assert prompts(take(ledger, 9)) == "a0 b1"
    with pytest.raises(UnknownJob):
        ledger.pause([99], True)


def test_only_waiting_rows_are_edited(ledger: Ledger) -> None:
    job = ledger.add_job("a", asks(3, steps=5))
    ledger.fail([r.id for r in take(ledger, 1)], DiskFull(path="x"))
    assert ledger.edit(job, {"steps": 9, "prompt": "ねこ"}) == 2
    assert [(r.request.steps, r.request.prompt) for r in ledger.page()] == [(5, "a0"), (9, "ねこ"), (9, "ねこ")]
    with pytest.raises(BadValue):
        ledger.edit(job, {"steps": 0})
    assert [r.request.steps for r in ledger.page()] == [5, 9, 9]
    take(ledger, 9)
    with pytest.raises(NotEditable):
        ledger.edit(job, {"steps": 3})
    with pytest.raises(UnknownJob):
        ledger.edit(99, {})


# pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [None, "waiting", "running", "done", "failed", "cancelled"])
def test_every_page_is_a_slice_of_the_whole(ledger: Ledger, state: str | None) -> None:
    jobs = [
        ledger.add_job(n, asks(size, n), priority=p)
        for n, size, p in (("a", 7, 0), ("b", 0, 0), ("c", 5, 3), ("d", 6, 0))
    ]
    for number, row in enumerate(ledger.claim("w", lambda rows: rows[1::2])):
        if number % 3 == 0:
            ledger.done(row.id, path=Path("x"), pixel_sha256="", recipe={})
        elif number % 3 == 1:
            ledger.fail([row.id], DiskFull(path="x"))
    ledger.set_state([jobs[3]], ["waiting"], "cancelled")
    for job in (None, *jobs):
        whole = [r.id for _, r in ledger.every() if state in (None, r.state) and job in (None, r.job)]
        for offset in range(len(whole) + 2):
            for limit in (1, 4, 100):
                assert [r.id for r in ledger.page(offset=offset, limit=limit, job=job, state=state)] == whole[
                    offset : offset + limit
                ]
    with pytest.raises(UnknownJob):
        ledger.page(job=99)


# counters ------------------------------------------------------------------------------------------------------------


class Counters(RuleBasedStateMachine):
    """Whatever is done to it, a job's counters are what a recount finds."""

    jobs: Bundle[int] = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(Path(":memory:"))
        self.claimed: list[Row] = []

    @rule(target=jobs, count=st.integers(0, 5), priority=st.integers(-1, 1))
    def add(self, count: int, priority: int) -> int:
        return self.ledger.add_job("j", asks(count), priority=priority)

    @rule(count=st.integers(0, 4), worker=st.sampled_from("vw"))
    def claim(self, count: int, worker: str) -> None:
        before = self.ledger.counts()["waiting"]
        rows = take(self.ledger, count, worker)
        assert len(rows) <= before
        self.claimed += rows

    @rule(what=st.sampled_from(["begin", "intend", "done", "fail", "put_back"]), index=st.integers(0, 50))
    def work(self, what: str, index: int) -> None:
        if not self.claimed:
            return
        row = self.claimed[index % len(self.claimed)]
        match what:
            case "begin":
                self.ledger.begin([row])
            case "intend":
                self.ledger.intend(row.id, "w", Path("x"))
            case "done":
                self.ledger.done(row.id, path=Path("x"), pixel_sha256="", recipe={})
            case "fail":
                self.ledger.fail([row.id], EngineError(why="x"))
            case _:
                self.ledger.put_back([row.id])

    @rule(
        which=st.none() | st.lists(jobs, max_size=2),
        old=st.sampled_from(["waiting", "running", "failed", "cancelled"]),
        new=st.sampled_from(["waiting", "cancelled"]),
    )
    def set_state(self, which: list[int] | None, old: str, new: str) -> None:
        try:
            self.ledger.set_state(which, [old], new)
        except UnknownJob:
            pass

    @rule(proved=st.booleans())
    def recover(self, proved: bool) -> None:
        self.ledger.recover(lambda row: ("ff", {}) if proved else None)

    @rule(state=st.sampled_from(["done", "failed", "cancelled"]))
    def clear(self, state: str) -> None:
        self.ledger.clear([state])

    @rule(job=jobs, before=st.none() | jobs)
    def move(self, job: int, before: int | None) -> None:
        try:
            self.ledger.move(job, before)
        except UnknownJob:
            pass

    @invariant()
    def counters_are_right(self) -> None:
        recount(self.ledger)
        rows = [r.state for _, r in self.ledger.every()]
        assert self.ledger.counts() == {s: rows.count(s) for s in schema.STATES}

    def teardown(self) -> None:
        self.ledger.close()


TestCounters = Counters.TestCase
TestCounters.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


# together ------------------------------------------------------------------------------------------------------------


def test_two_connections_see_each_other(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "queue.db")
    before = other.version()
    job = ledger.add_job("j", asks(2))
    assert other.version() != before and other.job(job).waiting == 2
    first, second = take(ledger, 1, "v"), take(other, 1, "w")
    assert {first[0].id, second[0].id} == {r.id for r in ledger.page()} and take(ledger, 1) == []
    other.close()


def test_readers_do_not_wait_for_a_writer(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add_job("j", asks(2))
    other = Ledger(tmp_path / "queue.db", timeout=0)
    with ledger._write("test") as db:
        db.execute("DELETE FROM images")
        assert len(other.page()) == 2 and other.counts()["waiting"] == 2  # as it was, at once
        with pytest.raises(LedgerLocked):
            other.prioritise(1, 2)
    assert other.page() == []
    other.prioritise(1, 2)
    other.close()


def test_many_claim_without_taking_the_same(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    first = Ledger(path)
    first.add_job("j", asks(120))
    got: dict[str, list[int]] = {w: [] for w in "abcd"}

    def work(name: str, ledger: Ledger) -> None:
        while rows := take(ledger, 3, name):
            got[name] += [r.id for r in rows]

    second = Ledger(path)
    threads = [
        threading.Thread(target=work, args=(w, led))
        for w, led in zip("abcd", (first, first, second, second), strict=True)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(i for ids in got.values() for i in ids) == [r.id for _, r in first.every()]
    for _, row in first.every():
        assert row.worker is not None and row.id in got[row.worker]
    recount(first)
    first.close()
    second.close()


def test_processes_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.contract.ledger.ledger import Ledger\n"
        "for n in range(15):\n l = Ledger(Path(sys.argv[1]) / f'{n}.db'); l.add_job('j', []); l.close()"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for p in running:
        assert p.communicate()[1] == "" and p.returncode == 0
    for n in range(15):
        led = Ledger(tmp_path / f"{n}.db")
        assert len(led.jobs()) == 3
        led.close()


def test_commands_reach_every_worker_once(ledger: Ledger) -> None:
    ledger.sign_on("v", 1)
    ledger.sign_on("w", 2)
    assert ledger.take_command("v") is None
    ledger.command("release")
    assert (
        ledger.take_command("v") == "release"
        and ledger.take_command("v") is None
        and ledger.take_command("w") == "release"
    )
    ledger.sign_off("w")
    ledger.command("quit")
    assert ledger.take_command("w") is None


# the dead ------------------------------------------------------------------------------------------------------------


def die(ledger: Ledger, begun: int, idle: int = 0) -> list[Row]:
    """A worker without a lease claims rows, begins some, and is no more."""
    rows = take(ledger, begun + idle, "dead")
    ledger.begin(rows[:begun])
    return rows


def test_rows_of_the_dead_come_home_by_proof(ledger: Ledger) -> None:
    ledger.add_job("j", asks(4))
    rows = die(ledger, 3, 1)
    for row in rows[:2]:
        ledger.intend(row.id, "dead", Path(f"/o/{row.id}.png"))
    asked: list[int] = []

    def proof(row: Row) -> tuple[str, dict[str, Any]] | None:
        asked.append(row.id)
        return ("ff", {"r": row.id}) if row.id == rows[0].id else None

    assert ledger.recover(proof) == {"done": 1, "waiting": 3, "failed": 0}
    assert asked == [rows[0].id, rows[1].id]  # only those whose file was about to appear
    after = ledger.page()
    assert [(r.state, r.deaths, r.pending, r.worker) for r in after] == [
        ("done", 0, None, None),
        ("waiting", 1, None, None),
        ("waiting", 1, None, None),
        ("waiting", 0, None, None),
    ]  # the last was not begun
    assert after[0].path == str(Path(f"/o/{rows[0].id}.png")) and ledger.recipe(rows[0].id) == {"r": rows[0].id}
    assert ledger.recover(proof) == {"done": 0, "waiting": 0, "failed": 0}


def test_the_third_death_sets_a_row_aside(ledger: Ledger) -> None:
    ledger.add_job("j", asks(2))
    for death in range(1, MAX_DEATHS + 1):
        die(ledger, 1)
        result = ledger.recover(lambda row: None)
        assert result == {"done": 0, "waiting": int(death < MAX_DEATHS), "failed": int(death == MAX_DEATHS)}
    bad, good = ledger.page()
    assert (bad.state, bad.deaths, good.state) == ("failed", MAX_DEATHS, "waiting")
    assert bad.error is not None and bad.error["kind"] == "worker-died" and bad.error["fields"]["times"] == 3
    ledger.set_state(None, ["failed"], "waiting")
    assert [r.deaths for r in ledger.page()] == [0, 0]


def test_a_lease_is_what_keeps_rows(ledger: Ledger) -> None:
    ledger.add_job("j", asks(2))
    lease = ProcessLock(ledger.lock_file("v"))
    assert lease.take() and lease.take()
    ledger.sign_on("v", os.getpid())
    alive, dead = take(ledger, 1, "v")[0], take(ledger, 1, "dead")[0]
    ledger.sign_on("dead", 1)
    assert is_held(ledger.lock_file("v")) and not is_held(ledger.lock_file("dead"))
    assert [r.id for r in ledger.stranded()] == [dead.id]
    ledger.recover(lambda row: None)
    assert ledger.still_running([alive, dead], "v") == {alive.id}
    ledger.command("quit")
    assert ledger.take_command("v") == "quit" and ledger.take_command("dead") is None  # signed off with its rows
    lease.drop(remove=True)
    assert not ledger.lock_file("v").exists() and [r.id for r in ledger.stranded()] == [alive.id]


def test_the_lease_ends_with_the_process(ledger: Ledger) -> None:
    file = ledger.lock_file("w")
    code = (
        "import sys, time; from pathlib import Path; from engine.contract.ledger.process_lock import ProcessLock\n"
        "lock = ProcessLock(Path(sys.argv[1])); print(lock.take(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None and p.stdout.readline() == "True\n"
        assert is_held(file) and not ProcessLock(file).take()
        p.kill()
    assert not is_held(file) and not file.exists()


def test_two_may_recover_at_once(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row brought home by another process and claimed by its living worker is not taken from it."""
    ledger.add_job("j", asks(1))
    die(ledger, 1)
    late = Ledger(tmp_path / "queue.db")
    stranded = late.stranded()
    ledger.recover(lambda row: None)
    row = take(ledger, 1, "living")[0]
    monkeypatch.setattr(late, "stranded", lambda: stranded)
    assert late.recover(lambda row: None) == {"done": 0, "waiting": 0, "failed": 0}
    assert ledger.still_running([row], "living") == {row.id}
    now = ledger.row(row.id)
    assert now is not None and now.deaths == 1
    late.close()


# damage --------------------------------------------------------------------------------------------------------------


def test_a_newer_ledger_is_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    db = sqlite3.connect(tmp_path / "queue.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(LedgerNewer, match="schema 99"):
        Ledger(tmp_path / "queue.db")


def test_a_busy_ledger_is_told(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add_job("j", asks(1))
    db = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    other = Ledger(tmp_path / "queue.db", timeout=0.05)
    with pytest.raises(LedgerLocked):
        take(other, 1)
    db.execute("ROLLBACK")
    db.close()
    assert len(take(other, 1)) == 1
    other.close()


def test_a_place_that_cannot_hold_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "queue.db", tmp_path / "folder"):
        with pytest.raises(LedgerError):
            Ledger(path)


@pytest.mark.parametrize("size", [20, 5000])
def test_garbage(tmp_path: Path, size: int) -> None:
    path = tmp_path / "queue.db"
    path.write_bytes(b"\xa5" * size)
    with pytest.raises(LedgerCorrupt):
        Ledger(path)
    kept, saved = schema.salvage(path)
    assert saved == 0 and kept.read_bytes() == b"\xa5" * size
    led = Ledger(path)
    assert led.jobs() == []
    led.close()


def test_a_damaged_page_costs_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    led = Ledger(path)
    jobs = [led.add_job(n, asks(400, n), priority=p) for n, p in (("a", 0), ("b", 4))]
    for row in take(led, 50):
        led.done(row.id, path=Path(f"/o/{row.id}.png"), pixel_sha256="ab", recipe={"r": row.id})
    led.pause([jobs[0]], True)
    before = {r.id: r for _, r in led.every()}
    led.close()
    db = sqlite3.connect(path)
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    data = bytearray(path.read_bytes())
    at = data.index(b'"a200"') // size  # the page of the table with this row
    data[at * size : (at + 1) * size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(LedgerCorrupt):
        led = Ledger(path)
        try:
            list(led.every())
        finally:
            led.close()
    kept, saved = schema.salvage(path)
    assert kept.read_bytes() == bytes(data)
    led = Ledger(path)
    after = {r.id: r for _, r in led.every()}
    assert saved == len(after) > len(before) - 150
    assert all(before[i] == r for i, r in after.items())
    assert [(j.id, j.name, j.priority, j.paused) for j in led.jobs()] == [
        (jobs[1], "b", 4, False),
        (jobs[0], "a", 0, True),
    ]
    assert led.recipe(next(r.id for r in after.values() if r.state == "done"))
    recount(led)
    assert led.add_job("new", asks(1)) > max(jobs)
    led.close()


def test_rows_in_the_write_ahead_log_are_saved_too(tmp_path: Path) -> None:
    """Kill -9 leaves a log beside the file; the damaged file is kept with it."""
    path = tmp_path / "queue.db"
    code = (
        "import os, sys; from pathlib import Path; from engine.contract.ledger.ledger import Ledger; from "
        "engine.contract.request import ImageRequest\n"
        "Ledger(Path(sys.argv[1])).add_job('j', [ImageRequest(prompt='a', seed=1)]); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.with_name("queue.db-wal").stat().st_size
    kept, saved = schema.salvage(path)
    assert saved == 1 and kept.exists()
    led = Ledger(path)
    assert prompts(led.page()) == "a"
    led.close()
