"""The engine's small programs as front ends meet them: processes that print one JSON document."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract import recipe as recipes
from engine.contract.errors import Phrase, from_wire
from engine.contract.request import ImageRequest
from engine.imagefile.image import pixel_sha256, to_bytes
from tests.support.paths import ROOT


def call(module: str, *args: object, path: Path | None = None) -> tuple[int, dict[str, Any], str]:
    """(exit status, the one document, standard error)."""
    env = os.environ | {"HF_HUB_CACHE": os.environ["COMMONART_HOME"] + "-hub", "OMP_NUM_THREADS": "1"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, args)], cwd=ROOT, env=env, capture_output=True, timeout=120
    )
    assert done.stdout.count(b"\n") == 1, (done.stdout, done.stderr)
    answer = json.loads(done.stdout.decode("utf-8"))
    assert (done.returncode == 0) == answer["ok"]
    if not answer["ok"]:
        assert from_wire(answer["error"]).exit_status == done.returncode
    return done.returncode, answer, done.stderr.decode("utf-8", "replace")


def models(*args: object) -> dict[str, Any]:
    return call("engine.checkpoint", *args)[1]


def kind(answer: dict[str, Any]) -> str:
    assert not answer["ok"], answer
    return str(answer["error"]["kind"])


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled."""
    return Path(shutil.copytree(tiny_model, tmp_path / "ちいさい model"))


