"""``commonart verify`` over real files: what was changed, by whom signed, and what nobody may make the program do."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

from commonart_desktop.cli import run as commonart
from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from engine.contract.provenance_policy import ProvenancePolicy
from engine.imagefile.container import walk
from engine.imagefile.image import read_recipe
from engine.provenance import keys, keystore
from engine.provenance.__main__ import work
from engine.provenance.finalize import ImageFinalizer
from engine.provenance.sign import settings
from engine.provenance.verify import Verifier
from tests.support.stub_model import check, make_stub, requests, until, worker
from tests.unit.engine.provenance.test_sign import KINDS, LORA, PIXELS, loud, recipe_of

OFFLINE = str(Path(__file__).resolve().parents[1] / "offline")


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "keyring_backend", lambda: None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("COMMONART_LANG", "en")


def signed(
    path: Path,
    kind: str = "png",
    *,
    policy: ProvenancePolicy = ProvenancePolicy(),
    recipe: dict[str, Any] | None = None,
) -> Path:
    path.write_bytes(ImageFinalizer(policy, loud).pack(PIXELS, kind, recipe or recipe_of()).data)
    return path


def look(path: Path, *options: str) -> dict[str, Any]:
    (picture,) = work(["verify", str(path), *options])["pictures"]
    return dict(picture)


def part(path: Path, name: str) -> tuple[int, int]:
    with path.open("rb") as f:
        found = next(p for p in walk(f, path).parts if p.name == name)
    return found.start, found.length


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def repixel(path: Path) -> None:
    """Change one pixel of a PNG as a careful forger would: the coded picture is whole, all texts and the manifest stay."""
    start, length = part(path, "IDAT")
    data = path.read_bytes()
    raw = bytearray(zlib.decompress(data[start : start + length]))
    raw[-1] ^= 1
    body = zlib.compress(bytes(raw))
    path.write_bytes(
        data[: start - 8]
        + struct.pack(">I", len(body))
        + b"IDAT"
        + body
        + struct.pack(">I", zlib.crc32(b"IDAT" + body))
        + data[start + length + 4 :]
    )


def test_the_command_says_all_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = signed(tmp_path / "good.png")
    assert commonart(["verify", str(good)]) == 0
    said = capfd.readouterr().out
    assert (
        "signed and unchanged" in said
        and "Signed by this studio (CommonArt Desktop user), unknown to others" in said
        and "すし" in said
    )
    repixel(signed(tmp_path / "bad.png"))
    assert commonart(["verify", str(good), str(tmp_path / "bad.png")]) == 1
    said = capfd.readouterr().out
    assert (
        "CHANGED" in said
        and "The pixels were changed." in said
        and "The recipe or prompt text" not in said
        and "1 of 2" in said
    )
    assert commonart(["verify", "--json", str(tmp_path)]) == 1  # a folder
    found = json.loads(capfd.readouterr().out)
    assert [(Path(p["path"]).name, p["intact"], p["changed"]) for p in found] == [
        ("bad.png", False, ["pixels"]),
        ("good.png", True, []),
    ]
    assert commonart(["verify", str(tmp_path / "none.png")]) == 2 and "no such file" in capfd.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_byte_of_the_picture(kind: str, tmp_path: Path) -> None:
    path = signed(tmp_path / f"p.{kind}", kind)
    start, length = part(path, {"png": "IDAT", "webp": "VP8L", "jpeg": "DA"}[kind])
    flip(path, start + length // 2 if kind != "jpeg" else start + 2000)
    found = look(path)
    assert (found["state"], found["changed"], found["intact"]) == ("changed", ["pixels"], False) and found[
        "recipe_signed"
    ]
    with c2pa.Context.from_dict(settings()) as context, c2pa.Reader(str(path), context=context) as reader:
        assert reader.get_validation_state() == "Invalid" and "assertion.dataHash.mismatch" in reader.json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_prompt(kind: str, tmp_path: Path) -> None:
    path = signed(tmp_path / f"p.{kind}", kind)
    data = path.read_bytes()
    old, new = ("すし", "そば")
    first = data.index(old.encode())  # the first stands before the manifest in PNG; in the others in XMP
    assert part(path, "IDAT")[0] > first if kind == "png" else True
    data = data[:first] + new.encode() + data[first + len(new.encode()) :]
    if kind == "png":  # a careful one sets the checksum right, too
        start, length = next(
            (p.start, p.length) for p in walk(io.BytesIO(data), path).parts if p.start <= first < p.start + p.length
        )
        data = (
            data[: start + length]
            + struct.pack(">I", zlib.crc32(data[start - 4 : start + length]))
            + data[start + length + 4 :]
        )
    path.write_bytes(data)
    found = look(path)
    assert found["state"] == "changed" and found["changed"] in (["text"], ["manifest"]), found
    if found["changed"] == ["text"]:
        assert found["recipe"]["request"]["prompt"].startswith("すし")  # the signed recipe is what is told


def test_a_stripped_manifest_and_one_that_never_was(tmp_path: Path) -> None:
    path = signed(tmp_path / "p.png")
    start, length = part(path, "caBX")
    data = path.read_bytes()
    path.write_bytes(data[: start - 8] + data[start + length + 4 :])
    found = look(path)
    assert (found["state"], found["changed"], found["signer"], found["pixels"]) == (
        "changed",
        ["stripped"],
        None,
        "match",
    )
    plain = signed(tmp_path / "plain.png", policy=ProvenancePolicy(sign=False))
    found = look(plain)
    assert (found["state"], found["changed"], found["intact"], found["recipe_signed"]) == ("unsigned", [], False, False)
    repixel(plain)
    assert look(plain)["changed"] == ["pixels"] and look(plain)["state"] == "changed"  # the recipe's own hash tells
    Image.open(path).save(tmp_path / "again.png")  # a program that keeps nothing
    assert look(tmp_path / "again.png")["state"] == "unsigned"


def test_a_damaged_manifest(tmp_path: Path) -> None:
    path = signed(tmp_path / "p.png")
    start, length = part(path, "caBX")
    for at in (start + 60, start + length // 2, start + length - 60):
        signed(path)
        flip(path, at)
        found = look(path)
        assert found["state"] == "changed" and found["changed"] and "pixels" not in found["changed"], found


def test_a_manifest_of_a_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another root, made here, under our very name; then trusted because the user says so."""
    signed(tmp_path / "mine.png")
    home = os.environ["COMMONART_HOME"]
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "stranger"))
    path = signed(tmp_path / "theirs.png")
    (tmp_path / "root.pem").write_bytes(keys.pem(keys.chains()[0][-1]))
    monkeypatch.setenv("COMMONART_HOME", home)
    found = look(path)
    assert (found["state"], found["signer"]["who"], found["signer"]["name"], found["intact"]) == (
        "foreign",
        "unknown",
        keys.STUDIO,
        False,
    )
    found = look(path, "--trust", str(tmp_path / "root.pem"))
    assert (found["state"], found["signer"]["who"], found["intact"]) == ("valid", "trusted", True)
    (keys.keys_folder() / "trusted").mkdir()
    (tmp_path / "root.pem").rename(keys.keys_folder() / "trusted" / "them.pem")
    assert look(path)["intact"] and look(tmp_path / "mine.png")["signer"]["who"] == "studio"


