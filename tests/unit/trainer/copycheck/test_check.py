"""The copy check: planted copies are found, strangers are not, and no text calls anything harmless."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from engine.contract.errors import BadFile, NothingToCheck
from engine.contract.request import ImageRequest
from engine.imagefile.image import read_pixels
from tests.support.images import make_dataset
from tests.support.paths import ROOT
from tests.support.stub_model import make_stub
from trainer.copycheck.__main__ import work
from trainer.copycheck.copies import copies, fingerprint_of
from trainer.copycheck.extraction import clusters, repeated
from trainer.copycheck.nearest import leave_one_out, nearest, summary
from trainer.copycheck.overfit import overfit
from trainer.dataset.records import Record
from trainer.evaluation.prompts import Item


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "data"
    make_dataset(folder, 12, size=96)
    return folder


def _training(data: Path) -> list[Path]:
    return sorted(p for p in data.rglob("*") if p.suffix in (".png", ".jpg", ".webp"))


def _noise(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
    image.save(path)
    return path


@pytest.fixture
def asked(data: Path, tmp_path: Path) -> dict[str, Path]:
    """One picture of every kind."""
    folder = tmp_path / "asked"
    folder.mkdir()
    a, b, c, d = _training(data)[:4]
    made = {
        "file": folder / f"same{a.suffix}",
        "pixels": folder / "pixels.webp",
        "near": folder / "near.jpg",
        "mirrored": folder / "mirrored.png",
        "": _noise(folder / "stranger.png", 7),
    }
    made["file"].write_bytes(a.read_bytes())
    Image.open(b).convert("RGB").save(made["pixels"], lossless=True)
    Image.open(c).convert("RGB").resize((70, 70)).save(made["near"], quality=60)
    ImageOps.mirror(Image.open(d).convert("RGB")).save(made["mirrored"])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return made


def test_every_kind_of_copy_is_found_and_a_stranger_is_not(data: Path, asked: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    answer = work([f"--against={data}", f"--html={page}", "--captions", "--", str(tmp_path / "asked")])
    rows = {Path(r["file"]): r for r in answer["rows"]}
    for kind, original in zip(("file", "pixels", "near", "mirrored"), _training(data)[:4], strict=True):
        assert (original.relative_to(data).as_posix(), kind) in [
            (c["file"], c["kind"]) for c in rows[asked[kind]]["copies"]
        ], kind
    assert rows[asked[""]]["copies"] == [] and answer["copied"] == 4 and answer["pictures"] == 5
    assert [Path(s["file"]).name for s in answer["skipped"]] == ["broken.png"]
    # nearest by features: the planted ones find their originals
    for kind, original in zip(("file", "pixels", "near"), _training(data)[:3], strict=True):
        first = rows[asked[kind]]["nearest"]["built-in"][0]
        assert first["file"] == original.relative_to(data).as_posix() and first["similarity"] > 0.9
    told = answer["features"][0]
    assert (
        told["n"] == 5
        and told["baseline"]["n"] == 12
        and told["p95"] >= told["p90"] >= told["p75"]
        and 0 < told["above_baseline_p95"] <= 1
    )
    text = page.read_text(encoding="utf-8")
    assert (
        text.count("<figure") >= 5
        and "<svg" in text
        and "写し" in text
        and "weak" in text
        and not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    )


def test_no_report_says_that_a_picture_is_harmless(data: Path, asked: dict[str, Path], tmp_path: Path) -> None:
    """No copies, some copies, an alarm: never that word, in the page, the answer, the help or the source's sentences."""
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in _log([1.0, 0.9, 0.8, 0.7], [1.0, 0.9, 1.0])), encoding="utf-8"
    )
    words = ""
    for given in ([str(asked[""])], [str(tmp_path / "asked"), f"--events={tmp_path / 'log.jsonl'}"]):
        answer = work([f"--against={data}", f"--html={tmp_path / 'r.html'}", *given])
        words += (tmp_path / "r.html").read_text(encoding="utf-8") + json.dumps(answer)
    for name in (
        "trainer/copycheck/report.py",
        "commonart_desktop/cli/copycheck.py",
        "trainer/copycheck/check.py",
        "trainer/copycheck/overfit.py",
    ):
        words += (ROOT / name).read_text(encoding="utf-8")
    told = json.loads((ROOT / "resources/translations/ja/evaluation.json").read_text(encoding="utf-8"))
    words += "".join(
        x for pair in told.items() for x in pair if "score" not in pair[0]
    )  # the score before saving is another matter
    words = re.sub(r"data:image/[^\"]*", "", words)
    assert not re.search(r"\b(un)?safe(ly|ty)?\b|安全", words, re.I)