@pytest.fixture(scope="session")
def loose(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    from tests.support.tiny_models import make_commonart

    return make_commonart(tmp_path_factory.mktemp("commonart"))


# models -----------------------------------------------------------------------------------------------------------


def test_list(own_home: Path, model: Path, loose: tuple[Path, Path, Path]) -> None:
    lair = own_home / "models"
    shutil.copytree(model, lair / "小さい")
    shutil.copytree(loose[0], lair / "bare")
    shutil.copytree(model, lair / "odd")
    (lair / "odd" / "transformer" / "config.json").write_text(
        '{"_class_name": "PixArtTransformer2DModel", "sample_size": "x"}', encoding="utf-8"
    )
    (lair / "nothing").mkdir()
    snapshot = Path(str(own_home) + "-hub") / "models--someone--tiny" / "snapshots" / "0123"
    shutil.copytree(model, snapshot)
    rows = {row["name"]: row for row in models("list")["models"] if row["source"] != "bundled"}
    assert set(rows) == {"小さい", "bare", "odd", "someone/tiny"}
    assert rows["小さい"]["ok"] and rows["小さい"]["source"] == "home" and rows["小さい"]["problem"] is None
    assert rows["小さい"]["parts"]["vae"] == str(lair / "小さい" / "vae") and rows["小さい"]["own_side"] == 32
    assert rows["someone/tiny"]["ok"] and rows["someone/tiny"]["source"] == "hub-cache"
    assert not rows["bare"]["ok"] and rows["bare"]["problem"]["kind"] == "missing-part"
    assert not rows["odd"]["ok"]
    assert not (own_home / "cache").exists()  # nothing was hashed


def test_parts_are_remembered(loose: tuple[Path, Path, Path]) -> None:
    root, encoder, vae = loose
    assert kind(models("resolve", root)) == "missing-part"
    first = models("resolve", root, "--text-encoder", encoder, "--vae", vae)
    assert first == models("resolve", root)
    assert (first["name"], first["own_side"], first["multiple"], first["layout"]) == ("commonart-beta", 32, 8, "bare")


def test_info(model: Path, loose: tuple[Path, Path, Path]) -> None:
    (model / "README.md").write_text("---\nlanguage: ja\nlicense: apache-2.0\n---\n# x\n", encoding="utf-8")
    (model / "vae" / "LICENSE.txt").write_text("\n  MIT License\nmore", encoding="utf-8")
    _, answer, err = call("engine.checkpoint", "info", model)
    parts = answer["parts"]
    assert (
        answer["name"] == model.name
        and answer["own_side"] == 32
        and answer["multiple"] == 8
        and answer["max_tokens"] == 64
    )
    assert (
        parts["denoiser"]["dtype"] == "fp32"
        and abs(parts["denoiser"]["bytes"] - 4 * parts["denoiser"]["parameters"]) < 20_000
    )
    assert parts["vae"]["sha256"] == answer["hashes"]["vae"] and set(answer["hashes"]) == {
        "denoiser",
        "text_encoder",
        "vae",
    }
    said = {row["licence"]: row["parts"] for row in answer["licences"]}
    assert said == {"apache-2.0": ["denoiser", "text_encoder", "vae"], "MIT License": ["vae"]}
    memory = answer["memory"]
    assert memory["fp32"]["weights"] == 4 * (parts["denoiser"]["parameters"] + parts["vae"]["parameters"])
    assert memory["fp32"]["total"] == 2 * memory["bf16"]["total"] and memory["fp32"]["fits_ram"] is True
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines and lines[-1]["progress"] == lines[-1]["total"] and lines == sorted(lines, key=lambda x: x["progress"])

    file = model / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    answer = models("info", model)
    assert answer["ok"] and answer["parts"]["vae"]["problem"]["kind"] == "broken-weights" and answer["hashes"] is None
    assert models("info", loose[0], "--text-encoder", loose[1], "--vae", loose[2])["layout"] == "bare"


@pytest.mark.parametrize(
    "text, said",
    [
        ("---\nlicense:\n  - mit\n  - other\n---\n", "mit, other"),
        ("---\nlicense: other\nlicense_name: 'my own'\n---\n", "my own"),
        ('\ufeff---\r\nlicense: "cc0-1.0"\r\n---\r\n', "cc0-1.0"),
        ("license: mit\n", None),
    ],
)
def test_licences(tmp_path: Path, text: str, said: str | None) -> None:
    from engine.checkpoint.describe import licence_of

    (tmp_path / "README.md").write_bytes(text.encode())
    found = licence_of(tmp_path)
    assert (found[0] if found else None) == said


def spoil(file: Path, at: int, data: bytes) -> None:
    """Overwrite numbers ``at`` bytes after the head (from the end if negative), leaving time and length alone."""
    raw, stat = bytearray(file.read_bytes()), file.stat()
    at = at + (len(raw) if at < 0 else 8 + struct.unpack("<Q", raw[:8])[0])
    raw[at : at + len(data)] = data
    file.write_bytes(raw)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_verify(model: Path) -> None:
    code, answer, err = call("engine.checkpoint", "verify", model)
    assert (
        code == 0
        and answer["problems"] == []
        and {"finite", "denoiser-shapes", "tokenizer", "sha256", "channels"} <= set(answer["checks"])
    )
    assert {row["part"] for row in answer["files"]} == {"denoiser", "text_encoder", "tokenizer", "vae", "scheduler"}
    import hashlib

    for row in answer["files"]:
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines[-1]["progress"] == lines[-1]["total"]


def test_verify_finds_one_nan_though_info_was_content(model: Path) -> None:
    assert models("info", model)["hashes"]
    file = model / "transformer" / "diffusion_pytorch_model.safetensors"
    spoil(file, -4, struct.pack("<f", float("nan")))  # as a disk spoils it: no new time stamp
    answer = models("verify", model)
    assert kind(answer) == "broken-weights" and answer["error"]["fields"]["path"] == str(file)
    assert [row["path"] for row in answer["files"] if row["problem"]] == [str(file)]


def test_verify_finds_what_else_is_wrong(model: Path) -> None:
    encoder = model / "text_encoder" / "model.safetensors"
    encoder.write_bytes(encoder.read_bytes()[:-1])
    file = model / "transformer" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {"out_channels": 4}), encoding="utf-8")
    (model / "tokenizer" / "tokenizer.json").write_text("{", encoding="utf-8")
    answer = models("verify", model)
    assert [p["kind"] for p in answer["problems"]] == ["broken-weights", "wrong-shape"] and "tokenizer" in answer[
        "skipped"
    ]
    shape = answer["problems"][1]["fields"]
    assert (shape["tensor"], shape["found"], shape["expected"]) == ("proj_out.bias", "[32]", "[16]")
    encoder.write_bytes(encoder.read_bytes() + b"\0")  # a zero instead of the last byte: whole again
    assert "wrong-tokenizer" in [p["kind"] for p in models("verify", model)["problems"]]


