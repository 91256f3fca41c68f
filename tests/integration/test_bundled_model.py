"""The bundled model: there, small, attributed, and following words."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.backends.factory import open_backend
from engine.checkpoint.library import find_all, open_model
from engine.checkpoint.vocabulary import vocabulary_of
from engine.contract.paths import resources
from trainer.evaluation import suite as suites
from trainer.evaluation.concepts import accuracy, draw, rank
from trainer.evaluation.truth import concept_table_of
from trainer.mini.assemble import MEASURES
from trainer.mini.packages import STYLES
from trainer.mini.pictures import concepts
from trainer.mini.things import things

FOLDER = resources() / "models" / "commonart-mini"
#: true renders of every 16th thing, four styles in a row: python -m tests.data.truth
TRUTH = Path(__file__).resolve().parents[1] / "data" / "truth.png"


def test_it_is_found_by_name_and_small() -> None:
    assert "commonart-mini" in [f.name for f in find_all()]
    files = [f for f in FOLDER.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 40e6
    assert {f.suffix for f in files} <= {".json", ".safetensors", ".md", ".txt", ".csv", ".jinja"}


def test_every_picture_it_learned_from_is_attributed() -> None:
    with (FOLDER / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert sum(r["used_for"] == "all parts" for r in rows) == sum(len(t.styles) for t in things())
    assert all(r["creator"] and r["title"] and r["source_url"].startswith("https://") for r in rows)
    assert (
        {r["license"] for r in rows} == {p.stem for p in (FOLDER / "LICENSES").iterdir()} == {s.license for s in STYLES}
    )
    assert (FOLDER / "README.md").read_text(encoding="utf-8").startswith("---\nlicense: apache-2.0")


def test_it_has_the_three_classes_of_commonart() -> None:
    index = json.loads((FOLDER / "model_index.json").read_text(encoding="utf-8"))
    assert (index["text_encoder"][1], index["transformer"][1], index["vae"][1]) == (
        "LlamaForCausalLM",
        "PixArtTransformer2DModel",
        "AutoencoderKL",
    )


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_it_draws_what_it_is_told(lang: str) -> None:
    table = concepts()[::16]
    with Image.open(TRUTH) as image:
        truth = np.asarray(image.convert("RGB")).reshape(len(table), 64, 4, 64, 3).transpose(0, 2, 1, 3, 4)
    made = draw(open_backend(open_model("commonart-mini")), [getattr(c, lang)[0] for c in table])
    found = accuracy(rank(made, np.ascontiguousarray(truth)))
    print(lang, found)
    assert found["top1"] >= 0.5, found  # chance is 1 in 17; the whole table is measured by `make evaluate`


def test_it_brings_the_suite_it_was_measured_by() -> None:
    truth, suite = concept_table_of(FOLDER), suites.read(FOLDER / suites.FILE)
    assert truth is not None and suite.vocabulary == truth.vocabulary and len(truth.known) == len(things())
    assert {t.kind for t in suite.tasks} == set(suites.KINDS) and all(
        set(t.prompts) == {"ja", "en"} for t in suite.tasks
    )
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(words in told for words in MEASURES.values()) and "Not measured yet" not in told


def test_it_says_what_it_does_not_know() -> None:
    words = vocabulary_of(FOLDER)
    assert words is not None
    assert words.unknown("量子りんご") == ["量子"] and words.unknown("a quantum apple") == ["quantum"]
    assert all(words.unknown(n) == [] for c in concepts() for n in (*c.en, *c.ja))


def test_what_it_does_not_know_gives_a_plain_picture() -> None:
    prompts = [
        "民主主義",
        "経済学の絵",
        "ゔぁるな",
        "微分方程式",
        "quantum taxation",
        "a picture of bureaucracy",
        "theory, flat style",
        "哲学、青い背景",
        "りんご",
    ]
    pictures = draw(open_backend(open_model("commonart-mini")), prompts).astype(np.int16)
    ground = np.median(pictures.reshape(len(prompts), -1, 3), axis=1)[:, None, None]
    covered = (abs(pictures - ground).max(-1) > 40).mean(
        (1, 2)
    )  # share of the pixels that are not of the ground's colour
    assert covered[:-1].max() < 0.02 and covered[-1] > 0.3, dict(zip(prompts, covered.round(3).tolist(), strict=True))
    assert ground[-2, 0, 0, 2] > ground[-2, 0, 0, 0] + 80  # 青い背景 is known
