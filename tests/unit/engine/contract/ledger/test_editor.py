"""What a person does to jobs and picked images, and undoing it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.errors import BadValue, DiskFull, UnknownJob
from engine.contract.ledger.ledger import Ledger, Row
from engine.contract.ledger.selection import MAX_ACTIONS, Selection
from engine.contract.request import ImageRequest
from tests.support.stub_model import recount


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    led = Ledger(tmp_path / "queue.db")
    yield led
    led.close()


def asks(count: int, word: str = "a") -> list[ImageRequest]:
    return [ImageRequest(prompt=f"{word}{n}", seed=n) for n in range(count)]


def states(ledger: Ledger) -> str:
    recount(ledger)
    return "".join(r.state[0] for _, r in ledger.every())  # w r d f c


def everything(ledger: Ledger) -> list[Row]:
    return [r for _, r in ledger.every()]


def fail(ledger: Ledger, job: int, count: int) -> list[int]:
    rows = ledger.claim("w", lambda rows: [r for r in rows if r.job == job][:count])
    ledger.begin(rows)
    ledger.fail([r.id for r in rows], DiskFull(path="/x"))
    return [r.id for r in rows]


def done(ledger: Ledger, job: int, count: int) -> None:
    for r in ledger.claim("w", lambda rows: [r for r in rows if r.job == job][:count]):
        ledger.done(r.id, path=Path("/o.png"), pixel_sha256="ff", recipe={"seed": r.request.seed})


def order(ledger: Ledger) -> str:
    return "".join(j.name for j in ledger.jobs())


# picked images ------------------------------------------------------------------------------------------------------


def test_jobs_pictures_and_ranges_are_cancelled_and_undone(ledger: Ledger) -> None:
    a, b, c = ledger.add_job("a", asks(2)), ledger.add_job("b", asks(3)), ledger.add_job("c", asks(5))
    of = {j: [r.id for r in ledger.page(job=j)] for j in (a, b, c)}
    ledger.claim("w", lambda rows: rows[:1])
    assert ledger.cancel(Selection(jobs=[a, 99], pictures=[of[b][1], 999], ranges=[(c, of[c][1], of[c][3])])) == 6
    assert states(ledger) == "cc wcw wcccw".replace(" ", "")
    assert ledger.row(of[a][0]).worker is None  # type: ignore[union-attr]
    assert ledger.undo() == ("cancel", 6) and states(ledger) == "w" * 10
    assert ledger.undo() == ("", 0)
    assert not ledger.path.with_name("queue.db.removed").exists()


def test_a_range_under_a_filter_takes_what_it_showed(ledger: Ledger) -> None:
    job = ledger.add_job("a", asks(6))
    fail(ledger, job, 2)
    running = ledger.claim("w", lambda rows: rows[1:2])[0].id
    rows = [r.id for r in ledger.page()]
    assert ledger.cancel(Selection(ranges=[(job, rows[0], rows[-1])], state="waiting")) == 3
    assert states(ledger) == "ffcrcc" and ledger.row(running).state == "running"  # type: ignore[union-attr]


def test_retry(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(3)), ledger.add_job("b", asks(2))
    ids = fail(ledger, a, 2)
    ledger.cancel(Selection(jobs=[b], pictures=[ledger.page()[2].id]))
    assert states(ledger) == "ffccc"
    assert (
        ledger.retry(Selection(jobs=[a, b])) == 4 and states(ledger) == "wwcww"
    )  # what failed; of a job without, what was cancelled
    row = ledger.row(ids[0])
    assert row is not None and (row.error, row.attempts, row.deaths) == (None, 0, 0)
    assert ledger.retry(Selection(pictures=[ledger.page()[2].id, ids[0]])) == 1 and states(ledger) == "wwwww"
    fail(ledger, a, 1)
    assert ledger.retry(None) == 1 and ledger.retry(None) == 0


def test_what_is_taken_off_comes_back_as_it_was(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(3)), ledger.add_job("b", asks(2), priority=3)
    fail(ledger, a, 1)
    done(ledger, b, 2)
    before, jobs = everything(ledger), ledger.jobs()
    recipe = ledger.recipe(before[0].id)
    assert ledger.take_off(Selection(jobs=[a, b])) == 3  # what waits stays
    assert [j.id for j in ledger.jobs()] == [a] and states(ledger) == "ww"
    assert ledger.undo() == ("remove", 3)
    assert (
        everything(ledger) == before and ledger.jobs() == jobs and ledger.recipe(before[0].id) == recipe == {"seed": 0}
    )
    assert ledger.take_off(None, ["failed"]) == 1 and states(ledger) == "ddww"


def test_deeds_are_undone_from_the_last_one_on(ledger: Ledger) -> None:
    job = ledger.add_job("a", asks(4))
    ids = [r.id for r in ledger.page()]
    ledger.cancel(Selection(pictures=ids[:1]))
    ledger.cancel(Selection(pictures=ids[1:2]))
    ledger.take_off(Selection(jobs=[job]))
    assert ledger.cancel(Selection(pictures=[999])) == 0  # changed nothing: not a deed
    assert states(ledger) == "ww"
    seen = []
    while (answer := ledger.undo())[0]:
        seen.append((*answer, states(ledger)))
    assert seen == [("remove", 2, "ccww"), ("cancel", 1, "cwww"), ("cancel", 1, "wwww")]


def test_only_so_many_deeds_are_kept(ledger: Ledger) -> None:
    ledger.add_job("a", asks(MAX_ACTIONS + 3))
    for row in ledger.page():
        ledger.cancel(Selection(pictures=[row.id]))
    count = 0
    while ledger.undo()[0]:
        count += 1
    assert count == MAX_ACTIONS and states(ledger) == "ccc" + "w" * MAX_ACTIONS


def test_undo_after_others_have_changed_it(ledger: Ledger) -> None:
    a, b = ledger.add_job("a", asks(2)), ledger.add_job("b", asks(1))
    ledger.cancel(Selection(jobs=[a, b]))
    ledger.set_state([b], ["cancelled"], "waiting")
    row = ledger.claim("w", lambda rows: rows[:1])[0]
    ledger.clear(["cancelled"])
    assert ledger.undo() == ("cancel", 0) and ledger.row(row.id).state == "running"  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"this is not a database at all, but long enough to be taken for one" * 40, b""])
def test_a_damaged_or_older_file_aside_is_begun_anew(ledger: Ledger, content: bytes) -> None:
    job = ledger.add_job("a", asks(1))
    ledger.path.with_name("queue.db.removed").write_bytes(content)
    assert ledger.cancel(Selection(jobs=[job])) == 1 and ledger.undo() == ("cancel", 1)
    db = sqlite3.connect(ledger.path.with_name("queue.db.removed"))
    db.execute("CREATE TABLE jobs (old)")
    db.close()
    assert ledger.cancel(Selection(jobs=[job])) == 1 and ledger.undo() == ("cancel", 1)


def test_a_deed_that_fails_changes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.contract.ledger import selection

    job = ledger.add_job("a", asks(2))
    ledger.cancel(Selection(jobs=[job]))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(selection, "_forget", full)
    with pytest.raises(DiskFull):
        ledger.take_off(Selection(jobs=[job]))
    monkeypatch.undo()
    assert states(ledger) == "cc" and ledger.undo() == ("cancel", 2)


# jobs -----------------------------------------------------------------------------------------------------------------


def test_jobs_are_put_in_another_order(ledger: Ledger) -> None:
    a, b, c, d = (ledger.add_job(n, asks(1)) for n in "abcd")
    ledger.reorder([d, b], a)
    assert order(ledger) == "dbac"
    ledger.reorder([d], None)
    assert order(ledger) == "bacd"
    ledger.reorder([99, c, c], b)
    assert order(ledger) == "cbad"
    ledger.reorder([c], c)
    assert order(ledger) == "cbad"
    ledger.raise_priority([a, d], 2)
    assert order(ledger) == "adcb"
    ledger.reorder([b], d)  # takes the priority of its new neighbour
    assert order(ledger) == "abdc" and ledger.job(b).priority == 2
    ledger.reorder([a], None)
    assert order(ledger) == "bdca" and ledger.job(a).priority == 0


def test_jobs_are_moved_by_steps(ledger: Ledger) -> None:
    a, b, c, d = (ledger.add_job(n, asks(1)) for n in "abcd")
    ledger.step([b, d], -1)
    assert order(ledger) == "bdac"
    ledger.step([b, d], -1)  # at the top already
    assert order(ledger) == "bdac"
    ledger.step([b], 1)
    assert order(ledger) == "dbac"
    ledger.step([d, a], 1)
    assert order(ledger) == "bcda"
    ledger.step([99], 1)
    ledger.step([a], 1)
    assert order(ledger) == "bcda" and {c, d} < {j.id for j in ledger.jobs()}


def test_rename_and_duplicate(ledger: Ledger) -> None:
    job = ledger.add_job("a", asks(3), priority=2)
    fail(ledger, job, 1)
    ledger.rename(job, "  すし\n studies ")
    assert ledger.job(job).name == "すし studies"
    for bad, error in (("  ", BadValue), ("x", UnknownJob)):
        with pytest.raises(error):
            ledger.rename(job if error is BadValue else 99, bad)
    copy = ledger.duplicate(job, "copy")
    assert [r.request for r in ledger.page(job=copy)] == [r.request for r in ledger.page(job=job)]
    now = ledger.job(copy)
    assert (now.name, now.priority, now.waiting, now.failed) == ("copy", 2, 3, 0)
    with pytest.raises(UnknownJob):
        ledger.duplicate(99, "x")


# reading by places ----------------------------------------------------------------------------------------------------


def test_lines_say_what_rows_say_with_and_without_gaps(ledger: Ledger) -> None:
    job = ledger.add_job("a", [ImageRequest(prompt=f"p{n}", seed=n, width=64, height=32, steps=7) for n in range(30)])
    ledger.add_job("b", asks(5))
    failed = fail(ledger, job, 3)
    for _ in range(2):
        rows = ledger.page(job=job, limit=100)
        lines = ledger.lines(job, limit=100)
        assert [(x.id, x.state, x.prompt, x.seed, x.steps, x.width, x.height, x.attempts, x.error) for x in lines] == [
            (r.id, r.state, r.request.prompt, r.request.seed, 7, 64, 32, r.attempts, r.error) for r in rows
        ]
        for offset in (0, 1, 13, len(rows) - 2, len(rows), len(rows) + 9):
            assert [x.id for x in ledger.lines(job, offset=offset, limit=5)] == [
                r.id for r in rows[offset : offset + 5]
            ]
            assert [r.id for r in ledger.page(job=job, offset=offset, limit=5)] == [
                r.id for r in rows[offset : offset + 5]
            ]
        waiting = [r.id for r in rows if r.state == "waiting"]
        assert [x.id for x in ledger.lines(job, offset=4, limit=6, state="waiting")] == waiting[4:10]
        assert ledger.offsets(job, [rows[0].id, rows[9].id, 999], None) == {rows[0].id: 0, rows[9].id: 9}
        assert ledger.offsets(job, [failed[0], waiting[5]], "waiting") == {waiting[5]: 5}
        with ledger._write("test") as db:  # the second time with gaps
            db.execute("DELETE FROM images WHERE id % 7 = 5 AND job = ?", (job,))
    with pytest.raises(UnknownJob):
        ledger.lines(99)


@pytest.mark.parametrize(
    "damage", ["{", '"x"', '{"prompt": 1, "seed": 2}', '{"seed": 2}', '{"prompt": "p", "seed": "s"}']
)
def test_a_damaged_row_is_a_line_that_says_so(ledger: Ledger, damage: str) -> None:
    job = ledger.add_job("a", asks(1))
    with ledger._write("test") as db:
        db.execute("UPDATE images SET request = ?", (damage,))
    line = ledger.lines(job)[0]
    assert line.prompt == "?" and line.error is not None and "damaged" in json.dumps(line.error)
