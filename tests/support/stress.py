"""Kill workers at random, and fail every file and database operation in turn: ``python -m tests.support.stress --kills
200 --faults``.

After each mishap a clean worker goes on with ``--resume``, and then every row must be done once: see
``tests.support.stub_model.check``.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from tests.support.stub_model import Worker, check, make_stub, requests, worker

KINDS = ("ENOSPC", "EIO", "CRASH")


def kills(folder: Path, count: int, *, rows: int = 40, seed: int = 0) -> Counter[str]:
    """Kill workers ``count`` times; when a queue is through, check it and begin another. Returns what happened."""
    chance, seen = random.Random(seed), Counter[str]()
    model = make_stub(folder / "model")
    while seen["kills"] < count:
        number = seen["queues"]
        path, out = folder / f"{number}.db", folder / f"out-{number}"
        ledger = Ledger(path)
        # two names a picture may take, so that a second making would show as "-2", and every format
        for form in ("png", "webp", "jpeg")[:1] * 2 + ("webp",):
            ledger.add_job(
                "stress",
                requests(
                    model, out, rows // 3, format=form, name="{sampler}/{prompt:20}" if form == "png" else "w{seed}"
                ),
            )
        while seen["kills"] < count and any(ledger.counts()[s] for s in ("waiting", "running")):
            _one_kill(path, chance, seen)
            seen["set aside"] += ledger.set_state(None, ["failed"], "waiting")
        finish(path, seen)
        check(ledger, out)
        seen["pictures"] += ledger.counts()["done"]
        seen["queues"] += 1
        ledger.close()
    return seen


def _one_kill(path: Path, chance: random.Random, seen: Counter[str]) -> None:
    step = chance.choice(["0", "0.002", "0.02"])
    with worker(
        path, "--resume", "--until-empty", "--batch-size", chance.choice(["1", "2", "4"]), COMMONART_FAKE_STEP=step
    ) as w:
        if chance.random() < 0.6:  # after so many events and then a moment
            for _ in range(chance.randrange(1, 12)):
                if w.next() is None:
                    break
            time.sleep(chance.random() ** 3 * 0.05)
        else:
            try:  # anywhere, its start included
                end = time.monotonic() + chance.random() * 0.9
                while w.next(max(0.001, end - time.monotonic())) is not None:
                    pass
            except queue.Empty:
                pass
        if w.process.poll() is None:
            w.kill()
            seen["kills"] += 1
            seen["killed before its first word"] += not w.events


def finish(path: Path, seen: Counter[str] | None = None) -> None:
    """Go on with clean workers until all is done; a picture set aside because its workers died is tried again."""
    ledger = Ledger(path)
    try:
        for _ in range(4):
            if ledger.paused()[0]:
                ledger.pause(None, False)
            with worker(path, "--resume", "--until-empty") as w:
                code = w.end()
                assert code == 0, (code, w.events[-3:], w.stderr)
            again = [
                r.id for _, r in ledger.every() if r.state == "failed" and r.error and r.error["kind"] == "worker-died"
            ]
            if not again:
                return
            count = ledger.set_state(None, ["failed"], "waiting")
            if seen is not None:
                seen["set aside"] += count
        raise AssertionError("images are set aside again and again")
    finally:
        ledger.close()


def _fault_queue(folder: Path) -> tuple[Path, Path]:
    """A queue of three pictures and one that cannot be made, not yet opened by any worker.

    The harness touches no seam itself.
    """
    path, out = folder / "queue.db", folder / "out"
    ledger = Ledger(path)
    ledger.add_job(
        "faults",
        [*requests(folder.parent / "model", out, 3), *requests(folder.parent / "model", out, 1, prompt="!nan")],
    )
    ledger.close()
    return path, out


def operations(folder: Path) -> list[str]:
    """The names of the seam's operations in a run without faults."""
    make_stub(folder / "model")
    (folder / "count").mkdir()
    path, out = _fault_queue(folder / "count")
    log = folder / "count.log"
    with worker(
        path, "--until-empty", "--resume", "--batch-size", "2", COMMONART_FAULT="COUNT", COMMONART_FAULT_LOG=str(log)
    ) as w:
        assert w.end() == 0, w.events
    ledger = Ledger(path)
    check(ledger, out, failed=1)
    ledger.close()
    return [line.partition(" ")[2] for line in log.read_text(encoding="utf-8").splitlines()]


def fault(folder: Path, kind: str, number: int | str) -> str:
    """One run with one fault, then a clean one. Returns what hit, as the seam told."""
    here = folder / f"{kind}-{number}"
    here.mkdir()
    path, out = _fault_queue(here)
    log = here / "fault.log"
    with worker(
        path,
        "--until-empty",
        "--resume",
        "--batch-size",
        "2",
        COMMONART_FAULT=f"{kind}@{number}",
        COMMONART_FAULT_LOG=str(log),
    ) as w:
        _obey(w)
        code = w.end()
        assert code == 137 if kind == "CRASH" and log.exists() else code in (0, 1), (code, w.events, w.stderr)
        assert "Traceback" not in w.stderr, w.stderr
    ledger = Ledger(path)
    counts = ledger.counts()
    if code:
        finish(path)
    else:  # the worker itself got over it
        assert counts["done"] == 3 and counts["failed"] == 1, counts
    check(ledger, out, failed=1)
    ledger.close()
    return log.read_text(encoding="utf-8").strip() if log.exists() else ""


def _obey(w: Worker) -> None:
    """Resume whenever the queue is paused, as a person who has freed some space would."""
    pauses = 0
    while (event := w.next()) is not None:
        if isinstance(event, events.Paused):
            pauses += 1
            assert pauses < 8, f"it is paused for ever by one fault: {w.events[-6:]}"
            w.say("resume")


def sweep(folder: Path, every: int = 1, kinds: Iterable[str] = KINDS) -> Counter[str]:
    """A fault at every ``every``-th operation, beginning elsewhere for each kind."""
    names, seen = operations(folder), Counter[str]()
    seen["operations"] = len(names)
    for offset, kind in enumerate(kinds):
        for number in range(1 + offset % every, len(names) + 1, every):
            try:
                hit = fault(folder, kind, number)
            except AssertionError as e:
                raise AssertionError(f"{kind}@{number} ({names[number - 1]}): {e}") from e
            seen["hit" if hit else "missed"] += 1
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.stress", description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--faults", action="store_true", help="fail some operations")
    parser.add_argument("--all", action="store_true", help="fail every operation, each in every way")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["COMMONART_HOME"] = str(Path(name) / "home")
        if args.kills:
            began = time.monotonic()
            (Path(name) / "kills").mkdir()
            seen = kills(Path(name) / "kills", args.kills, seed=args.seed)
            print(
                f"kills: {dict(seen)}, seed {args.seed}, {time.monotonic() - began:.0f} s: every picture there once, "
                f"none broken"
            )
        if args.faults or args.all:
            began = time.monotonic()
            (Path(name) / "faults").mkdir()
            seen = sweep(Path(name) / "faults", 1 if args.all else 4)
            print(f"faults: {dict(seen)}, {time.monotonic() - began:.0f} s: every picture there once, none broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
