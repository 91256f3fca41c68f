"""What version 0.1.0 left on a disk is opened by this version with its content intact: through the command line, as a
user would.

``tests/data/v0_1_0/make.py`` says how the files were made. Their pixels are compared in ``test_v0_1_0_pixels.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.data import tiny_onnx, v0_1_0

DONE_BEFORE = {1, 2, 3}


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody who worked with version 0.1.0."""
    folder = tmp_path / "user"
    monkeypatch.setenv("COMMONART_HOME", str(v0_1_0.unpack(folder)))
    monkeypatch.chdir(folder)
    return folder


def commonart(*arguments: Any, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "commonart_desktop", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COMMONART_LANG": "en"} | environment,
        timeout=280,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == status and "Traceback" not in done.stderr, (arguments, done.returncode, done.stderr)
    return done


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """A JSON object a line."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def answers(folder: Path) -> dict[str, Any]:
    """What version 0.1.0 said to some commands."""
    return dict(json.loads((folder / "answers.json").read_text(encoding="utf-8")))


def test_commands_answer_as_version_0_1_0_did(user: Path) -> None:
    """The queue, every recipe, the signatures and the chain to the licences, and the dataset's records."""
    for name, before in answers(user).items():
        done = commonart(*before["arguments"], status=before["status"])
        try:
            now = json.loads(done.stdout)
        except ValueError:
            now = objects(done)
        assert v0_1_0.holds(now, before["answer"]), (name, now, before["answer"])


def test_waiting_rows_are_drawn_and_the_rest_of_the_queue_stays(user: Path) -> None:
    before = {row["id"]: row for row in objects(commonart("queue", "list", "--json"))}
    commonart("queue", "export", user / "now.jsonl")
    exported, now = (
        [json.loads(line) for line in (user / name).read_text(encoding="utf-8").splitlines()]
        for name in ("queue.jsonl", "now.jsonl")
    )
    assert v0_1_0.holds(now, exported)
    commonart(
        "queue", "run", "--until-empty", "--quiet", "--no-sign", status=1
    )  # a row is in the hands of a dead worker
    commonart("queue", "resume", 6)
    drawn = objects(commonart("queue", "run", "--until-empty", "--resume", "--quiet", "--no-sign", "--json"))
    assert {one["id"] for one in drawn} == {i for i, row in before.items() if row["state"] in ("waiting", "running")}
    after = {row["id"]: row for row in objects(commonart("queue", "list", "--json"))}
    assert after.keys() == before.keys()
    for number, row in after.items():
        if before[number]["state"] in ("done", "failed", "cancelled"):
            assert row == before[number]
        else:
            assert row["state"] == "done" and Path(row["path"]).is_file(), row
            assert (row["prompt"], row["seed"]) == (before[number]["prompt"], before[number]["seed"])
    assert {Path(r["path"]).relative_to(user / "outputs").as_posix() for r in after.values() if r["job"] == 4} == {
        f"待つ/{prompt}-{seed}.webp" for prompt in ("赤い 鳥", "blue 鳥") for seed in (100, 101)
    }
    assert commonart("queue", "retry", 2).stdout.startswith("1 ")


def test_an_exported_queue_is_imported(user: Path, tmp_path: Path) -> None:
    home = str(tmp_path / "another")
    rows = [json.loads(line) for line in (user / "queue.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = [r for r in rows if r["state"] in ("waiting", "running", "failed")]
    commonart("queue", "import", user / "queue.jsonl", "--out", tmp_path / "out", COMMONART_HOME=home)
    commonart("queue", "export", tmp_path / "again.jsonl", COMMONART_HOME=home)
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text(encoding="utf-8").splitlines()]

    def plain(row: dict[str, Any]) -> str:
        request = {k: v for k, v in row["request"].items() if k != "out"}
        return json.dumps([row["job"], row["priority"], request], sort_keys=True, ensure_ascii=False)

    assert sorted(map(plain, again)) == sorted(map(plain, wanted))


def test_settings_and_signing_identity_are_those_of_before(user: Path) -> None:
    refused = commonart("generate", "x", "--steps", -4, status=2, COMMONART_LANG="")
    assert any("\u3040" <= c <= "\u309f" for c in refused.stderr), "the language of the settings is Japanese"
    before = answers(user)["verify"]["answer"][0]
    made = objects(commonart("generate", "すし", "--seed", 1, "--steps", 2, "--size", "32x32", "--quiet", "--json"))
    path = Path(made[0]["path"])
    assert path == user / "outputs" / "generate" / "すし-1.png" and made[0]["dtype"] == "fp32"
    (found,) = json.loads(commonart("verify", path, "--json").stdout)
    assert found["intact"] and found["signer"]["name"] == "山田スタジオ"
    assert found["signer"]["serial"] == before["signer"]["serial"]
    assert (found["xmp"]["creator"], found["xmp"]["rights"]) == ("山田花子", "© 2026 山田花子")
    assert found["training_mining"] == before["training_mining"] != {}


def test_encoded_captions_are_used(user: Path) -> None:
    """A language model of 14 GB need not read again what it has read."""
    folder = user / "data" / "cache" / "text"
    (empty,) = folder.rglob("*.safetensors")  # what guidance compares with
    before = empty.stat().st_mtime_ns
    commonart("generate", "すし", "--steps", 1, "--size", "32x32", "--quiet", "--no-sign")
    files = set(folder.rglob("*.safetensors"))
    assert empty in files and empty.stat().st_mtime_ns == before and len(files) == 2
    assert {p.parent.parent for p in files} == {empty.parent.parent}


@pytest.mark.parametrize("name", ["preset.png", "lora.webp", "jpeg.jpg", "unsigned.png", "onnx.png"])
def test_an_image_is_made_again(user: Path, name: str) -> None:
    if name == "onnx.png":
        tiny_onnx.unpack(user / "data" / "models")
    recipe = json.loads(commonart("show", user / "images" / name, "--json").stdout)
    done = commonart(
        "generate", "--like", user / "images" / name, "--out", user / "again", "--quiet", "--no-sign", "--json"
    )
    (made,) = objects(done)
    if v0_1_0.same_machine():
        assert made["pixel_sha256"] == recipe["pixel_sha256"]
    elif name.endswith(".png"):  # the others lost something when they were written
        assert v0_1_0.psnr(Path(made["path"]), user / "images" / name) >= v0_1_0.ROUNDING
    assert made["prompt"] == recipe["request"]["prompt"]


def test_what_cannot_be_made_again_is_said(user: Path) -> None:
    assert "only as a hash" in commonart("generate", "--like", user / "images" / "hidden.png", status=2).stderr
    assert "broken.png" in commonart("show", user / "images" / "broken.png", status=2).stderr


def test_a_training_goes_on_where_it_was_stopped(user: Path) -> None:
    run = user / "data" / "training" / "washi-two"
    done = commonart("train", run / "config.toml", "--resume", "--json", "--set", "install=false")
    steps = [e["step"] for e in objects(done) if e["event"] == "step"]
    assert steps[0] > 3 and steps[-1] == 12, steps
    have, want = load_file(run / "result" / "washi-two.safetensors"), load_file(user / "washi-two-expected.safetensors")
    assert have.keys() == want.keys()
    for key, tensor in want.items():
        if v0_1_0.same_machine():
            assert np.array_equal(have[key], tensor), key
        else:
            assert np.linalg.norm(have[key] - tensor) <= 1e-2 * np.linalg.norm(tensor), key


def test_datasets_pass_the_gate_and_evaluations_are_compared(user: Path) -> None:
    checked = json.loads(commonart("dataset", "check", "washi", "--json").stdout)
    before = json.loads((user / "washi-report" / "gate-report.json").read_text(encoding="utf-8"))
    del before["policy_sha256"]  # the gate has more rules now
    assert checked["passed"] and v0_1_0.holds(checked, before)
    # the folder of the old evaluation is gone on with, and its result compared with the new one
    old = json.loads(Path("evaluation/result.json").read_text(encoding="utf-8"))
    Path("evaluation/result.json").rename("old.json")
    options = ("--limit", 3, "--steps", 8, "--out", "evaluation", "--against", "old.json", "--json")
    now = json.loads(commonart("evaluate", "commonart-mini", *options).stdout)
    assert v0_1_0.holds(now["table"], old["table"]) and any(row["value"] for row in old["table"])
    assert v0_1_0.holds(now["against"]["table"], old["table"]) and now["against"]["differences"]


def test_part_folders_given_once_are_remembered(user: Path) -> None:
    from tests.support.tiny_models import make_commonart

    root, encoder, vae = make_commonart(user / "elsewhere")
    found = json.loads(commonart("models", "info", root, "--json").stdout)
    assert [Path(found["parts"][k]["folder"]) for k in ("text_encoder", "vae")] == [encoder, vae]


def test_the_window_opens_as_it_was_left(user: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.gui_driver", "engine", "off", "tell", "kept"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"COMMONART_LANG": "en"},
        timeout=200,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    queue, kept = map(json.loads, done.stdout.splitlines())
    assert queue["draft"] == "{赤い|blue} 提灯、夜" and queue["page"] == "make" and len(queue["rows"]) == 17
    left, right = queue["sizes"]
    assert 0.9 < left / right < 1.1, "the user made the left side as wide as the right one; new, it is half as wide"
    assert kept["runs"] == [["washi-two", "stopped"]] and kept["seed"] == 1234
    assert set(kept["presets"]) >= {"夜祭り", "unipc 24"} and kept["troubles"] == []
    assert kept["presets"]["夜祭り"]["loras"] == [["washi", 0.6]] and kept["presets"]["夜祭り"]["sampler"] == "unipc"
    assert kept["ratings"] == {"ACME-7.png": [True, 0], "山田-8-2.png": [False, 4], "山田-8.png": [False, 0]}