def test_a_folder_is_not_a_copy_of_itself(data: Path) -> None:
    answer = work([f"--against={data}", "--", str(data)])
    assert answer["copied"] == 0 and answer["pictures"] == 12
    told = answer["features"][0]  # then it is the baseline itself
    assert (
        told["p95"] == pytest.approx(told["baseline"]["p95"], abs=1e-5)
        and told["share_above_half"] == told["baseline"]["share_above_half"]
    )


def test_the_command_ends_with_1_if_copies_were_found(data: Path, asked: dict[str, Path], tmp_path: Path) -> None:
    def run(*given: Path, lang: str = "en") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "commonart_desktop", "copycheck", "--against", str(data), *map(str, given)],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            env=os.environ | {"COMMONART_LANG": lang, "COMMONART_HOME": str(tmp_path / "home")},
        )

    found = run(asked["near"], asked[""], lang="ja")
    assert found.returncode == 1 and "見た目が同じ" in found.stdout and "near.jpg" in found.stdout, found.stderr
    assert run(asked[""]).returncode == 0
    none = run()
    assert none.returncode == 2 and "no image to check" in none.stderr and "Traceback" not in none.stderr


def test_bad_input_is_told(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given in ([f"--against={tmp_path / 'empty'}", str(data)], [f"--against={data}", str(tmp_path / "empty")]):
        with pytest.raises(NothingToCheck):
            work(given)
    with pytest.raises(BadFile):
        work([f"--against={data}", str(tmp_path / "nowhere.png")])
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    with pytest.raises(NothingToCheck, match="none of 1"):
        work([f"--against={data}", str(tmp_path / "text.png")])


def test_notes_kept_of_training_pictures_change_with_them(
    data: Path, asked: dict[str, Path], tmp_path: Path, own_home: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "a.png").write_bytes(_noise(tmp_path / "x.png", 1).read_bytes())
    assert work([f"--against={folder}", str(asked["near"])])["copied"] == 0
    assert list((own_home / "cache" / "copycheck").glob("*.json")) and list((own_home / "cache" / "features").glob("*"))
    Image.open(asked["near"]).save(folder / "a.png")
    os.utime(folder / "a.png", ns=(1, 1))
    answer = work([f"--against={folder}", str(asked["near"])])
    assert answer["kinds"]["pixels"] == 1 and answer["rows"][0]["nearest"]["built-in"][0]["similarity"] > 0.9999


def test_nearest_is_exact() -> None:
    rng = np.random.default_rng(0)
    asked, known = rng.normal(size=(150, 9)), rng.normal(size=(70, 9))
    values, places = nearest(asked, known, 3)
    like = asked @ known.T / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(known, axis=1)[None]
    order = np.argsort(-like, axis=1)[:, :3]
    assert np.array_equal(places, order) and np.allclose(values, np.take_along_axis(like, order, 1), atol=1e-5)
    own = known @ known.T / np.linalg.norm(known, axis=1)[:, None] / np.linalg.norm(known, axis=1)[None]
    np.fill_diagonal(own, -2)
    assert np.allclose(leave_one_out(known), own.max(1), atol=1e-5) and len(leave_one_out(known, most=20)) == 20
    told = summary(np.array([0.1, 0.4, 0.6, 0.9]))
    assert told["share_above_half"] == 0.5 and told["p75"] == pytest.approx(0.675)


def test_flat_pictures_of_other_colours_are_no_copies(tmp_path: Path) -> None:
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{name}.png")
    red, blue = (tmp_path / f"{n}.png" for n in ("red", "blue"))
    assert copies({red: fingerprint_of(red)}, {blue: fingerprint_of(blue)}) == {red: []}


# learning by heart
# -----------------------------------------------------------------------------------------------------


def _log(training: list[float], heldout: list[float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"event": "step", "step": n + 1, "loss": loss}
        for n, loss in enumerate(np.interp(np.linspace(0, 1, 100), np.linspace(0, 1, len(training)), training))
    ]
    return rows + [
        {"event": "heldout", "step": round((n + 1) * 100 / len(heldout)), "loss": loss}
        for n, loss in enumerate(heldout)
    ]


@pytest.mark.parametrize(
    ("training", "heldout", "alarm"),
    [
        ([1.0, 0.8, 0.5, 0.2], [1.0, 0.7, 0.8, 1.1], True),
        ([1.0, 0.8, 0.7], [1.0, 0.8, 0.7], False),
        ([1.0, 0.8], [1.0, 0.9], None),
        ([1.0, 0.8, 0.7], [0.9, 0.8, 0.805], False),
    ],
)
def test_held_out_loss_that_rises_while_training_falls_is_an_alarm(
    training: list[float], heldout: list[float], alarm: bool | None, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in _log(training, heldout)) + '{"event": "st', encoding="utf-8"
    )
    assert overfit(tmp_path)["alarm"] is alarm


