"""``commonart`` as a person runs it: real processes. What needs no pictures of meaning uses the fake backend."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commonart_desktop.cli import COMMANDS
from commonart_desktop.cli.in_order import InOrder
from engine.contract.recipe import build
from engine.contract.request import ImageRequest
from engine.imagefile.image import pixel_sha256, to_bytes
from tests.support.sentences import ROOT
from tests.support.stub_model import make_stub

KEYS = {
    "path",
    "prompt",
    "template",
    "negative",
    "seed",
    "width",
    "height",
    "steps",
    "guidance",
    "sampler",
    "model",
    "model_sha256",
    "pixel_sha256",
}


def environment(**more: str) -> dict[str, str]:
    """Of a person's shell, with the network denied."""
    path = os.pathsep.join([str(ROOT / "tests" / "offline"), str(ROOT)])
    return os.environ | {"PYTHONPATH": path, "COMMONART_LANG": "en"} | more


def commonart(*arguments: Any, fake: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commonart_desktop", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        env=environment(**({"COMMONART_BACKEND": "fake"} if fake else {}), **env),
        timeout=200,
        stdin=subprocess.DEVNULL,
    )


def objects(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stub") / "stub"
    make_stub(folder)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_pictures_and_their_json(tiny_model: Path, out: Path) -> None:
    made = objects(
        commonart(
            "generate",
            "すし",
            "{a|b} apple",
            "--count",
            2,
            "--seed",
            5,
            "--steps",
            3,
            "--model",
            tiny_model,
            "--out",
            out,
            "--json",
            fake=False,
        )
    )
    assert len(made) == 4
    for one in made:
        assert one.keys() >= KEYS
        with Image.open(one["path"]) as image:
            pixels = image.convert("RGB")
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == one["pixel_sha256"]
        assert pixels.size == (one["width"], one["height"]) == (32, 32)
    assert sorted(o["seed"] for o in made if o["prompt"] == "すし") == [5, 6]
    drawn = [o for o in made if o["template"] == "{a|b} apple"]
    assert len(drawn) == 2 and all(o["prompt"] == f"{o['draw'][0]} apple" for o in drawn)


def test_like_makes_the_same_pixels_and_deterministic_ignores_neighbours(tiny_model: Path, out: Path) -> None:
    prompts = ["すし", "a red apple on a blue background", "ねこ"]
    common = ["--seed", 5, "--steps", 4, "--model", tiny_model, "--out", out, "--json"]
    batch = objects(commonart("generate", *prompts, *common, fake=False))
    one = batch[1]
    again = objects(
        commonart("generate", "--like", one["path"], "--model", tiny_model, "--out", out, "--json", fake=False)
    )
    assert [a["pixel_sha256"] for a in again] == [one["pixel_sha256"]]
    assert again[0]["path"] != one["path"]  # nothing is overwritten
    exact = {
        o["prompt"]: o["pixel_sha256"]
        for o in objects(commonart("generate", *prompts, *common, "--deterministic", fake=False))
    }
    alone = objects(commonart("generate", prompts[1], *common, "--deterministic", fake=False))
    assert alone[0]["pixel_sha256"] == exact[prompts[1]]


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_every_format_carries_its_recipe(stub: Path, out: Path, kind: str) -> None:
    made = objects(
        commonart(
            "generate", "すし, <b>&amp;", "--negative", "x", "--model", stub, "--out", out, "--format", kind, "--json"
        )
    )
    shown = commonart("show", made[0]["path"], "--json")
    recipe = json.loads(shown.stdout)
    assert recipe["request"]["prompt"] == "すし, <b>&amp;" and recipe["pixel_sha256"] == made[0]["pixel_sha256"]
    if kind == "png":
        with Image.open(made[0]["path"]) as image:
            text = image.info["parameters"].splitlines()
        assert (
            text[0] == "すし, <b>&amp;"
            and text[1] == "Negative prompt: x"
            and text[2].startswith("Steps: 20, Sampler: DPM++ 2M, CFG scale: 4.5")
        )
    assert str(out) not in json.dumps(recipe) and str(stub.parent) not in json.dumps(
        recipe
    )  # no place on the maker's disk


def test_prompt_files(stub: Path, out: Path, tmp_path: Path) -> None:
    csv = tmp_path / "p.csv"
    csv.write_bytes("# coding: cp932\nprompt,seed,steps\nすし,7,2\n寿司,,\n".encode("cp932"))
    made = objects(commonart("generate", "--from", csv, "--model", stub, "--out", out, "--json", "--seed", 1))
    assert {(o["prompt"], o["seed"], o["steps"]) for o in made} == {("すし", 7, 2), ("寿司", 1, 20)}
    jsonl = tmp_path / "p.jsonl"
    jsonl.write_text('{"prompt": "[[a|b]] c", "count": 2}\n{"prompt": "d", "size": "64x32"}\n', encoding="utf-8-sig")
    made = objects(commonart("generate", "--from", jsonl, "--model", stub, "--out", out, "--json"))
    assert sorted(o["prompt"] for o in made) == ["a c", "a c", "b c", "b c", "d"]
    assert [(o["width"], o["height"]) for o in made if o["prompt"] == "d"] == [(64, 32)]


BAD: list[tuple[list[Any], int, str]] = [
    ([], 2, "Nothing to draw"),
    (["x", "--model", "no-such-model"], 2, "no model 'no-such-model'"),
    (["x", "--model", "/etc"], 2, "is not a model folder"),
    (["x", "--steps", -4], 2, "steps cannot be -4"),
    (["x", "--steps", "many"], 2, "invalid int value"),
    (["x", "--size", "33x32"], 2, "multiple of"),
    (["x", "--size", "big"], 2, "size cannot be big"),
    (["x", "--sampler", "magic"], 2, "no sampler 'magic'"),
    (["x", "--count", 0], 2, "count cannot be 0"),
    (["x", "--guidance", "nan"], 2, "guidance cannot be nan"),
    (["x", "--name", "../{seed}"], 2, "inside the output folder"),
    (["x", "--name", "{nope}"], 2, "no field {nope}"),
    (["x", "--name", "{prompt.__class__}"], 2, "no field"),
    (["{a|b"], 2, "The template '{a|b'"),
    (["a\x01b"], 2, "control character U+0001"),
    (["x", "--from", "no.txt"], 2, "no.txt cannot be read"),
    (["--like", "no.png"], 2, "there is no such file"),
    (["x", "--vae", "/no/such"], 2, "no such folder"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "words"), BAD, ids=[" ".join(map(str, a)) or "nothing" for a, _, _ in BAD]
)
def test_bad_input_is_one_sentence(stub: Path, out: Path, arguments: list[Any], status: int, words: str) -> None:
    model = [] if "--model" in arguments else ["--model", stub]
    result = commonart("generate", *arguments, *model, "--out", out)
    assert (result.returncode, words in result.stderr) == (status, True), result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert not list(out.rglob("*.*")) if out.exists() else True


def test_debug_shows_the_traceback(stub: Path, out: Path) -> None:
    assert "Traceback" in commonart("--debug", "generate", "x", "--name", "../x", "--model", stub, "--out", out).stderr


def test_a_huge_prompt_file_is_refused_at_once(stub: Path, out: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as f:
        f.truncate(1 << 30)
    result = commonart("generate", "--from", huge, "--model", stub, "--out", out)
    assert result.returncode == 2 and "larger than" in result.stderr


def test_an_output_folder_that_cannot_be_written(stub: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = commonart("generate", "x", "--model", stub, "--out", tmp_path / "file")
    assert result.returncode == 1 and "cannot be written" in result.stderr and "Traceback" not in result.stderr


def test_a_disk_nearly_full_stops_before_anything_is_written(stub: Path, out: Path) -> None:
    result = commonart("generate", "x", "--model", stub, "--out", out, COMMONART_MIN_FREE_MB="999999999")
    assert result.returncode == 1 and "is full" in result.stderr
    assert list(out.iterdir()) == []


def test_some_failed_is_status_1_and_the_rest_is_kept(stub: Path, out: Path) -> None:
    result = commonart("generate", "a", "b !nan", "c", "--model", stub, "--out", out)
    first, failed, last = result.stdout.splitlines()
    assert result.returncode == 1 and failed == "" and "a-" in Path(first).name and "c-" in Path(last).name
    assert "not-a-number" in result.stderr and "--dtype" in result.stderr


def test_lines_come_in_the_order_asked_whatever_is_finished_first(stub: Path, out: Path, tmp_path: Path) -> None:
    rows = [(f"apple {n}", 2 + n % 3) for n in range(9)]
    table = tmp_path / "mixed.csv"
    table.write_text(
        "prompt,steps\n" + "".join(f"{p},{s}\n" for p, s in rows) + "pear !nan,2\nplum,3\n", encoding="utf-8"
    )
    asked = (
        "generate",
        "--from",
        table,
        "--model",
        stub,
        "--out",
        out,
        "--batch-size",
        4,
        "--name",
        "{prompt}",
        "--quiet",
    )
    paths = commonart(*asked).stdout.splitlines()
    assert [Path(p).stem for p in paths] == [*(p for p, _ in rows), "", "plum"]
    told = [json.loads(line) for line in commonart(*asked, "--json").stdout.splitlines()]
    assert [one["prompt"] for one in told] == [*(p for p, _ in rows), "pear !nan", "plum"]
    assert told[9]["error"]["kind"] == "not-finite"


def test_lines_held_back_for_one_that_never_comes() -> None:
    lines: list[str] = []
    output = InOrder(lines.append, gaps=True)
    for place in (2, 0, 4, 6):
        output.put(place, f"line {place}")
    assert lines == ["line 0"]
    output.put(1, None)
    assert lines == ["line 0", "", "line 2"]
    output.flush()
    assert lines == ["line 0", "", "line 2", "", "line 4", "", "line 6"]
    output.put(7, None)
    output.flush()
    assert len(lines) == 7
    bare = InOrder(lines.append, gaps=False)
    bare.put(1, "b")
    bare.put(0, None)
    assert lines[7:] == ["b"]


@pytest.mark.parametrize("arguments", [("--seed", -1), ("--from", "seeds.csv")])
def test_a_seed_of_minus_one_is_random(stub: Path, out: Path, tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    (tmp_path / "seeds.csv").write_text("prompt,seed\nx,-1\n", encoding="utf-8")
    given = [tmp_path / a if a == "seeds.csv" else a for a in arguments] + ([] if "--from" in arguments else ["x"])
    made = objects(commonart("generate", *given, "--count", 2, "--model", stub, "--out", out, "--json"))
    seeds = {one["seed"] for one in made}
    assert len(seeds) == 2 and all(0 <= seed < 2**32 for seed in seeds)
    again = objects(commonart("generate", *given, "--count", 2, "--model", stub, "--out", out, "--json"))
    assert not seeds & {one["seed"] for one in again}


@pytest.mark.parametrize("command", [("generate", "x"), ("queue", "add", "x"), ("queue", "edit", "1")])
@pytest.mark.parametrize("seed", [-2, 2**63])
def test_a_seed_out_of_range_is_one_sentence(stub: Path, out: Path, command: tuple[str, ...], seed: int) -> None:
    commonart("queue", "add", "x", "--model", stub, "--out", out)
    result = commonart(*command, "--seed", seed, *(() if "edit" in command else ("--model", stub, "--out", out)))
    assert result.returncode == 2 and f"seed cannot be {seed}: it must be a whole number" in result.stderr
    assert result.stderr.count("\n") == 1


def test_edited_seeds_may_be_random(stub: Path, out: Path) -> None:
    commonart("queue", "add", "x", "--count", 3, "--seed", 5, "--model", stub, "--out", out)
    job = commonart("queue", "list").stdout.split()[0]
    assert commonart("queue", "edit", job, "--seed", -1).returncode == 0
    rows = objects(commonart("queue", "show", job, "--json"))
    assert len({row["seed"] for row in rows} - {5, 6, 7}) == 3


def test_what_a_prompt_file_leaves_out_is_noted(stub: Path, out: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# one\n#ff0000 ball\n\\#00ff00 ball\n", encoding="utf-8")
    result = commonart("generate", "--from", tmp_path / "a.txt", "--model", stub, "--out", out, "--quiet")
    assert result.returncode == 0 and "2 line(s) that begin with #" in result.stderr and "#00ff00" in result.stdout
    (tmp_path / "b.csv").write_text("prompt;negatve\na, b;c\n", encoding="utf-8")
    result = commonart("queue", "add", "--from", tmp_path / "b.csv", "--model", stub, "--out", out, COMMONART_LANG="ja")
    assert (
        result.returncode == 0 and "negatve" in result.stderr and "negative" in result.stderr and "列" in result.stderr
    )
    (tmp_path / "c.csv").write_text("prompt,negative\na; b\n", encoding="utf-8")
    asked = ("queue", "add", "--from", tmp_path / "c.csv", "--model", stub, "--out", out)
    result = commonart(*asked)
    assert result.returncode == 2 and "--delimiter" in result.stderr
    assert commonart(*asked, "--delimiter", ",").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_interrupted_keeps_what_is_finished(stub: Path, out: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "commonart_desktop",
            "generate",
            "x",
            "--count",
            "200",
            "--batch-size",
            "1",
            "--steps",
            "5",
            "--model",
            str(stub),
            "--out",
            str(out),
            "--quiet",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(COMMONART_BACKEND="fake", COMMONART_FAKE_STEP="0.02"),
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    paths = [first.strip(), *rest.splitlines()]
    assert process.returncode == 130 and "kept" in errors and "Traceback" not in errors
    assert sorted(paths) == sorted(str(p) for p in out.rglob("*.png")) and 0 < len(paths) < 200
    assert not list(out.rglob(".*"))


def test_japanese_is_spoken(stub: Path, out: Path) -> None:
    result = commonart("generate", "x", "--steps", -4, "--model", stub, "--out", out, COMMONART_LANG="ja")
    assert "-4" in result.stderr and any("\u3040" <= c <= "\u309f" for c in result.stderr)


def test_the_queue_from_add_to_clear(stub: Path, out: Path, tmp_path: Path) -> None:
    common = ["--model", stub, "--out", out, "--steps", 2]
    assert commonart("queue", "add", "すし", "--count", 3, "--job", "one", *common).returncode == 0
    assert commonart("queue", "add", "b !nan", "--job", "two", "--priority", 2, *common).returncode == 0
    assert [o["job"] for o in objects(commonart("queue", "list", "--json"))] == [2, 1, 1, 1]
    assert commonart("queue", "move", 1, "--before", 2).returncode == 0
    assert [o["job"] for o in objects(commonart("queue", "list", "--json"))] == [1, 1, 1, 2]
    assert commonart("queue", "edit", 1, "--steps", 1).returncode == 0
    assert commonart("queue", "pause", 2).returncode == 0
    ran = commonart("queue", "run", "--until-empty", "--json", "--quiet")
    assert [o["steps"] for o in objects(ran)] == [1, 1, 1]
    assert commonart("queue", "resume", 2).returncode == 0
    assert commonart("queue", "run", "--until-empty", "--quiet").returncode == 1
    shown = objects(commonart("queue", "show", 2, "--json"))
    assert shown[0]["state"] == "failed" and shown[0]["error"]["kind"] == "not-finite" and shown[0]["attempts"] == 1
    assert commonart("queue", "retry", 2).stdout.startswith("1 ")
    exported = tmp_path / "q.jsonl"
    assert (
        commonart("queue", "export", exported).returncode == 0
        and len(exported.read_text(encoding="utf-8").splitlines()) == 4
    )
    assert commonart("queue", "cancel", "--all").stdout.startswith("1 ")
    assert commonart("queue", "clear", "--done", "--cancelled").returncode == 0
    assert objects(commonart("queue", "list", "--json")) == []
    exported.write_text(exported.read_text(encoding="utf-8") + "nonsense\n", encoding="utf-8")
    bad = commonart("queue", "import", exported, "--out", out)
    assert bad.returncode == 2 and "line 5" in bad.stderr and objects(commonart("queue", "list", "--json")) == []
    assert commonart("queue", "import", exported, "--out", out, "--skip-bad").returncode == 0
    assert [o["state"] for o in objects(commonart("queue", "list", "--json"))] == ["waiting"]  # not the done ones
    unknown = commonart("queue", "show", 99)
    assert unknown.returncode == 2 and "no job 99" in unknown.stderr
    done = commonart("queue", "edit", 99, "--steps", 3)
    assert done.returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_killed_again_and_again_the_queue_ends_as_if_undisturbed(stub: Path, out: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"すし {n}\n" for n in range(60)), encoding="utf-8")
    arguments = ["--from", prompts, "--model", stub, "--seed", 3, "--steps", 3, "--deterministic"]
    calm = {
        o["prompt"]: o["pixel_sha256"]
        for o in objects(commonart("generate", *arguments, "--out", tmp_path / "calm", "--json"))
    }
    assert commonart("queue", "add", *arguments, "--out", out).returncode == 0
    for _ in range(5):
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "commonart_desktop",
                "queue",
                "run",
                "--until-empty",
                "--resume",
                "--quiet",
                "--batch-size",
                "4",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(COMMONART_BACKEND="fake", COMMONART_FAKE_STEP="0.02"),
        )
        assert process.stdout is not None
        process.stdout.readline()  # at least one picture further
        process.kill()  # the front end; its worker sees the pipe close
        process.wait()
        process.stdout.close()
    time.sleep(0.5)
    assert commonart("queue", "run", "--until-empty", "--resume", "--quiet").returncode == 0
    rows = objects(commonart("queue", "list", "--json"))
    assert {r["state"] for r in rows} == {"done"} and len(rows) == 60
    assert {r["prompt"]: r["pixel_sha256"] for r in rows} == calm
    assert sorted(str(p) for p in out.rglob("*") if p.is_file()) == sorted(r["path"] for r in rows)


def test_after_a_crash_the_user_is_asked(stub: Path, out: Path, own_home: Path) -> None:
    from engine.contract.ledger.ledger import Ledger

    assert commonart("queue", "add", "x", "--model", stub, "--out", out).returncode == 0
    ledger = Ledger(own_home / "queue.db")
    ledger.claim("dead-worker", lambda rows: rows)
    ledger.close()
    refused = commonart("queue", "run", "--until-empty")
    assert refused.returncode == 1 and "--resume" in refused.stderr
    assert commonart("queue", "run", "--until-empty", "--resume").returncode == 0
    assert [o["state"] for o in objects(commonart("queue", "list", "--json"))] == ["done"]


def test_a_damaged_queue_is_kept_aside_and_said_so(stub: Path, out: Path, own_home: Path) -> None:
    assert commonart("queue", "add", "x", "--count", 5, "--model", stub, "--out", out).returncode == 0
    file = own_home / "queue.db"
    file.write_bytes(b"garbage" + file.read_bytes()[7:])
    result = commonart("queue", "list")
    assert result.returncode == 0 and "damaged" in result.stderr and len(list(own_home.glob("queue.db.damaged-*"))) >= 1


def test_doctor_and_help(tiny_model: Path) -> None:
    checks = json.loads(commonart("doctor", "--json", fake=False).stdout)
    assert {"ok"} <= {c["state"] for c in checks}
    assert commonart("--help").returncode == 0 and commonart("queue", "--help").returncode == 0
    assert "0.1.0" in commonart("--version").stdout


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_command_and_help_list_every_command(language: str) -> None:
    asked = commonart("--help", COMMONART_LANG=language)
    bare = commonart(COMMONART_LANG=language)
    assert (asked.returncode, bare.returncode, bare.stderr) == (0, 2, "") and bare.stdout == asked.stdout
    assert re.findall(r"^    (\w+)(?:  |$)", asked.stdout, re.MULTILINE) == list(COMMANDS)
    assert any("\u3040" <= c <= "\u309f" for c in asked.stdout) == (language == "ja")


def test_every_module_that_declares_a_command_is_one() -> None:
    files = (ROOT / "commonart_desktop" / "cli").glob("[a-z]*.py")
    assert {f.stem for f in files if "def add(subparsers" in f.read_text(encoding="utf-8")} == set(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["genrate", "x"], "There is no command 'genrate': did you mean commonart generate?"),
        (["--debug", "GUI"], "There is no command 'GUI': did you mean commonart gui?"),
        (["queue", "lst"], "There is no command 'lst': did you mean commonart queue list?"),
        (["zzzzzz"], "the commands are gui, generate, queue"),
    ],
)
def test_an_unknown_command_names_the_nearest_one(typed: list[str], words: str) -> None:
    result = commonart(*typed)
    assert (result.returncode, result.stdout) == (2, "") and words in result.stderr and "--help` lists" in result.stderr
    japanese = commonart(*typed, COMMONART_LANG="ja").stderr
    assert "というコマンドはありません" in japanese and ("もしかして" in japanese) == ("did you mean" in words)


def test_the_front_end_imports_nothing_heavy() -> None:
    code = (
        "import sys; from commonart_desktop.cli import command_line; command_line(); import "
        "commonart_desktop.cli.generate; "
        "print([m for m in ('torch', 'numpy', 'PIL', 'diffusers', 'transformers', 'onnxruntime', 'PySide6') if m in "
        "sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert result.stdout.strip() == "[]"


def test_show_prints_loras_and_preset_and_what_others_wrote(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    request = ImageRequest(prompt="すし", model="m", width=16, height=16, seed=7, preset="fast", loras=(("ink", 0.8),))
    recipe = build(
        request,
        model="m",
        hashes={"denoiser": "a" * 64, "text_encoder": "b" * 64, "vae": "c" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32", "libraries": {}},
        batch=(1, 0),
        pixel_sha256=pixel_sha256(pixels),
        app="test",
        loras=[{"name": "ink", "sha256": "d" * 64, "scale": 0.8}],
    )
    (tmp_path / "ours.png").write_bytes(to_bytes(pixels, "png", recipe))
    shown = commonart("show", tmp_path / "ours.png").stdout
    assert "LoRA: ink:0.8 (dddddddddddd)" in shown and "preset: fast" in shown
    text = "a cat\x1b[31m <lora:ink:0.5>\nNegative prompt: fog\nSteps: 9, Sampler: Euler a, Seed: 5, Size: 64x32"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-le")
    Image.new("RGB", (8, 8)).save(tmp_path / "theirs.jpg", exif=exif)
    shown = commonart("show", tmp_path / "theirs.jpg").stdout
    for line in (
        "made with: A1111",
        "negative prompt: fog",
        "seed: 5",
        "size: 64 x 32",
        "sampler: Euler a",
        "LoRA: ink:0.5",
    ):
        assert line in shown.splitlines()
    assert "\x1b" not in shown
    checked = commonart("verify", tmp_path / "theirs.jpg").stdout
    assert [line.strip() for line in checked.splitlines() if line.strip() in shown.splitlines()] == shown.splitlines()[
        1:
    ]
    data = json.loads(commonart("show", tmp_path / "theirs.jpg", "--json").stdout)
    assert data["parameters"] == text and data["read"]["settings"]["steps"] == 9 and data["tool"] == "A1111"