def test_an_expired_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library signs with no certificate that has ended, so this one ends just after.

    No time stamp says when it signed.
    """

    class Then(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return dt.datetime.now(tz) - dt.timedelta(days=365 * keys.YEARS - 1) + dt.timedelta(seconds=2)

    class Clock:
        datetime, timedelta, UTC = Then, dt.timedelta, dt.UTC

    monkeypatch.setattr(keys, "dt", Clock)
    path = signed(tmp_path / "old.png")
    monkeypatch.undo()
    until(lambda: look(path)["state"] == "expired", 10)
    found = look(path)
    assert (found["state"], found["changed"], found["signer"]["expired"], found["intact"]) == (
        "expired",
        [],
        True,
        False,
    ) and found["pixels"] == "match"
    repixel(path)
    assert look(path)["state"] == "changed" and look(path)["changed"] == ["pixels"]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("what", ["half", "two-gigabytes", "bomb", "text", "empty", "webp", "jpeg", "zip-text"])
def test_files_that_are_not_what_they_say(what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.png"
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    expected = "cut off"
    if what in ("webp", "jpeg"):
        whole = signed(tmp_path / f"p.{what}", what).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif what == "half":
        path.write_bytes(signed(path).read_bytes()[:3000])
    elif what == "two-gigabytes":  # a sparse file: nothing of it may be read
        with path.open("wb") as f:
            f.write(head + struct.pack(">I", (1 << 31) - 1) + b"tEXtparameters\0")
            f.truncate((1 << 31) + 100)
        expected = "2048 MB"
    elif what == "bomb":
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
            + chunk(b"IEND", b"")
        )
        expected = "60000 x 60000"
    elif what == "zip-text":  # 50 MB out of 50 kB
        rows = zlib.compress(bytes(8 * 25))
        path.write_bytes(
            head
            + chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 50_000_000))
            + chunk(b"IDAT", rows)
            + chunk(b"IEND", b"")
        )
        found = look(path)
        assert found["state"] == "unsigned" and found["texts"] == {}
        return
    else:
        path.write_bytes(b"hello" if what == "text" else b"")
        expected = "not a PNG, WebP or JPEG"
    assert commonart(["verify", str(path)]) == 1
    said = capfd.readouterr()
    assert "cannot be read" in said.out and expected in said.out and "Traceback" not in said.err + said.out


def test_pictures_of_other_tools_are_shown_and_never_obeyed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts = {
        "A1111": {"parameters": "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Model: ../../etc/passwd"},
        "ComfyUI": {"prompt": '{"3": {"inputs": {"ckpt_name": "/etc/passwd"}}}', "workflow": "{}"},
        "InvokeAI": {"invokeai_metadata": '{"positive_prompt": "a dog"}'},
    }
    for tool, entries in texts.items():
        info = PngImagePlugin.PngInfo()
        for key, text in entries.items():
            info.add_itxt(key, text)
        Image.new("RGB", (8, 8)).save(tmp_path / f"{tool}.png", pnginfo=info)
        found = look(tmp_path / f"{tool}.png")
        assert (found["tool"], found["state"], found["recipe"]) == (tool, "unsigned", None) and found[
            "texts"
        ] == entries
        assert commonart(["verify", str(tmp_path / f"{tool}.png")]) == 1
        assert f"another tool ({tool}); no signature covers it" in capfd.readouterr().out
    # a recipe that names places outside: told, but looked for nowhere
    evil = recipe_of() | {"loras": [LORA | {"name": "../../../etc/passwd", "sha256": "0" * 64}]}
    evil["request"] |= {"model": "/etc/passwd"}
    (link,) = look(signed(tmp_path / "evil.png", policy=ProvenancePolicy(sign=False), recipe=evil))["chain"]
    assert link["file"] is None and link["gate"] == "missing"
    # signs that would steer a terminal
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "\x1b[2Jhello\r\x07")
    Image.new("RGB", (8, 8)).save(tmp_path / "esc.png", pnginfo=info)
    commonart(["verify", str(tmp_path / "esc.png")])
    assert not {"\x1b", "\r", "\x07"} & set(capfd.readouterr().out)


def test_from_the_picture_to_the_licences(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "lora"
    folder.mkdir()
    report = json.dumps(
        {"format": "commonart-gate-report", "passed": True, "licences": {"CC0-1.0": 30, "CC-BY-4.0": 12}}
    ).encode()
    (folder / "gate-report.json").write_bytes(report)
    (folder / "ATTRIBUTION.md").write_text("# Thanks", encoding="utf-8")
    told = {
        "base_model_sha256": "a" * 64,
        "dataset_sha256": "e" * 64,
        "gate_report_sha256": hashlib.sha256(report).hexdigest(),
        "config_sha256": "9" * 64,
        "licences": json.dumps({"CC0-1.0": 30, "CC-BY-4.0": 12}),
    }
    save_file(
        {"w": np.zeros(4, np.float32)}, folder / "ink.safetensors", {f"commonart.{k}": v for k, v in told.items()}
    )
    (folder / "other.safetensors").write_bytes(b"\0" * 16)
    lora = {
        "name": "ink",
        "scale": 0.8,
        "sha256": hashlib.sha256((folder / "ink.safetensors").read_bytes()).hexdigest(),
        "gate_report_sha256": told["gate_report_sha256"],
        "dataset_sha256": "e" * 64,
        "licences": {"CC0-1.0": 30, "CC-BY-4.0": 12},
    }
    path = signed(tmp_path / "p.png", recipe=recipe_of() | {"loras": [lora]})
    assert (
        look(path)["chain"][0] | {"file": None, "gate": "missing"} == look(path)["chain"][0] and look(path)["intact"]
    )  # not at hand is no fault
    (link,) = look(path, "--loras", str(folder))["chain"]
    assert (link["file"], link["gate"], link["agrees"]) == (str(folder / "ink.safetensors"), "fits", True)
    assert link["told"]["config_sha256"] == "9" * 64 and link["attribution"] == str(folder / "ATTRIBUTION.md")
    assert commonart(["verify", str(path), "--loras", str(folder)]) == 0
    assert "CC0-1.0 × 30, CC-BY-4.0 × 12" in capfd.readouterr().out
    (folder / "gate-report.json").write_bytes(report.replace(b"30", b"31"))
    assert commonart(["verify", str(path), "--loras", str(folder)]) == 1
    assert "ANOTHER" in capfd.readouterr().out
    (folder / "gate-report.json").write_bytes(report)
    lying = signed(tmp_path / "lying.png", recipe=recipe_of() | {"loras": [lora | {"licences": {"CC0-1.0": 42}}]})
    assert not look(lying, "--loras", str(folder))["intact"]


@pytest.fixture
def queue(tmp_path: Path) -> tuple[Path, Path]:
    ledger = Ledger(tmp_path / "q.db")
    for kind in ("png", "webp"):  # see ``check``: a JPEG's pixels are not the model's
        ledger.add_job(kind, requests(make_stub(tmp_path / "stub"), tmp_path / "out", 3, format=kind))
    ledger.close()
    return tmp_path / "q.db", tmp_path / "out"


def pictures(out: Path) -> list[Path]:
    return sorted(p for p in out.rglob("*") if p.is_file())


def test_a_worker_signs_what_it_saves_without_any_network(queue: tuple[Path, Path]) -> None:
    path, out = queue
    with worker(path, "--until-empty", "--training-mining", "notAllowed", PYTHONPATH=OFFLINE) as w:
        assert w.end() == 0 and w.stderr == "", w.stderr
    assert [e.report["signed"] for e in w.of(events.Saved)] == [True] * 6 and not w.of(events.Note)
    ledger = Ledger(path)
    check(ledger, out)
    ledger.close()
    done = subprocess.run(
        [sys.executable, "-m", "engine.provenance", "verify", str(out)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": OFFLINE},
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["intact"] and len(found["pictures"]) == 6, done.stderr
    assert all(set(p["training_mining"].values()) == {"notAllowed"} for p in found["pictures"])


def test_a_worker_that_may_not_or_cannot_sign(queue: tuple[Path, Path], tmp_path: Path) -> None:
    path, out = queue
    with worker(path, "--until-empty", f"--certificate={tmp_path / 'none.pem'}", f"--key={tmp_path / 'none.key'}") as w:
        assert w.end() == 0
    assert [e.report["signed"] for e in w.of(events.Saved)] == [False] * 6 and len(pictures(out)) == 6
    assert (
        next(n.template for n in w.of(events.Note)) == "Images are saved without a signature."
        and len(w.of(events.Note)) == 3
    )
    ledger = Ledger(path)
    ledger.add_job("more", requests(tmp_path / "stub", out, 1, name="more"))
    ledger.close()
    with worker(path, "--until-empty", "--no-sign") as w:
        assert w.end() == 0
    assert [e.report["signed"] for e in w.of(events.Saved)] == [False] and not w.of(events.Note)
    assert not any(Verifier().verify(p).state != "unsigned" for p in pictures(out))


def test_a_kill_between_signing_and_naming_loses_nothing(queue: tuple[Path, Path]) -> None:
    path, out = queue
    for operation in ("write key", "fsync", "rename"):
        with worker(path, "--until-empty", "--resume", "--tell-prompt=hash", COMMONART_FAULT=f"CRASH@{operation}") as w:
            assert w.end() == 137, operation
    with worker(path, "--until-empty", "--resume", "--tell-prompt=hash") as w:
        assert w.end() == 0
    ledger = Ledger(path)
    check(ledger, out)  # every picture once, with its pixels
    words = {r.request.prompt for _, r in ledger.every()}
    assert {
        ledger.recipe(r.id)["request"]["prompt"] for _, r in ledger.every()
    } == words  # the queue knows what the files hide
    ledger.close()
    reports = [Verifier().verify(p) for p in pictures(out)]
    assert all(r.intact and r.prompt_hidden for r in reports) and len(reports) == 6
    assert all(read_recipe(p)["request"]["prompt"].startswith("sha256:") for p in pictures(out))


def test_the_settings_reach_the_pictures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = Path(os.environ["COMMONART_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(
        '[provenance]\nprompt = "hash"\ntraining_mining = "constrained"\nstudio = "絵のアトリエ"\ncreator = "花子"\n',
        encoding="utf-8",
    )
    model = make_stub(tmp_path / "stub")
    os.environ["COMMONART_BACKEND"] = "fake"
    try:
        base = ["generate", "ひみつ", "--model", str(model), "--out", str(tmp_path / "out"), "--quiet", "--json"]
        assert commonart(base) == 0
        told = json.loads(capfd.readouterr().out)
        assert told["signed"] is True and told["prompt"] == "ひみつ"  # told to the one who asked
        found = look(Path(told["path"]))
        assert (
            found["signer"]["name"] == "絵のアトリエ"
            and found["xmp"]["creator"] == "花子"
            and found["prompt_hidden"]
            and found["intact"]
        )
        assert set(found["training_mining"].values()) == {"constrained"}
        assert commonart(["generate", "--like", told["path"]]) == 2
        assert "only as a hash" in capfd.readouterr().err
        assert (
            commonart([*base, "--format", "jpeg"]) == 0
            and look(Path(json.loads(capfd.readouterr().out)["path"]))["intact"]
        )
        assert commonart([*base, "--no-sign"]) == 0 and json.loads(capfd.readouterr().out)["signed"] is False
        for line, why in (
            ('prompt = "no"', "one of"),
            ("sign = 1", "true or false"),
            ('key = "a"', "belong together"),
        ):
            (home / "settings.toml").write_text(f"[provenance]\n{line}\n", encoding="utf-8")
            assert commonart(base) == 2 and why in capfd.readouterr().err
    finally:
        del os.environ["COMMONART_BACKEND"]
