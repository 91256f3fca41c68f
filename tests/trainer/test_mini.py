"""The bundled model's recipe, in small, and its evaluation."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.checkpoint.layout import identify
from engine.checkpoint.lora import told_by
from engine.vocabulary import Vocabulary
from trainer.dataset.records import read_records
from trainer.evaluation.concepts import accuracy, rank
from trainer.mini import denoiser, export, text, vae
from trainer.mini.assemble import assemble, base, card, vocabulary
from trainer.mini.captions import caption
from trainer.mini.packages import NAMES, STYLES, fetch
from trainer.mini.pictures import GROUNDS, concepts, on_ground
from trainer.mini.state import Run, restore, save


def test_the_table_is_whole() -> None:
    table = concepts()
    assert len(table) >= 200 and len({c.hex for c in table}) == len(table)
    for lang in ("en", "ja"):
        names = [n for c in table for n in getattr(c, lang)]
        assert len(names) == len(set(names)) and all(n.strip() == n and n for n in names)


def test_captions_name_what_they_are_given() -> None:
    rng = random.Random(0)
    for concept in concepts()[:40]:
        for style in (None, *range(len(STYLES))):
            for ground in (None, *GROUNDS):
                for lang in ("en", "ja"):
                    text = caption(concept, style, ground, lang, rng).lower()
                    assert any(n.lower() in text for n in getattr(concept, lang))
                    assert (style is None) == (not any(w.lower() in text for w in getattr(STYLES[style or 0], lang)) if style is not None else True)
                    if ground:
                        assert GROUNDS[ground][1 if lang == "en" else 2][-1].rstrip("の") in text


def test_the_vocabulary_knows_its_own_captions_and_nothing_else() -> None:
    data = vocabulary()
    words, rng = Vocabulary(data["known"], data["small"]), random.Random(1)
    for concept in concepts():
        for lang in ("en", "ja"):
            text = caption(concept, rng.choice([None, 0, 1, 2, 3]), rng.choice([None, *GROUNDS]), lang, rng)
            assert words.unknown(text) == [], text
    assert words.unknown("a quantum apple") == ["quantum"]
    assert words.unknown("鳳凰とりんご") == ["鳳凰"]
    assert words.unknown("Ｓｕｓｈｉ, SUSHI") == []  # full width and capitals are folded


def test_true_renders_are_their_own_nearest() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (12, 2, 8, 8, 3), np.uint8).repeat(8, 2).repeat(8, 3)
    noisy = np.clip(truth[:, 1].astype(int) + rng.integers(-20, 20, truth[:, 1].shape), 0, 255).astype(np.uint8)
    assert accuracy(rank(noisy, truth)) == {"top1": 1.0, "top5": 1.0}
    assert accuracy(rank(np.roll(noisy, 1, 0), truth))["top1"] == 0.0


def test_pictures_are_laid_on_their_ground() -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    assert on_ground(rgba, (200, 100, 50)).tolist() == [[[10, 20, 30], [200, 100, 50]], [[200, 100, 50]] * 2]


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAMES.archive).write_bytes(b"something else")
    with pytest.raises(SystemExit, match="not the pinned package"):
        fetch(NAMES, tmp_path)


def test_a_resumed_stage_goes_on_exactly(tmp_path: Path) -> None:
    def train(steps: list[int], run: Run | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        opt = torch.optim.AdamW(model.parameters(), lr=0.1)
        ema = {k: v.detach().clone() for k, v in model.named_parameters()}
        start = restore(run, model, opt, ema) if run else 0
        for step in range(start, steps[-1]):
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            model(x).square().mean().backward()
            opt.step()
            opt.zero_grad()
            with torch.no_grad():
                for k, p in model.named_parameters():
                    ema[k].lerp_(p, 0.3)
            if run and step + 1 in steps:
                save(run, step + 1, model, opt, ema)
        return dict(model.state_dict()) | {f"ema.{k}": v for k, v in ema.items()}

    whole = train([6], None)
    run = Run(tmp_path / "stage")
    train([2], run)
    train([4], run)
    parts = train([6], run)
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_the_card_tells_licences_and_counts() -> None:
    rows = [{"package": f"{s.package.name}@{s.package.version}"} for s in STYLES]
    told = card(rows, 281_600)
    assert all(s.license in told and s.creator in told for s in STYLES) and "license: apache-2.0" in told and "281,600 samples" in told


@pytest.mark.slow
def test_the_denoiser_is_trained_by_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All stages on two things, from the exported pictures and the preset to a model folder whose header names what taught it."""
    monkeypatch.setattr(export, "CAPTIONS", {"white": 1, "coloured": 1})
    rng = np.random.default_rng(5)
    known = rng.integers(0, 256, (2, len(STYLES), 4, 4, 4), np.uint8).repeat(16, 2).repeat(16, 3)
    work, quiet = tmp_path / "work", {"say": lambda *_, **__: None}
    vae.write_factor(vae.train(known.reshape(-1, 64, 64, 4), known.reshape(-1, 64, 64, 4), work, steps=1, **quiet), known.reshape(-1, 64, 64, 4), work)
    text.train(work, steps=0, **quiet)
    base(work)
    said: list[str] = []
    changes = ["schedule.steps=2", "batch.size=4", "heldout.every=2", "scratch.layers=1", "log.tensorboard=false"]
    result = denoiser.train(known, work, changes=changes, say=lambda x, **_: said.append(str(x)))
    assert result == work / "denoiser" / "denoiser" and said
    rows = list(read_records(work / "pictures" / "coloured"))
    assert len(rows) == 2 * len(STYLES) * (len(GROUNDS) - 1) and {r.license for r in rows} == {s.license for s in STYLES}
    assert all(r.text and r.text_ja for r in rows)
    again = denoiser.train(known, work, changes=changes, **quiet)  # a finished run is taken as it is
    assert again == result
    attribution = [{"package": f"{s.package.name}@{s.package.version}", "license": s.license} for s in STYLES]
    assemble(work, tmp_path / "mini", attribution)
    told = told_by(tmp_path / "mini" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert told["licences"] == {"MIT": 32, "Apache-2.0": 16, "CC-BY-4.0": 16} and told["kind"] == "scratch"
    assert (tmp_path / "mini" / "gate-report.json").is_file()
    assert identify(tmp_path / "mini").own_side == 64


def test_hashes_are_hashes() -> None:
    assert all(len(bytes.fromhex(p.sha256)) == hashlib.sha256().digest_size for p in (NAMES, *(s.package for s in STYLES)))
