"""Kill -9 anywhere, and any file or database operation failing: ``python -m tests.support.stress`` does more of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.ledger.ledger import Ledger
from tests.support import stress
from tests.support.stub_model import Worker, check, make_stub, requests, worker


def test_kill_at_random(tmp_path: Path) -> None:
    seen = stress.kills(tmp_path, 20, rows=24, seed=7)
    assert seen["kills"] == 20 and seen["queues"] and seen["pictures"] >= 24


def test_any_operation_may_fail(tmp_path: Path) -> None:
    seen = stress.sweep(tmp_path, every=7)
    assert seen["operations"] > 25 and seen["hit"] >= 9, seen


@pytest.mark.parametrize("kind", stress.KINDS)
@pytest.mark.parametrize("operation", ["ledger done", "fsync folder", "ledger fail", "rename", "ledger intend"])
def test_the_operations_that_hurt_most(tmp_path: Path, kind: str, operation: str) -> None:
    """The first of each: a published file whose row is not marked must not be made again."""
    make_stub(tmp_path / "model")
    assert operation in stress.fault(tmp_path, kind, operation)


def test_the_first_opening_may_fail(tmp_path: Path) -> None:
    for fault in ("EIO@1", "ENOSPC@2", "CRASH@2"):
        path = tmp_path / f"{fault}.db"
        with worker(path, "--until-empty", COMMONART_FAULT=fault) as w:
            assert w.end() == (137 if fault.startswith("CRASH") else 1)
        stress.finish(path)


def test_a_picture_of_another_ledger_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Two queues, the same folder, names and row numbers: both get their pictures."""
    model, out = make_stub(tmp_path / "model"), tmp_path / "out"
    ledgers = [Ledger(tmp_path / f"{n}.db") for n in "ab"]
    for ledger in ledgers:
        ledger.add_job("j", requests(model, out, 12))
    workers: list[Worker] = []
    try:
        workers += [Worker(led.path, "--until-empty") for led in ledgers]
        assert [w.end() for w in workers] == [0, 0]
    finally:
        for w in workers:
            if w.process.poll() is None:
                w.kill()
    paths = [r.path for led in ledgers for r in led.page()]
    assert len(set(paths)) == 24 == len(list(out.iterdir()))
    for ledger in ledgers:
        assert all(r.state == "done" for r in ledger.page())
        ledger.close()


def test_what_a_dead_worker_left_aside_is_removed(tmp_path: Path) -> None:
    """Only its own: another worker may be writing there now."""
    model, out = make_stub(tmp_path / "model"), tmp_path / "out"
    ledger = Ledger(tmp_path / "queue.db")
    ledger.add_job("j", requests(model, out, 2, name="sub/{seed}"))
    for row in ledger.claim("dead", lambda rows: rows[:1]):
        ledger.begin([row])
    (out / "sub").mkdir(parents=True)
    (out / "sub" / ".row1-dead.commonart-part").write_bytes(b"half")
    (out / "sub" / ".row1-other.commonart-part").write_bytes(b"being written")
    stress.finish(tmp_path / "queue.db")
    assert (out / "sub" / ".row1-other.commonart-part").read_bytes() == b"being written"
    (out / "sub" / ".row1-other.commonart-part").unlink()
    check(ledger, out)
    ledger.close()
