"""What a careful reader found once: each stays mended."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from engine.checkpoint.layout import identify
from engine.checkpoint.weights import weight_files
from engine.contract.errors import BrokenWeights, NotAModel
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest
from tests.integration.test_cli import commonart, objects
from tests.support.stub_model import make_stub


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return make_stub(tmp_path / "stub")


def spoil(file: Path, image: int, **columns: str) -> None:
    """Change a row behind the program's back."""
    with sqlite3.connect(file) as db:
        for name, value in columns.items():
            db.execute(f"UPDATE images SET {name} = ? WHERE id = ?", (value, image))
    db.close()


def test_one_unreadable_row_fails_and_the_rest_goes_on(stub: Path, tmp_path: Path, own_home: Path) -> None:
    assert (
        commonart(
            "queue", "add", "x", "--count", 3, "--model", stub, "--out", tmp_path / "out", "--steps", 1
        ).returncode
        == 0
    )
    spoil(own_home / "queue.db", 2, request="{bad")
    assert commonart("queue", "run", "--until-empty", "--quiet").returncode in (0, 1)
    rows = objects(commonart("queue", "list", "--json"))
    assert [r["state"] for r in rows] == ["done", "failed", "done"] and "damaged" in rows[1]["error"]["message"]


def test_damage_met_while_working_is_mended_at_the_next_try(stub: Path, tmp_path: Path, own_home: Path) -> None:
    assert commonart("queue", "add", "x", "--count", 400, "--model", stub, "--out", tmp_path / "out").returncode == 0
    file = own_home / "queue.db"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    data = bytearray(file.read_bytes())
    for number in range(len(data) // page // 2, len(data) // page // 2 + 3):
        data[number * page : (number + 1) * page] = b"\xff" * page
    file.write_bytes(bytes(data))
    first = commonart("queue", "list", "--json")
    assert first.returncode == 1 and "damaged" in first.stderr
    second = commonart("queue", "list", "--json")
    assert second.returncode == 0 and "kept as" in second.stderr
    assert 100 < len(second.stdout.splitlines()) < 400 and list(own_home.glob("queue.db.damaged-*"))


def test_import_is_all_or_nothing_and_chooses_no_places(stub: Path, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    good = {
        "job": "a",
        "state": "waiting",
        "request": {"prompt": "x", "seed": 1, "model": "/etc/secret/commonart-mini", "vae": "/etc"},
    }
    bad = [
        {"name": "../../x"},
        {"name": 5},
        {"model": 5},
        {"model": "\0"},
        {"extra": [1]},
        {"template": [1]},
        {"deterministic": "no"},
        {"seed": None},
    ]
    lines = [
        good,
        *({**good, "request": good["request"] | b} for b in bad),
        {**good, "priority": 10**30},
        {**good, "job": "\ud800"},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "[" * 5000 + "\n", encoding="utf-8")
    result = commonart("queue", "import", file, "--out", tmp_path / "out")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert all(f"line {n}" in result.stderr for n in range(2, len(lines) + 2)) and "line 1:" not in result.stderr
    assert objects(commonart("queue", "list", "--json")) == []
    assert commonart("queue", "import", file, "--out", tmp_path / "out", "--skip-bad").returncode == 0
    from commonart_desktop.core.ledger import open_ledger

    ledger, _ = open_ledger()
    assert [(r.request.model, r.request.vae) for r in ledger.page()] == [("commonart-mini", None)]
    ledger.close()


def test_an_edit_is_checked_drawn_and_all_or_nothing(stub: Path, tmp_path: Path, own_home: Path) -> None:
    assert commonart("queue", "add", "x", "--count", 8, "--model", stub, "--out", tmp_path / "out").returncode == 0
    assert commonart("queue", "edit", 1, "--name", "../x", "--priority", 5).returncode == 2
    assert commonart("queue", "edit", 1, "new {p|q}", "--seed", 4).returncode == 0
    ledger = Ledger(own_home / "queue.db")
    rows = ledger.page()
    assert ledger.job(1).priority == 0 and [r.request.seed for r in rows] == list(range(4, 12))
    assert {r.request.prompt for r in rows} == {"new p", "new q"} and {r.request.template for r in rows} == {
        "new {p|q}"
    }
    ledger.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["queue", "run", "--then", "foo 'bar"], "quotation mark"),
        (["queue", "run", "--then", "no-such-command-here"], "no such command"),
        (["queue", "run", "--batch-size", "-5"], "batch-size"),
        (["generate", "x", "--text-encoder", ""], "must be text"),
    ],
)
def test_wrong_options_are_refused_at_once(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = commonart(*arguments)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr


def test_a_name_too_long_fails_its_row_only(stub: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    long = "/".join(["{prompt}"] * 40)
    prompts.write_text(json.dumps({"prompt": "y" * 170, "name": "x"}) + "\n", encoding="utf-8")
    assert (
        commonart(
            "queue", "add", "y" * 170, "--name", long, "--model", stub, "--out", tmp_path / "out", "--steps", 1
        ).returncode
        == 0
    )
    assert commonart("queue", "add", "short", "--model", stub, "--out", tmp_path / "out", "--steps", 1).returncode == 0
    result = commonart("queue", "run", "--until-empty", "--quiet")
    assert result.returncode == 1 and "too long" in result.stderr
    assert [o["state"] for o in objects(commonart("queue", "list", "--json"))] == ["failed", "done"]


def test_a_jpeg_that_cannot_hold_its_recipe_fails_alone(stub: Path, tmp_path: Path) -> None:
    result = commonart(
        "generate",
        "字" * 19_000,
        "--negative",
        "字" * 19_000,
        "--format",
        "jpeg",
        "--model",
        stub,
        "--out",
        tmp_path / "out",
        "--steps",
        1,
    )
    assert result.returncode in (1, 2) and "too long for a JPEG" in result.stderr


def test_no_index_leads_to_other_weights_and_no_adapter_slips_in(stub: Path) -> None:
    part = stub / "text_encoder"
    weights = next(part.glob("*.safetensors"))
    for name in ("sub/x.safetensors", "../x.safetensors", "x.bin", ""):
        weights.rename(part / "other.safetensors")
        (part / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}), encoding="utf-8")
        with pytest.raises(BrokenWeights):
            weight_files(part)
        (part / "other.safetensors").rename(weights)
    (part / "model.safetensors.index.json").unlink()
    identify(stub)
    (part / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(NotAModel, match="adapter"):
        identify(stub)


def test_a_row_set_aside_counts_as_failed(stub: Path, tmp_path: Path) -> None:
    assert (
        commonart("queue", "add", "a !die", "b", "--model", stub, "--out", tmp_path / "out", "--steps", 1).returncode
        == 0
    )
    result = commonart("queue", "run", "--until-empty", "--quiet")
    assert result.returncode == 1 and "died 3 times" in result.stderr
    assert [o["state"] for o in objects(commonart("queue", "list", "--json"))] == ["failed", "done"]


def test_an_error_while_writing_is_that_rows_own(stub: Path, tmp_path: Path, own_home: Path) -> None:
    ledger = Ledger(own_home / "queue.db")
    requests = [
        ImageRequest(prompt=p, seed=1, model=str(stub), out=str(tmp_path / "out"), steps=1) for p in ("a", "b", "c")
    ]
    object.__setattr__(requests[1], "out", "\0")  # as an older version might have written it
    ledger.add_job("x", requests)
    ledger.close()
    assert commonart("queue", "run", "--until-empty", "--quiet").returncode in (0, 1)
    assert [o["state"] for o in objects(commonart("queue", "list", "--json"))] == ["done", "failed", "done"]
