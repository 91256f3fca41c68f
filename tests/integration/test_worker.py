"""Real worker processes over real ledgers, with the fake backend."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.checkpoint.layout import identify
from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest
from engine.contract.version import APP
from engine.imagefile.image import read_pixels, read_recipe
from tests.support.stub_model import SIDE, Worker, check, make_stub, requests, until, worker

SLOW = "0.05"  # seconds a step, where a test acts in the middle of a picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stub(tmp_path_factory.mktemp("models") / "stub")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    led = Ledger(path)
    yield led
    led.close()


def drain(path: Path, *options: str, **environment: str) -> Worker:
    """A worker until nothing is left; it ends well."""
    with worker(path, "--until-empty", *options, **environment) as w:
        assert w.end() == 0, w.events
        assert w.stderr == ""
    return w


def states(ledger: Ledger) -> list[str]:
    return [r.state for _, r in ledger.every()]


def with_prompts(plain: list[ImageRequest], special: dict[int, str]) -> list[ImageRequest]:
    return [
        ImageRequest.from_dict(r.to_dict() | {"prompt": special[i]}) if i in special else r for i, r in enumerate(plain)
    ]


def test_the_stub_is_a_model(model: Path) -> None:
    folder = identify(model)
    assert (folder.own_side, folder.multiple, folder.layout) == (SIDE, 8, "pipeline")


def test_twenty_pictures(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    job = ledger.add_job("twenty", requests(model, out, 20))
    w = drain(path)
    check(ledger, out)
    assert isinstance(w.events[0], events.Hello) and len(w.of(events.Loaded)) == 1 and w.of(events.Progress)
    reports = {e.image: e.report for e in w.of(events.Saved)}
    rows = ledger.page()
    assert len(reports) == 20 == len(rows)
    for row in rows:
        recipe = read_recipe(Path(row.path or ""))
        assert (
            reports[row.id]["path"] == row.path
            and reports[row.id]["pixel_sha256"] == row.pixel_sha256
            and reports[row.id]["job"] == job
        )
        assert recipe == ledger.recipe(row.id) and recipe["app"] == APP and str(out) not in json.dumps(recipe)
        assert read_pixels(Path(row.path or "")).shape == (SIDE, SIDE, 3) and row.attempts == 1
    assert not [p for p in path.parent.iterdir() if ".lock" in p.name]  # the lease is gone with its worker


def test_existing_files_are_never_overwritten(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    out.mkdir()
    (out / "same.png").write_bytes(b"mine")
    (out / "same-3.png").mkdir()
    ledger.add_job("j", requests(model, out, 3, name="same"))
    drain(path)
    assert (out / "same.png").read_bytes() == b"mine"
    assert sorted(p.name for p in out.iterdir()) == ["same-2.png", "same-3.png", "same-4.png", "same-5.png", "same.png"]
    assert len({r.path for r in ledger.page() if r.state == "done"}) == 3


def test_one_that_is_not_a_number_fails_alone(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", with_prompts(requests(model, out, 8), {3: "!nan"}))
    w = drain(path)
    check(ledger, out, failed=1)
    bad = ledger.page()[3]
    assert bad.error is not None and bad.error["kind"] == "not-finite" and "--dtype fp32" in bad.error["hint"]
    assert [(e.image, e.prompt, e.error["kind"]) for e in w.of(events.Failed)] == [(bad.id, "!nan", "not-finite")]


def test_one_that_fits_in_no_memory_fails_alone(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", with_prompts(requests(model, out, 8), {3: "!oom"}))
    w = drain(path, COMMONART_FAKE_STEP="0.01")
    check(ledger, out, failed=1)
    bad = ledger.page()[3]
    assert bad.error is not None and bad.error["kind"] == "out-of-memory" and f"{SIDE}x{SIDE}" in bad.error["message"]
    assert len(w.of(events.Failed)) == 1 and len(w.of(events.Saved)) == 7


def test_memory_for_two_at_once(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 20))
    w = drain(path, COMMONART_FAKE_ROOM="2")
    check(ledger, out)
    notes = w.of(events.Note)
    assert len(notes) == 1 and notes[0].fields["half"] < notes[0].fields["more"]
    sizes = {read_recipe(Path(r.path or ""))["batch"][0] for r in ledger.page()}
    assert max(sizes) == 2  # what the recipe tells is what was drawn together


def test_the_first_batch_of_a_new_size_is_made_once(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    """Rows beyond what a device should hold are put back, whatever happens to the others."""
    wide = with_prompts(requests(model, out, 40, width=64), {2: "!oom 1", 5: "!nan 2"})
    ledger.add_job("j", [*requests(model, out, 4), *wide])
    drain(path, COMMONART_FAKE_STEP="0.001", COMMONART_FAKE_ROOM="3")
    check(ledger, out, failed=2)


def test_impossible_rows_fail_and_the_rest_is_made(
    model: Path, out: Path, path: Path, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.add_job("size", requests(model, out, 2, width=36))
    ledger.add_job("model", requests(tmp_path / "nowhere", out, 2))
    ledger.add_job("name", requests(model, out, 1, name="{nosuch}"))
    ledger.add_job("good", requests(model, out, 3))
    w = drain(path)
    check(ledger, out, failed=5)
    kinds = [r.error["kind"] for r in ledger.page() if r.error]
    assert kinds[:2] == ["bad-value", "bad-value"] and kinds[2] == kinds[3] and kinds[4] == "bad-template"
    assert sorted(e.image for e in w.of(events.Failed)) == [1, 2, 3, 4, 5]


def test_one_that_kills_the_worker_is_set_aside(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", with_prompts(requests(model, out, 9), {4: "!die"}))
    deaths = 0
    while True:
        with worker(path, "--resume", "--until-empty") as w:
            code = w.end()
        if code == 0:
            break
        assert code == 139
        deaths += 1
        assert deaths <= 3
    assert deaths == 3
    check(ledger, out, failed=1)
    bad = ledger.page()[4]
    assert bad.state == "failed" and bad.error is not None and bad.error["kind"] == "worker-died"


def test_without_resume_the_dead_are_left(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", with_prompts(requests(model, out, 1), {0: "!die"}))
    with worker(path, "--until-empty") as w:
        assert w.end() == 139
    ledger.add_job("k", requests(model, out, 2))
    drain(path)
    assert states(ledger) == ["running", "done", "done"] and len(ledger.stranded()) == 1


# commands ------------------------------------------------------------------------------------------------------------


def test_pause_resume_release_and_quit(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 4, steps=30))
    with worker(path, "--batch-size", "2", COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        began = time.monotonic()
        w.say("pause")
        w.wait_for(events.Paused)
        assert time.monotonic() - began < 1.0  # within a step, not at the end of the picture
        assert ledger.paused() == (True, None) and states(ledger).count("done") == 0
        quiet = len(w.events)
        time.sleep(0.4)
        assert len(w.events) == quiet
        w.say("release")
        w.wait_for(events.Released)
        until(lambda: states(ledger).count("running") == 0)  # nothing is held while the device is
        w.say("nonsense")
        w.say("resume")
        w.wait_for(events.Resumed)
        w.wait_for(events.Loaded)
        w.wait_for(events.Progress)
        w.say("quit")
        began = time.monotonic()
        assert w.end() == 0
        assert time.monotonic() - began < 1.5
    assert states(ledger) == ["waiting"] * 4 and "command" in w.stderr
    assert [r.deaths for r in ledger.page()] == [0] * 4
    drain(path)
    check(ledger, out)


def test_cancel(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    first = ledger.add_job("j", requests(model, out, 3, steps=40))
    ledger.add_job("k", requests(model, out, 2, steps=2))
    with worker(path, "--batch-size", "1", COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        ledger.set_state([first], ["waiting", "running"], "cancelled")  # one job, from another process
        assert w.wait_for(events.Saved).report["job"] != first
        w.wait_for(events.Idle)
        ledger.add_job("l", requests(model, out, 3, steps=40))
        w.wait_for(events.Progress)
        w.say("cancel")
        w.wait_for(events.Idle)
        assert states(ledger) == ["cancelled"] * 3 + ["done"] * 2 + ["cancelled"] * 3
        w.say("quit")
        assert w.end() == 0
    assert len(list(out.rglob("*.*"))) == 2


def test_a_paused_job_is_left_and_the_others_go_on(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    slow = ledger.add_job("slow", requests(model, out, 1, steps=60))
    quick = ledger.add_job("quick", requests(model, out, 1, steps=1))
    with worker(path, "--batch-size", "1", "--until-empty", COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        ledger.pause([slow], True)
        assert w.wait_for(events.Saved).report["job"] == quick
        assert w.end() == 0  # what is paused is not waited for
    assert states(ledger) == ["waiting", "done"]


def test_closed_input_ends_the_worker_and_frees_its_rows(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 5, steps=60))
    with worker(path, "--batch-size", "2", COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        assert w.process.stdin is not None
        w.process.stdin.close()
        assert w.end(5) == 0
    assert states(ledger) == ["waiting"] * 5 and ledger.stranded() == []


def test_commands_through_the_ledger(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 1, steps=60))
    with worker(path, COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        ledger.command("quit")
        assert w.end(5) == 0
    assert states(ledger) == ["waiting"]


def test_two_workers_share(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 24))
    options = ("--until-empty", "--batch-size", "2", "--resume")
    with (
        worker(path, *options, COMMONART_FAKE_STEP="0.03") as a,
        worker(path, *options, COMMONART_FAKE_STEP="0.03") as b,
    ):
        assert a.end() == 0 and b.end() == 0
    check(ledger, out)
    saved = [[e.image for e in w.of(events.Saved)] for w in (a, b)]
    assert sorted(saved[0] + saved[1]) == [r.id for r in ledger.page()] and all(saved)


def test_several_workers_resume_together(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 12, steps=10))
    with worker(path, "--batch-size", "12", COMMONART_FAKE_STEP=SLOW) as w:
        w.wait_for(events.Progress)
        w.kill()
    assert len(ledger.stranded()) == 12
    options = ("--until-empty", "--resume")
    with worker(path, *options) as a, worker(path, *options) as b:
        assert a.end() == 0 and b.end() == 0
    drain(path)
    check(ledger, out)
    assert not [p for p in path.parent.iterdir() if ".lock" in p.name]


# places that cannot be written ---------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_pauses_the_queue(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 5))
    out.write_text("a file where the folder should be")
    with worker(path, "--until-empty") as w:
        error = w.wait_for(events.Paused).error
        assert error is not None and error["kind"] == "output-folder" and str(out) in error["message"] and error["hint"]
        until(lambda: states(ledger) == ["waiting"] * 5)
        assert ledger.paused()[1] == error
        out.unlink()
        w.say("resume")
        assert w.end() == 0
    check(ledger, out)
    assert all(r.deaths == 0 for r in ledger.page())


def test_folders_are_made(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out / "deep" / "er", 3))
    drain(path)
    check(ledger, out)


def test_a_disk_nearly_full_pauses_the_queue(model: Path, out: Path, path: Path, ledger: Ledger) -> None:
    ledger.add_job("j", requests(model, out, 3))
    with worker(path, COMMONART_MIN_FREE_MB="1000000000") as w:
        error = w.wait_for(events.Paused).error
        assert error is not None and error["kind"] == "disk-full" and str(out) in error["message"]
        assert states(ledger) == ["waiting"] * 3 and not out.exists()
        w.say("quit")
        assert w.end() == 0
    assert ledger.paused()[0]
    ledger.pause(None, False)
    drain(path)
    check(ledger, out)


def test_a_ledger_that_cannot_be_used_is_told(path: Path) -> None:
    path.write_bytes(b"\xa5" * 5000)
    with worker(path) as w:
        assert w.end() == 1
    assert [type(e) for e in w.events] == [events.Broken] and w.of(events.Broken)[0].error["kind"] == "ledger-corrupt"