def test_a_log_without_losses_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(BadFile):
        overfit(tmp_path)


# drawing them out again
# ------------------------------------------------------------------------------------------------


def test_the_most_repeated_captions_come_first() -> None:
    records = [
        Record(file_name=f"{n}.png", text=("A cat", "a  CAT"), text_ja=("猫",) if n < 2 else ()) for n in range(3)
    ] + [Record(file_name="x.png", text=("dog",))]
    assert [(r.caption, r.count) for r in repeated(records, 2)] == [("a  CAT", 3), ("猫", 2)]


def test_pictures_that_gather_at_one_training_picture_are_flagged() -> None:
    captions = repeated(
        [Record(file_name=f"{n}.png", text=("cat",)) for n in range(2)] + [Record(file_name="d.png", text=("dog",))], 2
    )
    items = [Item(lang="en", index=n, copy=c, prompt=p) for n, p in enumerate(("cat", "dog")) for c in range(6)]
    files = [Path(i.file) for i in items]
    rows = {f: np.eye(8)[0 if n < 6 else n - 5] for n, f in enumerate(files)}
    near = {f: ("0.png", 0.95) if n < 6 else (f"{n}.png", 0.99) for n, f in enumerate(files)}
    cat, dog = clusters(captions, items, files, set(), rows, near, 0.9)
    assert (
        cat["flagged"]
        and cat["times"] == 6
        and cat["alike"] == pytest.approx(1)
        and not dog["flagged"]
        and dog["alike"] == pytest.approx(0)
    )
    assert clusters(captions, items, files, {files[-1]}, rows, near, 0.9)[1]["flagged"]
    assert not clusters(captions, items, files, set(), rows, near, 0.97)[0]["flagged"]


def test_extraction_draws_captions_from_many_seeds_and_finds_what_was_planted(tmp_path: Path) -> None:
    """The fake model paints a colour by the seed; the training picture is one of those."""
    from engine.backends.fake import FakeBackend

    folder = tmp_path / "data"
    make_dataset(folder, 4, size=32)
    known = _training(folder)
    Image.fromarray(FakeBackend.noise(None, [1002], 32, 32)[0].astype(np.uint8)).save(folder / "planted.png")  # type: ignore[arg-type]
    with (folder / "metadata.jsonl").open("a", encoding="utf-8") as f:
        f.write(
            "".join(
                json.dumps({"file_name": n, "text": "the very same words"}) + "\n"
                for n in ("planted.png", known[0].relative_to(folder).as_posix())
            )
        )
    answer = work(
        [
            f"--against={folder}",
            f"--extract={make_stub(tmp_path / 'stub')}",
            "--backend=fake",
            "--no-sign",
            "--most=1",
            "--seeds=5",
            "--steps=2",
            "--captions",
            f"--out={tmp_path / 'out'}",
            f"--html={tmp_path / 'r.html'}",
        ]
    )
    caption = answer["extraction"]["captions"][0]
    assert (caption["caption"], caption["pictures"], caption["seeds"], caption["copies"], caption["flagged"]) == (
        "the very same words",
        2,
        5,
        1,
        True,
    )
    row = next(r for r in answer["rows"] if r["copies"])
    assert (
        row["copies"][0] == {"file": "planted.png", "kind": "pixels"}
        and row["prompt"] == "the very same words"
        and "planted.png" in row["caption_of"]
    )
    assert answer["captioned"] == 5 and read_pixels(tmp_path / "out" / "pictures" / "en-00000-02.png").shape == (
        32,
        32,
        3,
    )
    assert ImageRequest(prompt="x", seed=1002).seed == 1002 and "引き出し" in (tmp_path / "r.html").read_text(
        encoding="utf-8"
    )