@pytest.mark.parametrize("name", ["tiny", "alpha", "default"])
def test_shapes_are_those_of_the_engine(name: str) -> None:
    torch = pytest.importorskip("torch")
    from engine.checkpoint.verify import denoiser_shapes
    from engine.models.pixart import DiT, DiTConfig
    from tests.support.tiny_models import denoiser_config

    config = {
        "tiny": denoiser_config(attention_bias=False),
        "alpha": denoiser_config(use_additional_conditions=True, attention_head_dim=24, cross_attention_dim=48),
        "default": {},
    }[name]
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in DiT(DiTConfig.from_dict(config)).state_dict().items()}
    assert denoiser_shapes(config) == wanted


def pickled(folder: Path, shards: int) -> dict[str, Any]:
    """Turn the folder's safetensors into pickled shards; returns the tensors."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    [file] = folder.glob("*.safetensors")
    tensors = load_file(file)
    stem = file.stem if "diffusion" in file.stem else "pytorch_model"
    names = list(tensors)
    places = {}
    for n in range(shards):
        shard = f"{stem}-{n + 1:05}-of-{shards:05}.bin" if shards > 1 else f"{stem}.bin"
        torch.save({k: tensors[k] for k in names[n::shards]}, folder / shard)
        places |= dict.fromkeys(names[n::shards], shard)
    if shards > 1:
        (folder / f"{stem}.bin.index.json").write_text(
            json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8"
        )
    file.unlink()
    return tensors


def test_convert_a_pipeline(model: Path) -> None:
    torch = pytest.importorskip("torch")
    from engine.backends.pytorch.load import load_denoiser
    from engine.checkpoint.layout import identify

    tensors = pickled(model / "transformer", 2)
    pickled(model / "text_encoder", 1)
    assert kind(models("resolve", model)) == "needs-conversion"
    _, answer, err = call("engine.checkpoint", "convert", model)
    assert [Path(p).name for p in answer["folders"]] == ["text_encoder", "transformer"] and len(answer["written"]) == 4
    assert all(Path(p).is_file() for p in answer["written"])
    lines = [json.loads(line)["progress"] for line in err.splitlines()]
    assert lines == sorted(lines) and lines[-1] == json.loads(err.splitlines()[-1])["total"]
    assert models("verify", model)["ok"]
    loaded = load_denoiser(identify(model), torch.device("cpu"), torch.float32).state_dict()
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[k], tensors[k]) for k in tensors)
    assert models("convert", model)["written"] == []  # nothing is done twice

    table = next((model / "transformer").glob("*.safetensors.index.json"))
    index = json.loads(table.read_text(encoding="utf-8"))
    index["weight_map"]["no.such"] = next(iter(index["weight_map"].values()))
    table.write_text(json.dumps(index), encoding="utf-8")
    assert kind(models("verify", model)) == "broken-weights"


def test_convert_elsewhere(model: Path, tmp_path: Path) -> None:
    pickled(model / "vae", 1)
    answer = models("convert", model, "--out", tmp_path / "out")
    assert answer["written"] == [str(tmp_path / "out" / "vae" / "diffusion_pytorch_model.safetensors")]
    assert not list((model / "vae").glob("*.safetensors"))


def test_bad_models(tmp_path: Path, model: Path) -> None:
    assert kind(models("info", "no-such-model")) == "unknown-model"
    assert kind(models("resolve", tmp_path / "nowhere")) == "bad-file"
    (tmp_path / "empty").mkdir()
    assert kind(models("verify", tmp_path / "empty")) == "not-a-model"
    assert kind(models("convert", tmp_path / "empty")) == "bad-file"
    assert kind(models("frobnicate")) == "usage"
    (model / "transformer" / "config.json").write_text(
        '{"_class_name": "PixArtTransformer2DModel", "sample_size": "x"}', encoding="utf-8"
    )
    code, answer, err = call("engine.checkpoint", "resolve", model)
    assert (
        code == 1
        and answer["error"]["kind"] == "error"
        and "ValueError" in answer["error"]["message"]
        and "Traceback" not in err
    )
    assert "Traceback" in call("engine.checkpoint", "resolve", "--debug", model)[2]


# pictures ---------------------------------------------------------------------------------------------------------


def picture(path: Path, prompt: str = "りんご, 青い背景", side: int = 64, shade: int = 120) -> dict[str, Any]:
    pixels = np.full((side, side, 3), shade, np.uint8)
    request = ImageRequest(prompt=prompt, seed=7, width=side, height=side)
    recipe = recipes.build(
        request,
        model="tiny",
        hashes={"denoiser": "ab" * 32},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256=pixel_sha256(pixels),
        app="test",
    )
    path.write_bytes(to_bytes(pixels, {".png": "png", ".webp": "webp", ".jpg": "jpeg"}[path.suffix], recipe))
    return recipe


@pytest.mark.parametrize("ending, name", [(".png", "png"), (".webp", "webp"), (".jpg", "jpeg")])
def test_show(tmp_path: Path, ending: str, name: str) -> None:
    recipe = picture(tmp_path / f"絵{ending}")
    answer = call("engine.output", "show", tmp_path / f"絵{ending}")[1]
    assert answer["recipe"] == recipe and answer["parameters"] == recipes.parameters(recipe)
    assert (answer["width"], answer["height"], answer["format"]) == (64, 64, name)


def test_show_pictures_of_others(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20")
    Image.new("RGB", (5, 3)).save(tmp_path / "a.png", pnginfo=info)
    answer = call("engine.output", "show", tmp_path / "a.png")[1]
    assert answer["recipe"] is None and answer["parameters"] == "a cat\nSteps: 20" and answer["width"] == 5
    Image.new("RGB", (5, 3)).save(tmp_path / "b.png")
    assert kind(call("engine.output", "show", tmp_path / "b.png")[1]) == "no-recipe"
    (tmp_path / "c.png").write_text("not an image", encoding="utf-8")
    for path in (tmp_path / "c.png", tmp_path / "none.png", tmp_path):
        assert kind(call("engine.output", "show", path)[1]) == "bad-file"
    picture(tmp_path / "d.png")
    (tmp_path / "d.png").write_bytes((tmp_path / "d.png").read_bytes()[:300])
    assert kind(call("engine.output", "show", tmp_path / "d.png")[1]) in ("bad-file", "no-recipe")


def test_sheet(tmp_path: Path) -> None:
    for n in range(5):
        picture(tmp_path / f"{n}.png", "a red apple" if n else "", side=64 if n else 400, shade=20 + 40 * n)
    names = [tmp_path / f"{n}.png" for n in range(5)]
    answer = call("engine.output", "sheet", tmp_path / "deep" / "sheet.png", *names, "--columns", 3)[1]
    assert (answer["columns"], answer["rows"], answer["pictures"], answer["left_out"]) == (3, 2, 5, 0)
    with Image.open(answer["path"]) as sheet:
        assert sheet.size == (answer["width"], answer["height"]) and sheet.width == 12 + 3 * 172
        count = {c: n for n, c in sheet.convert("L").getcolors(256)}
    assert count[20] == 160 * 160  # the large one in the small
    assert all(count[20 + 40 * n] >= 128 * 128 for n in range(1, 5))  # the tiny ones at twice their size
    again = call("engine.output", "sheet", tmp_path / "deep" / "sheet.png", *names)[1]
    assert again["path"] != answer["path"] and sorted(p.name for p in (tmp_path / "deep").iterdir()) == [
        "sheet-2.png",
        "sheet.png",
    ]


def test_sheet_captions(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "りんご")
    plain = call("engine.output", "sheet", tmp_path / "plain.png", tmp_path / "a.png")[1]
    assert plain["left_out"] == 0  # with no font of the system's
    (tmp_path / "c.json").write_text(json.dumps({"a.png": "an apple " * 30}), encoding="utf-8")
    told = call(
        "engine.output", "sheet", tmp_path / "told.png", tmp_path / "a.png", "--captions-json", tmp_path / "c.json"
    )[1]
    assert told["left_out"] == 0 and told["height"] == 128 + 2 * 12 + 3 * 16
    with Image.open(told["path"]) as sheet:
        assert any(c[0] < 80 for _, c in sheet.crop((0, 142, sheet.width, sheet.height)).getcolors(9999))
    (tmp_path / "c.json").write_text('["one", "too many"]', encoding="utf-8")
    for args in (
        ["x.png", "a.png", "--captions-json", "c.json"],
        ["x.png", "c.json"],
        ["x.png", "none.png"],
        ["x.png", "a.png", "--captions-json", "none"],
    ):
        full = [a if a.startswith("--") else tmp_path / a for a in args]
        assert kind(call("engine.output", "sheet", *full)[1]) == "bad-file"
    assert kind(call("engine.output", "sheet", tmp_path / "x.jpg", tmp_path / "a.png")[1]) == "bad-value"
    assert (
        kind(call("engine.output", "sheet", tmp_path / "x.png", tmp_path / "a.png", "--columns", 0)[1]) == "bad-value"
    )


def test_captions_need_no_font_of_the_system() -> None:
    from engine.output.contact_sheet import MISSING, caption_font, drawable, wrap

    font = caption_font()
    text = "an Äpple りんご、ｶﾀｶﾅ 漢字 髙﨑 凜 彁 ①㈱ 〜～ 𠮟る…"
    assert drawable(text, font) == text and drawable("か\u3099", font) == "が"
    assert drawable("猫🐱 한", font) == f"猫{MISSING} {MISSING}"
    levels = [bytes((row + 0xA0, cell + 0xA0)) for row in (*range(1, 9), *range(16, 85)) for cell in range(1, 95)]
    everything = "".join(code.decode("euc_jp", "ignore") for code in levels).replace("≒", "")  # Noto has none
    assert len(everything) > 6_800 and MISSING not in drawable(everything.replace(MISSING, ""), font)
    lines = wrap("one two three four five six seven eight nine ten eleven twelve", 100, font)
    assert len(lines) == 3 and all(font.getlength(line) <= 100 for line in lines) and lines[-1].endswith("…")
    assert wrap("a" * 90, 100, font, 99) and "".join(wrap("a" * 90, 100, font, 99)) == "a" * 90


# doctor -----------------------------------------------------------------------------------------------------------


def checks(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for row in answer["checks"]:
        assert row["state"] in ("ok", "warning", "missing") and (row["value"] is None or isinstance(row["value"], str))
        for text in filter(None, (row["name"], row["advice"])):
            assert Phrase(text["template"], **text["fields"])
        assert row["state"] == "ok" or row["advice"], row
    return {row["id"]: row for row in answer["checks"]}


def test_doctor(own_home: Path, model: Path) -> None:
    pytest.importorskip("torch")
    shutil.copytree(model, own_home / "models" / "mine")
    (own_home / "cache" / "text").mkdir(parents=True)
    (own_home / "cache" / "text" / "x").write_bytes(bytes(2048))
    rows = checks(call("engine.doctor")[1])
    assert all(
        rows[name]["state"] == "ok"
        for name in ("python", "torch", "auto", "diffusers", "transformers", "data-folder", "models")
    )
    import torch

    assert rows["torch"]["value"].startswith(torch.__version__) and rows["text-cache"]["value"] == "2.0 KiB"
    assert int(rows["models"]["value"]) >= 1 and rows["data-folder"]["value"] == str(own_home)
    assert rows["auto"]["value"] == "cpu, fp32" or torch.cuda.is_available() or torch.backends.mps.is_available()


def test_doctor_of_a_sick_machine(tmp_path: Path, own_home: Path) -> None:
    """Broken libraries, and a data folder that is a file."""
    for name, text in {
        "torch": "print('chatter'); raise OSError('libcudart.so.99: cannot open')",
        "onnxruntime": "raise SystemExit(3)",
        "diffusers": "raise ModuleNotFoundError('No module named fu', name='fu')",
        "transformers": "1 / 0",
    }.items():
        (tmp_path / "sick" / name).mkdir(parents=True)
        (tmp_path / "sick" / name / "__init__.py").write_text(text, encoding="utf-8")
    own_home.write_text("a file", encoding="utf-8")
    rows = checks(call("engine.doctor", path=tmp_path / "sick")[1])
    for name in ("torch", "onnxruntime", "diffusers", "transformers", "auto", "data-folder"):
        assert rows[name]["state"] == "missing", rows[name]
    assert (
        "libcudart.so.99" in rows["torch"]["advice"]["fields"]["reason"]
        and "pip install" in rows["torch"]["advice"]["fields"]["command"]
    )
